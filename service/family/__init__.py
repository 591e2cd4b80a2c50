"""The family's page: what is left and what was charged, opened by the link in the mail with the code."""
