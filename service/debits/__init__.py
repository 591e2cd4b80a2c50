"""Debits: charging a voucher, taking a charge back, and what a provider may know before doing so."""
