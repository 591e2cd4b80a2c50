"""Seteli: approved decisions become mobile vouchers by SMS or e-mail; providers charge them with one short request."""
