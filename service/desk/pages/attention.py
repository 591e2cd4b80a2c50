"""What needs a person, what cannot wait first, in words, and that it is dealt with."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import Field

from service.attention import operations
from service.attention.model import DISPUTED, AttentionUnknown
from service.attention.words import words_for
from service.db import autocommit, transaction
from service.desk import operations as desk
from service.desk.pages.forms import CASEWORK, with_words
from service.web.pages import N_, FormModel, PageCall, PageReply, PageRoute, redirect, render

PAGE_ITEMS = 50


class ResolveForm(FormModel):
    resolution: Annotated[str, Field(min_length=1, max_length=500)]


async def show_list(call: PageCall) -> PageReply:
    """A page of what is open; `after` in the address is an item's id, nobody's data."""
    try:
        after = UUID(call.query["after"]) if "after" in call.query else None
    except ValueError:
        after = None
    async with autocommit(call.resources.pool) as conn:
        found = await operations.list_by_haste(
            conn, organiser_id=call.visitor.owner_id, after=after, limit=PAGE_ITEMS + 1
        )
        visits = await desk.visits_by_id(
            conn,
            organiser_id=call.visitor.owner_id,
            entry_ids=[item.entry_id for item in found if item.entry_id is not None and item.reason == DISPUTED],
        )
    items = found[:PAGE_ITEMS]
    return await render(
        call,
        "desk/attention.html",
        items=[
            (item, words_for(item.reason, call.language), visits.get(item.entry_id) if item.entry_id else None)
            for item in items
        ],
        next_after=items[-1].attention_id if len(found) > PAGE_ITEMS else None,
        refused=call.raw.match_info.get("attention_id"),
    )


async def resolve(call: PageCall) -> PageReply:
    """It is dealt with: off the list, and how it was."""
    attention_id = call.path_id("attention_id", AttentionUnknown)
    form = call.form_as(ResolveForm)
    async with transaction(call.resources.pool) as conn:
        await operations.resolve_item(
            conn,
            organiser_id=call.visitor.owner_id,
            attention_id=attention_id,
            actor=call.visitor.actor,
            resolution=form.resolution,
        )
    return await redirect(call, "/desk/attention", note=call.gettext("It is off the list."))


PAGES: tuple[PageRoute, ...] = (
    PageRoute(
        "GET", "/desk/attention", show_list, roles=CASEWORK, summary="What needs a person", nav=N_("Needs a person")
    ),
    PageRoute(
        "POST",
        "/desk/attention/{attention_id}/resolve",
        resolve,
        roles=CASEWORK,
        summary="It is dealt with",
        form=with_words(show_list),
    ),
)
