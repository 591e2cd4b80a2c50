"""One provider with its prices, and up to four side by side."""

from __future__ import annotations

from itertools import groupby
from operator import attrgetter

from service.db import autocommit
from service.directory import operations
from service.directory.model import HOURS, Listing, NotListed
from service.directory.pages.frame import show
from service.directory.search import COMPARED_MAX
from service.web.pages import PageCall, PageReply, PageRoute
from service.web.pages.calls import clean

PROVIDER = "/directory/providers/{business_id}"
COMPARE = "/directory/compare"


async def show_provider(call: PageCall) -> PageReply:
    """What one provider tells of itself, and what it asks of each service of one organiser."""
    business_id, organiser = clean(call.raw.match_info["business_id"]), call.query.get("organiser") or None
    async with autocommit(call.resources.pool) as conn:
        listings = await operations.find_listed(conn, business_ids=[business_id])
    organisers = [(slug, list(some)) for slug, some in groupby(listings, key=attrgetter("offer.organiser"))]
    if not organisers:
        raise NotListed
    shown = next((some for slug, some in organisers if slug == organiser), organisers[0][1])
    wanted = call.query.get("programme", "")
    shown.sort(key=lambda each: each.offer.programme != wanted)  # the one that was looked for first
    return await show(
        call,
        "directory/provider.html",
        provider=shown[0],
        listings=shown,
        others=[some[0].offer for _, some in organisers if some is not shown],
    )


async def show_comparison(call: PageCall) -> PageReply:
    """Up to four providers of one service side by side."""
    asked = [clean(value) for name, value in call.raw.query.items() if name == "provider"]
    organiser, programme = call.query.get("organiser", ""), call.query.get("programme", "")
    listings: list[Listing] = []
    async with autocommit(call.resources.pool) as conn:
        listings += await operations.find_listed(conn, business_ids=asked, organiser=organiser, programme=programme)
        offers = [] if listings else await operations.list_offers(conn, organiser=organiser)
    offer = next((each for each in offers if each.programme == programme), None)
    if not listings and offer is None:
        raise NotListed
    return await show(
        call,
        "directory/compare.html",
        listings=listings,
        offer=listings[0].offer if listings else offer,
        hours=HOURS,
        is_cut=len(dict.fromkeys(asked)) > COMPARED_MAX,
        compared_max=COMPARED_MAX,
    )


PAGES: tuple[PageRoute, ...] = (
    PageRoute("GET", PROVIDER, show_provider, roles=None, summary="One provider", for_everybody=True),
    PageRoute("GET", COMPARE, show_comparison, roles=None, summary="Providers side by side", for_everybody=True),
)
