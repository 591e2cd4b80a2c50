"""Who tries codes out: credentials that were stopped, the breaker of the whole installation, and what ends both.

The counting itself is in the database, in the look-up of a code (migrations/0019).
"""
