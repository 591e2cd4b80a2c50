"""The provider's pages: charge a visit with a code, book one, see what was charged and take it back."""

from service.debits.pages import bookings, charging, history, looking_up
from service.web.pages import PageRoute

PAGES: tuple[PageRoute, ...] = (*looking_up.PAGES, *charging.PAGES, *bookings.PAGES, *history.PAGES)
PUBLIC = frozenset(page.path for page in PAGES if page.roles is None)

__all__ = ["PAGES", "PUBLIC"]
