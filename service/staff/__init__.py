"""Providers' workers: registered phones with PINs, and visits charged by text message at the family's door."""
