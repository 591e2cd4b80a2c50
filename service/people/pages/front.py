"""The service's first address, which has nothing of its own to show: everybody is led to where they begin."""

from __future__ import annotations

from service.web.pages import FRONT, PUBLIC_FRONT, PageCall, PageReply, PageRoute, home_address, redirect

API_REFERENCE = "/docs"


async def lead_on(call: PageCall) -> PageReply:
    """To the first page of one's role, to the directory for anybody else who reads pages, to the API for programs."""
    if call.known_visitor is not None:
        return await redirect(call, home_address(call, call.visitor.role))
    reads_pages = "text/html" in call.raw.headers.get("Accept", "")
    return await redirect(call, PUBLIC_FRONT if reads_pages else API_REFERENCE)


PAGES: tuple[PageRoute, ...] = (PageRoute("GET", FRONT, lead_on, roles=None, summary="Where one begins"),)
