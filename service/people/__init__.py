"""Who logs in: organisers' caseworkers and providers' staff, how they prove who they are, and their sessions."""
