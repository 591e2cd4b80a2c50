"""The directory's pages: for everybody, without cookies; and the page on which a provider tells of itself."""

from service.directory.pages import guide, lists, profile, providers
from service.web.pages import PageRoute

PUBLIC_PAGES: tuple[PageRoute, ...] = (*lists.PAGES, *providers.PAGES, *guide.PAGES)
PAGES: tuple[PageRoute, ...] = (*profile.PAGES, *PUBLIC_PAGES)
PUBLIC = frozenset(page.path for page in PUBLIC_PAGES)

__all__ = ["PAGES", "PUBLIC"]
