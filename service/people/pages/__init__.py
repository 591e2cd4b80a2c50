"""The pages of the first address, of signing in, of one's own account, and of an admin's people."""

from service.people.pages import account, front, organisation, people, sign_in
from service.web.pages import PageRoute

PAGES: tuple[PageRoute, ...] = (*people.PAGES, *account.PAGES, *front.PAGES, *sign_in.PAGES, *organisation.PAGES)
PUBLIC = frozenset(page.path for page in PAGES if page.roles is None)

__all__ = ["PAGES", "PUBLIC"]
