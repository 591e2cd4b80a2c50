"""What the directory's public pages share: their own small navigation, and their addresses in the reader's language."""

from __future__ import annotations

from service.directory.pages.words import Words
from service.directory.search import address
from service.web.pages import N_, PUBLIC_FRONT, PageCall, PageReply, render
from service.web.pages.rendering import NavigationEntry

FRONT = PUBLIC_FRONT
GUIDE = "/how-it-works"
ENTRIES = ((FRONT, N_("Find a provider")), (GUIDE, N_("How a voucher works")))


async def show(call: PageCall, template: str, **values: object) -> PageReply:
    """A page for everybody."""
    here = call.raw.path
    nav = [
        NavigationEntry(call.address(path), call.gettext(label), here == path or here.startswith(f"{path}/"))
        for path, label in ENTRIES
    ]

    def link(path: str, **query: str) -> str:
        return call.address(address(path, **query))

    chosen = call.query.get("lang", "")
    return await render(
        call,
        template,
        status=200,
        nav=nav,
        say=Words(call),
        link=link,
        lang=chosen if chosen == call.language else "",
        **values,
    )
