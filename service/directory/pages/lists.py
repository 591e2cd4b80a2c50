"""The organisers and their services, and the providers of one service: searched, sorted, page by page."""

from __future__ import annotations

from service.db import autocommit
from service.directory import operations
from service.directory.model import HOURS, LANGUAGES, NotListed, Offer
from service.directory.pages.frame import FRONT, show
from service.directory.pages.words import SORT_NAMES
from service.directory.search import BEGINNING, COMPARED_MAX, SORTS, address, read_cursor, read_search, write_cursor
from service.web.pages import PageCall, PageReply, PageRoute


async def show_directory(call: PageCall) -> PageReply:
    """The services of every organiser; with a service chosen, its providers."""
    programme, organiser = call.query.get("programme", ""), call.query.get("organiser", "")
    if programme and organiser:
        return await _show_providers(call, organiser, programme)
    area = read_search(call.query).area
    async with autocommit(call.resources.pool) as conn:
        offers = await operations.list_offers(conn, organiser=organiser or None, area=area)
    if organiser and not offers:
        raise NotListed
    by_organiser: dict[str, list[Offer]] = {}
    for offer in offers:
        if offer.providers:  # a service that nobody gives yet, or nobody there, is no choice
            by_organiser.setdefault(offer.organiser, []).append(offer)
    return await show(call, "directory/front.html", organisers=list(by_organiser.values()), area=area)


async def _show_providers(call: PageCall, organiser: str, programme: str) -> PageReply:
    asked = read_search(call.query)
    after = read_cursor(call.query.get("cursor", "")) or BEGINNING
    async with autocommit(call.resources.pool) as conn:
        found, offers = await operations.search(
            conn, organiser=organiser, programme=programme, asked=asked, after=after
        )
    chosen = {"organiser": organiser, "programme": programme}
    more = found.next_place and address(FRONT, **chosen, **asked.query, cursor=write_cursor(found.next_place))
    return await show(
        call,
        "directory/list.html",
        found=found,
        offer=found.offer,
        offers=[each for each in offers if each.providers or each == found.offer],
        asked=asked,
        is_first=after == BEGINNING,
        more=more,
        hours=HOURS,
        served=LANGUAGES,
        sorts=[(each, call.gettext(SORT_NAMES[each])) for each in SORTS],
        band=found.offer.band_of(asked.when or "weekday"),
        compared_max=COMPARED_MAX,
    )


async def redirect_short(call: PageCall) -> PageReply:
    """From the short address that stands in text messages to the directory."""
    organiser = call.raw.match_info.get("organiser", "")
    return PageReply(status=302, headers={"Location": call.address(address(FRONT, organiser=organiser))})


PAGES: tuple[PageRoute, ...] = (
    PageRoute("GET", FRONT, show_directory, roles=None, summary="The approved providers", for_everybody=True),
    PageRoute("GET", "/d", redirect_short, roles=None, summary="The directory, as texts write it", for_everybody=True),
    PageRoute(
        "GET", "/d/{organiser}", redirect_short, roles=None, summary="One organiser's, in texts", for_everybody=True
    ),
)
