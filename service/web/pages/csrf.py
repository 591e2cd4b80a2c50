"""That a form comes from a page of ours, shown in this browser: its token, and where the browser says it is from."""

from __future__ import annotations

import base64
import binascii

from aiohttp import web

from service.crypto import BlindIndex
from service.settings import Settings
from service.web.errors import CrossSite, FormExpired

PURPOSE = "csrf"


def session_cookie_name(settings: Settings) -> str:
    """`__Host-session`; over plain HTTP, which is for one machine alone, a name that browsers take without TLS."""
    return "__Host-session" if settings.public_url.startswith("https://") else "session"


def csrf_token(index: BlindIndex, session_token: str) -> str:
    """What stands in the forms of one session: nobody can make it who does not have both the cookie and our key."""
    return base64.urlsafe_b64encode(index.current(PURPOSE, session_token)).decode().rstrip("=")


def check_csrf(index: BlindIndex, session_token: str | None, given: str) -> None:
    """Raises FormExpired when the form was not made for this session."""
    try:
        digest = base64.urlsafe_b64decode(given + "=" * (-len(given) % 4))
    except (binascii.Error, ValueError):
        raise FormExpired from None
    if session_token is None or not index.matches(digest, PURPOSE, session_token):
        raise FormExpired


def check_origin(raw: web.Request, public_url: str) -> None:
    """Raises CrossSite when the browser says that another site sent this form.

    A page with `Referrer-Policy: no-referrer` makes browsers send `Origin: null` even to itself, so `null` says
    nothing; Sec-Fetch-Site then does, and for browsers without it the token has to do.
    """
    site, origin = raw.headers.get("Sec-Fetch-Site"), raw.headers.get("Origin")
    if site is not None and site not in ("same-origin", "none"):
        raise CrossSite
    if origin is not None and origin not in ("null", public_url):
        raise CrossSite
