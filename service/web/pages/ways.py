"""Ways between pages: where a role begins, where a page's form is, where one goes on after signing in.

A page that answers a form stands under an address that GET does not show, so whatever leads back to it (another
language, a new sign-in) has to lead to the form.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from aiohttp import web

from service.web.pages.calls import PageCall, PageRoute

PAGES_KEY: web.AppKey[tuple[PageRoute, ...]] = web.AppKey("pages")
SIGN_IN = "/sign-in"
FRONT = "/"
NEXT_MAX = 500
PUBLIC_FRONT = "/directory"
"""Where somebody begins who has no log-in: a family that looks for help."""


def home_address(call: PageCall, role: str) -> str:
    """Where somebody of this role begins: the first page of theirs that stands in the navigation."""
    for page in call.raw.app[PAGES_KEY]:
        if page.nav is not None and page.roles is not None and role in page.roles:
            return page.path
    return "/account"


def way_back(call: PageCall) -> str:
    """The address that shows this page again; of a page that answers a form, the one that shows the form as it was
    filled in (`PageRoute.filled`), or the nearest one above it, without."""
    filled = call.route.filled(call) if call.route.filled is not None else None
    if filled is not None and len(filled) <= NEXT_MAX:
        return filled
    address = call.raw.rel_url.without_query_params("lang")
    if call.route.method == "GET":
        return address.raw_path_qs
    for path in _upward(address.raw_path):
        if any(_is_shown_at(page, path) for page in call.raw.app[PAGES_KEY] if page.method == "GET"):
            return str(address.with_path(path, encoded=True, keep_query=True))
    return FRONT


def in_language(call: PageCall, language: str) -> str:
    """This same page in another language, for somebody who is not signed in."""
    if call.route.by_link:
        return f"?lang={language}"
    address = way_back(call)
    return f"{address}{'&' if '?' in address else '?'}lang={language}"


def safe_next(path: str | None) -> str | None:
    """A path of ours to go on to after signing in, or None: never another site's address."""
    if not path or not path.startswith("/") or path.startswith(("//", "/\\")) or len(path) > NEXT_MAX:
        return None
    return path if path.isprintable() and "\\" not in path and path.isascii() else None


def _upward(path: str) -> Iterator[str]:
    while path:
        yield path
        path = path.rpartition("/")[0]


def _is_shown_at(page: PageRoute, path: str) -> bool:
    return _pattern(page.path).fullmatch(path) is not None


@cache
def _pattern(path: str) -> re.Pattern[str]:
    """As the router reads a route's path: each {name} is one part of an address."""
    return re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path)))
