"""The family's page and its question "did this visit not happen?". No account, no cookie, no script.

The address is the secret: whoever has it may look, and nothing that a browser sends by itself opens anything. So there
is no session, and a form needs no token against other sites: none of them knows where to send one. Looking changes
nothing, for mail servers look, too; only a pressed button does.
"""

from __future__ import annotations

import asyncio
import base64
from dataclasses import replace
from datetime import UTC, datetime
from functools import wraps
from typing import Annotated
from uuid import UUID

from pydantic import Field

from service.channels.rendering import qr_png
from service.db import autocommit, transaction
from service.debits.history import HistoryOrder, HistoryPlace, read_cursor, write_cursor
from service.family import operations
from service.family.model import LINK_PATH, FamilyLinkDead
from service.family.operations import FamilyPage
from service.problems import problem
from service.vouchers.codes import show_code
from service.vouchers.decisions import helsinki_day
from service.vouchers.texts import code_address
from service.web.calls import Reply, Stream
from service.web.pages import PAGE_LANGUAGES, FormModel, PageCall, PageHandler, PageReply, PageRoute, redirect, render

SENTENCE_MAX = 300
BOOKINGS_SHOWN = 30


class DisputeForm(FormModel):
    sentence: Annotated[str, Field(max_length=SENTENCE_MAX)] | None = None


def by_link(handler: PageHandler) -> PageHandler:
    """One and the same page for a link that opens nothing, whatever is wrong with it."""

    @wraps(handler)
    async def handle(call: PageCall) -> Reply | Stream:
        try:
            return await handler(call)
        except FamilyLinkDead as error:
            told = replace(call, problem=problem(error.code, error.details, call.language))
            return await render(told, "family/dead.html", status=404)

    return handle


@by_link
async def show_page(call: PageCall) -> PageReply:
    """The voucher: its code, what is left, and its visits, a page at a time."""
    call, page = await _open(call)
    code, today = page.code, helsinki_day(datetime.now(UTC))
    return await render(
        call,
        "family/page.html",
        page=page,
        code=None if code is None else show_code(code),
        picture=None if code is None else await asyncio.to_thread(_picture, call, code),
        coming=[each for each in page.history.versions if each.outcome is None],
        here=_address(call),
        place=_place(call),
        bookings_shown=BOOKINGS_SHOWN,
        earlier=None if page.earlier is None else write_cursor(page.earlier),
        now=datetime.now(UTC),
        today=today,
    )


@by_link
async def show_visit(call: PageCall) -> PageReply:
    """One visit, and the question whether it did not happen; once that was said, what comes next."""
    debit_id = call.path_id("debit_id", FamilyLinkDead)
    call, page = await _open(call, debit_id)
    return await render(
        call,
        "family/visit.html",
        page=page,
        visit=page.visit(debit_id),
        here=_address(call),
        place=_place(call),
        now=datetime.now(UTC),
    )


@by_link
async def dispute(call: PageCall) -> PageReply:
    """Keep that the visit did not happen, and ask for a person."""
    debit_id = call.path_id("debit_id", FamilyLinkDead)
    form = call.form_as(DisputeForm)
    async with transaction(call.resources.pool) as conn:
        await operations.say_it_did_not_happen(
            conn,
            call.resources.keys,
            link=call.raw.match_info["link"],
            debit_id=debit_id,
            sentence=form.sentence,
        )
    return await redirect(call, f"{_address(call)}/visits/{debit_id}{_place(call)}")


async def _open(call: PageCall, debit_id: UUID | None = None) -> tuple[PageCall, FamilyPage]:
    """The page, and the call in the family's own language unless another was chosen."""
    async with autocommit(call.resources.pool) as conn:
        page = await operations.open_page(
            conn,
            call.resources.keys,
            link=call.raw.match_info["link"],
            today=helsinki_day(datetime.now(UTC)),
            after=_after(call),
            debit_id=debit_id,
        )
    chosen = call.raw.query.get("lang") in PAGE_LANGUAGES
    if chosen or page.language not in PAGE_LANGUAGES:
        return call, page
    return replace(call, language=page.language), page


def _address(call: PageCall) -> str:
    return LINK_PATH + call.raw.match_info["link"]


def _after(call: PageCall) -> HistoryPlace | None:
    """Behind which visit the list goes on; what is no place of ours is as if it were not there."""
    place = read_cursor(call.query.get("after", ""))
    return place if place is not None and place.order is HistoryOrder.SERVED else None


def _place(call: PageCall) -> str:
    """The end of an address from which the way back leads to the same page of the list; empty from the first."""
    after = _after(call)
    return "" if after is None else f"?after={write_cursor(after)}"


def _picture(call: PageCall, code: str) -> str:
    """Drawn for some 8 ms: in a thread, or debits would wait."""
    png = qr_png(code_address(call.resources.settings.public_url, code))
    return "data:image/png;base64," + base64.b64encode(png).decode()


PAGES: tuple[PageRoute, ...] = (
    PageRoute(
        "GET", LINK_PATH + "{link}", show_page, roles=None, by_link=True, summary="A family's voucher and its visits"
    ),
    PageRoute(
        "GET",
        LINK_PATH + "{link}/visits/{debit_id}",
        show_visit,
        roles=None,
        by_link=True,
        summary="One visit of a family",
    ),
    PageRoute(
        "POST",
        LINK_PATH + "{link}/visits/{debit_id}",
        dispute,
        roles=None,
        by_link=True,
        form=show_visit,
        summary="Say that a visit did not happen",
    ),
)
PUBLIC = frozenset(page.path for page in PAGES)
