"""The pages of signing in, of one's own account, and of an admin's people."""

from service.people.pages import account
from service.web.pages import PageRoute

PAGES: tuple[PageRoute, ...] = (*account.PAGES,)
PUBLIC = frozenset(page.path for page in PAGES if page.roles is None)

__all__ = ["PAGES", "PUBLIC"]
