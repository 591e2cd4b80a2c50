"""Who serves and charges: companies, their approvals, and the keys that both they and organisers call with."""
