"""Every SQL statement on decisions, vouchers, beneficiaries and codes, by the use case that runs it."""
