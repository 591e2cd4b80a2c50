"""The public directory: which providers are approved, what they tell of themselves, and what a family would pay.

The Service Voucher Act (569/2009) has the organiser keep this list in public. Nothing here knows of families.
"""
