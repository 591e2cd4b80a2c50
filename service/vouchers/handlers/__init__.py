"""What organisers call."""

from service.vouchers.handlers import changing, vouchers
from service.web import Route

ROUTES: tuple[Route, ...] = (*vouchers.ROUTES, *changing.ROUTES)
