"""What providers call; and what organisers say of debits."""

from service.debits.handlers import charging, disputes, history, holds
from service.web import Route

ROUTES: tuple[Route, ...] = (*charging.ROUTES, *holds.ROUTES, *history.ROUTES, *disputes.ROUTES)
