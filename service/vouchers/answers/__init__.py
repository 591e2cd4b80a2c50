"""The JSON of decisions and vouchers: what comes in, what goes out, and how one is made from the other."""
