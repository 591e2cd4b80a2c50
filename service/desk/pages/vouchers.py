"""Finding a voucher, and one voucher's page: its value over time, visits, holds, and every message in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast
from uuid import UUID

from service.channels.languages import SERVED
from service.channels.operations import list_pauses
from service.db import Connection, autocommit, transaction
from service.debits.history import read_cursor, write_cursor
from service.debits.operations import disputed_visits, movements_of_voucher, visits_of_voucher
from service.desk import operations
from service.desk.operations import Event
from service.desk.pages.actions import offered
from service.desk.pages.decisions import DeliveringResources, programme_names
from service.desk.pages.forms import APPROVERS, CASEWORK, Ref, today, with_words
from service.vouchers import operations as vouchers
from service.vouchers.changes import OpenHold
from service.vouchers.model import Voucher, VoucherUnknown
from service.vouchers.timeline import tell_attempt, tell_message, tell_receipt
from service.web.pages import N_, FormModel, PageCall, PageReply, PageRoute, render

RECENT = 20
ROWS = 30
"""Of a table of visits, bookings or changes of value; the rest is behind a link, however long a voucher lives."""
MESSAGES = 20
CHART_WIDTH, CHART_HEIGHT = 600, 120
KINDS = {
    "voucher": N_("The code"),
    "debit_receipt": N_("A visit was charged"),
    "debit_reversed": N_("A visit was taken back"),
    "debit_receipts_day": N_("The visits of a day"),
    "reminder_unused": N_("Reminder: not used yet"),
    "reminder_expiring": N_("Reminder: ends soon"),
}
OTHER_KIND = N_("An answer to the family")
EVENTS = {
    "granted": N_("Granted"),
    "raised": N_("Raised"),
    "lowered": N_("Lowered"),
    "expired": N_("Expired, back to the budget"),
    "cancelled": N_("Cancelled, back to the budget"),
    "debit": N_("Visit charged"),
    "reversal": N_("Visit taken back"),
}
ACTIONS_LOGGED = {
    "voucher.view": N_("read this page"),
    "voucher.found": N_("found it by searching"),
    "voucher.view_by_link": N_("opened the link in the mail"),
    "voucher.resend": N_("sent again"),
    "voucher.replace_code": N_("new code"),
    "voucher.change_contact": N_("other contact"),
    "voucher.confirm": N_("decision confirmed"),
    "voucher.suspend": N_("stopped"),
    "voucher.resume": N_("let go on"),
    "voucher.cancel": N_("cancelled"),
    "voucher.change": N_("changed"),
    "voucher.void_hold": N_("booking dropped"),
    "debit.dispute": N_("visit disputed"),
    "debit.resolve_dispute": N_("dispute of a visit ended"),
    "voucher.lift_suppression": N_("block lifted"),
    "voucher.lift_suppression_as_the_family_asked": N_("block lifted, as the family asked"),
}


class SearchForm(FormModel):
    text: Ref


async def show_vouchers(call: PageCall) -> PageReply:
    """The search, and the newest vouchers."""
    async with transaction(call.resources.pool) as conn:
        found = await operations.recent_vouchers(
            conn, call.resources.keys, organiser_id=call.visitor.owner_id, limit=RECENT
        )
        names = await programme_names(call, conn)
    return await render(call, "desk/vouchers.html", found=_shown(found), names=names, is_search=False)


async def search(call: PageCall) -> PageReply:
    """What the text may mean. It is in the body, because it may be a phone number."""
    form = call.form_as(SearchForm)
    async with transaction(call.resources.pool) as conn:
        found = await operations.find_vouchers(
            conn,
            call.resources.keys,
            organiser_id=call.visitor.owner_id,
            text=form.text,
            countries=call.resources.settings.sms_countries,
            code_digits=call.resources.settings.code_digits,
            actor=call.visitor.actor,
        )
        names = await programme_names(call, conn)
    return await render(call, "desk/vouchers.html", found=_shown(found), names=names, is_search=True)


async def show_voucher(call: PageCall) -> PageReply:
    """Everything about one voucher, the newest of it first. That it was read is noted, with who read it."""
    resources, organiser_id = call.resources, call.visitor.owner_id
    voucher_id = call.path_id("voucher_id", VoucherUnknown)
    behind = read_cursor(call.query.get("visits", ""))
    async with transaction(resources.pool) as conn:
        view = await vouchers.voucher_view(
            conn, resources.keys, organiser_id=organiser_id, voucher_id=voucher_id, today=today()
        )
        history = await vouchers.voucher_history(conn, organiser_id=organiser_id, voucher_id=voucher_id)
        visits = await visits_of_voucher(
            conn,
            organiser_id=organiser_id,
            voucher_id=voucher_id,
            after=behind,
            limit=ROWS,
        )
        disputed = await disputed_visits(conn, organiser_id=organiser_id, voucher_id=voucher_id, limit=ROWS + 1)
        movements = await movements_of_voucher(conn, organiser_id=organiser_id, voucher_id=voucher_id)
        messages = await _messages(call, conn, voucher_id)
        names = await programme_names(call, conn)
        await operations.record_view(conn, organiser_id=organiser_id, voucher_id=voucher_id, actor=call.visitor.actor)
    events = operations.value_over_time(view.voucher, history, movements)
    holds, holds_from = _from_hold(history.holds, call.query.get("bookings", ""))
    until = _until(events, call.query.get("value", ""))
    return await render(
        call,
        "desk/voucher.html",
        view=view,
        voucher=view.voucher,
        history=history,
        holds=holds[:ROWS],
        later_holds=holds[ROWS].hold_id if len(holds) > ROWS else None,
        visits=visits.entries,
        earlier_visits=None if visits.earlier is None else write_cursor(visits.earlier),
        disputed=disputed[:ROWS],
        more_disputed=len(disputed) > ROWS,
        **messages,
        events=events[max(until - ROWS, 0) : until][::-1],
        earlier_events=until - ROWS if until > ROWS else None,
        is_behind={
            "visits": behind is not None,
            "bookings": holds_from > 0,
            "value": until < len(events),
            "messages": "messages" in call.query,
        },
        event_words=EVENTS,
        chart=_chart(events),
        names=names,
        language_name=SERVED[view.language].name if view.language in SERVED else view.language,
        actions=offered(view, today()),
        may_see_log=call.visitor.role in APPROVERS,
    )


async def _messages(call: PageCall, conn: Connection, voucher_id: UUID) -> dict[str, Any]:
    """The newest messages or those before one, newest first, in words; and before which there are earlier ones."""
    organiser_id = call.visitor.owner_id
    found = await vouchers.voucher_messages(
        conn,
        organiser_id=organiser_id,
        voucher_id=voucher_id,
        before=_id_or_none(call.query.get("messages", "")),
        limit=MESSAGES + 1,
    )
    shown = found[-MESSAGES:]
    because = await vouchers.reasons_given(conn, organiser_id=organiser_id, voucher_id=voucher_id)
    pauses = {pause.gateway: pause for pause in await list_pauses(conn)}
    gateways = cast(DeliveringResources, call.resources).delivery.gateway_names
    paused = {channel: pauses.get(gateway) for channel, gateway in gateways.items()}
    told = [
        {
            "kind": call.gettext(KINDS.get(message.kind, OTHER_KIND)),
            "at": message.created_at,
            "told": tell_message(message, call.language, paused.get(message.channel)),
            "because": because.get(message.message_id),
            "steps": [
                line
                for attempt in message.attempts
                for line in (
                    tell_attempt(attempt, call.language),
                    *(tell_receipt(receipt, call.language) for receipt in attempt.receipts),
                )
            ],
        }
        for message in reversed(shown)
    ]
    return {"messages": told, "earlier_messages": shown[0].message_id if len(found) > MESSAGES else None}


async def show_log(call: PageCall) -> PageReply:
    """Who has read about this family and who has changed something: people may ask."""
    organiser_id, voucher_id = call.visitor.owner_id, call.path_id("voucher_id", VoucherUnknown)
    async with autocommit(call.resources.pool) as conn:
        voucher = await vouchers.find_voucher(conn, organiser_id=organiser_id, voucher_id=voucher_id)
        lines = await operations.log_of(conn, organiser_id=organiser_id, voucher_id=voucher_id)
    return await render(call, "desk/log.html", voucher=voucher, lines=lines, words=ACTIONS_LOGGED)


def _shown(found: Sequence[Voucher]) -> Sequence[tuple[Voucher, str]]:
    return [(each, each.shown_state(today()).value) for each in found]


def _id_or_none(text: str) -> UUID | None:
    """What is no id is as if it were not there."""
    try:
        return UUID(text)
    except ValueError:
        return None


def _from_hold(holds: Sequence[OpenHold], text: str) -> tuple[Sequence[OpenHold], int]:
    """The bookings from one on, and which one that is; all of them when it is gone."""
    hold_id = _id_or_none(text)
    place = next((place for place, hold in enumerate(holds) if hold.hold_id == hold_id), 0)
    return holds[place:], place


def _until(events: Sequence[Event], text: str) -> int:
    """How many of a voucher's first events are looked at. Events are only added, so the number stays good."""
    asked = int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 0
    return asked if 0 < asked < len(events) else len(events)


