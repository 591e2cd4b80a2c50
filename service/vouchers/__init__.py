"""Decisions, the vouchers made from them, and the codes that families show. Debits are a noun of their own."""
