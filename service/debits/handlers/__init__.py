"""What providers call."""

from service.debits.handlers import charging, history, holds
from service.web import Route

ROUTES: tuple[Route, ...] = (*charging.ROUTES, *holds.ROUTES, *history.ROUTES)