def _chart(events: Sequence[Event]) -> str:
    """What was left, as the steps of an SVG path; empty while there is one step alone. The table beside it says it."""
    if len(events) < 2:
        return ""
    began, ended = events[0].at, events[-1].at
    span = max((ended - began).total_seconds(), 1.0)
    most = max(max(event.left for event in events), 1)
    # Of several on one dot the last, or a busy voucher's picture would weigh more than all else.
    downs: dict[int, int] = {}
    for event in events:
        across = round((event.at - began).total_seconds() / span * CHART_WIDTH)
        downs[across] = round(CHART_HEIGHT - max(event.left, 0) / most * CHART_HEIGHT) + 2
    (first, level), *steps = downs.items()
    if not steps:
        return ""
    return f"M{first} {level}" + "".join(f"H{across}V{down}" for across, down in steps)


PAGES: tuple[PageRoute, ...] = (
    PageRoute("GET", "/desk/vouchers", show_vouchers, roles=CASEWORK, summary="Find a voucher", nav=N_("Vouchers")),
    PageRoute(
        "POST",
        "/desk/vouchers",
        search,
        roles=CASEWORK,
        summary="What a text may mean",
        form=with_words(show_vouchers),
    ),
    PageRoute("GET", "/desk/vouchers/{voucher_id}", show_voucher, roles=CASEWORK, summary="One voucher"),
    PageRoute(
        "GET", "/desk/vouchers/{voucher_id}/log", show_log, roles=APPROVERS, summary="Who has read and changed it"
    ),
)
