"""Who can sign in to the demo, with what their authenticator apps show just now: a page, and JSON for scripts.

In the sandbox's process alone, which listens on loopback: outside a demo nothing knows these secrets.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import aiohttp_jinja2
from aiohttp import web
from yarl import URL

from service.sandbox.logins import DemoLogin, present_codes, read_logins

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
_PRIVATE = {
    "Content-Security-Policy": _POLICY,
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


class PeoplePage:
    """The handlers; the file is read for each request, because the demo writes it after the sandbox has begun."""

    def __init__(self, logins: Path) -> None:
        self._logins = logins

    def routes(self) -> list[web.RouteDef]:
        """The page's routes."""
        return [web.get("/people", self.page), web.get("/people.json", self.plain)]

    async def page(self, request: web.Request) -> web.Response:
        """Log-ins and present codes; looks again by itself when the codes change unless `?pause` is given."""
        _refuse_other_names(request)
        now_s = time.time()
        logins = read_logins(self._logins)
        people = [(login, present_codes(login.totp_secret, now_s)) for login in logins]
        seconds_left = people[0][1].seconds_left if people else 1
        refresh_s = None if "pause" in request.query else seconds_left + 1
        response = aiohttp_jinja2.render_template(
            "people.html", request, {"people": people, "seconds_left": seconds_left, "refresh_s": refresh_s}
        )
        response.headers.update(_PRIVATE)
        return response

    async def plain(self, request: web.Request) -> web.Response:
        """The same for scripts."""
        _refuse_other_names(request)
        now_s = time.time()
        return web.json_response([_plain(login, now_s) for login in read_logins(self._logins)], headers=_PRIVATE)


def _plain(login: DemoLogin, now_s: float) -> dict[str, Any]:
    codes = present_codes(login.totp_secret, now_s)
    return {
        **asdict(login),
        "totp_uri": login.totp_uri,
        "totp_code": codes.now,
        "totp_code_next": codes.following,
        "seconds_left": codes.seconds_left,
    }


def _refuse_other_names(request: web.Request) -> None:
    """A page of the wide web may have its own name lead here, and read along; a browser tells which name it asked for.

    Raises HTTPForbidden.
    """
    name = URL(f"http://{request.host}").host or ""
    if name == "localhost":
        return
    try:
        is_here = ip_address(name).is_loopback
    except ValueError:
        is_here = False
    if not is_here:
        raise web.HTTPForbidden(text="Ask for 127.0.0.1 or localhost.")
