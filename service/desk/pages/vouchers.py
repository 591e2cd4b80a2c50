"""Finding a voucher, and one voucher's page: its value over time, visits, holds, and every message in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from service.channels.languages import SERVED
from service.channels.operations import list_pauses
from service.db import autocommit, transaction
from service.desk import operations
from service.desk.operations import Event
from service.desk.pages.actions import offered
from service.desk.pages.decisions import DeliveringResources, programme_names
from service.desk.pages.forms import APPROVERS, CASEWORK, Ref, today, with_words
from service.vouchers import operations as vouchers
from service.vouchers.model import Voucher, VoucherUnknown
from service.vouchers.timeline import tell_attempt, tell_message, tell_receipt
from service.web.pages import N_, FormModel, PageCall, PageReply, PageRoute, render

RECENT = 20
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
            actor=call.visitor.actor,
        )
        names = await programme_names(call, conn)
    return await render(call, "desk/vouchers.html", found=_shown(found), names=names, is_search=True)


async def show_voucher(call: PageCall) -> PageReply:
    """Everything about one voucher. That it was read is noted, with who read it."""
    resources, organiser_id = call.resources, call.visitor.owner_id
    voucher_id = call.path_id("voucher_id", VoucherUnknown)
    async with transaction(resources.pool) as conn:
        view = await vouchers.voucher_view(
            conn, resources.keys, organiser_id=organiser_id, voucher_id=voucher_id, today=today()
        )
        history = await vouchers.voucher_history(conn, organiser_id=organiser_id, voucher_id=voucher_id)
        visits = await operations.visits_of(conn, organiser_id=organiser_id, voucher_id=voucher_id)
        messages = await vouchers.voucher_messages(conn, organiser_id=organiser_id, voucher_id=voucher_id)
        because = await vouchers.reasons_given(conn, organiser_id=organiser_id, voucher_id=voucher_id)
        pauses = {pause.gateway: pause for pause in await list_pauses(conn)}
        names = await programme_names(call, conn)
        await operations.record_view(conn, organiser_id=organiser_id, voucher_id=voucher_id, actor=call.visitor.actor)
    gateways = cast(DeliveringResources, resources).delivery.gateway_names
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
        for message in reversed(messages)
    ]
    events = operations.value_over_time(view.voucher, history, visits)
    return await render(
        call,
        "desk/voucher.html",
        view=view,
        voucher=view.voucher,
        history=history,
        visits=visits,
        messages=told,
        events=events,
        event_words=EVENTS,
        chart=_chart(events),
        names=names,
        language_name=SERVED[view.language].name if view.language in SERVED else view.language,
        actions=offered(view, today()),
        may_see_log=call.visitor.role in APPROVERS,
    )


async def show_log(call: PageCall) -> PageReply:
    """Who has read about this family and who has changed something: people may ask."""
    organiser_id, voucher_id = call.visitor.owner_id, call.path_id("voucher_id", VoucherUnknown)
    async with autocommit(call.resources.pool) as conn:
        voucher = await vouchers.find_voucher(conn, organiser_id=organiser_id, voucher_id=voucher_id)
        lines = await operations.log_of(conn, organiser_id=organiser_id, voucher_id=voucher_id)
    return await render(call, "desk/log.html", voucher=voucher, lines=lines, words=ACTIONS_LOGGED)


def _shown(found: Sequence[Voucher]) -> Sequence[tuple[Voucher, str]]:
    return [(each, each.shown_state(today()).value) for each in found]


def _chart(events: Sequence[Event]) -> str:
    """What was left, as the steps of an SVG path; empty while there is one step alone. The table beside it says it."""
    if len(events) < 2:
        return ""
    began, ended = events[0].at, events[-1].at
    span = max((ended - began).total_seconds(), 1.0)
    most = max(max(event.left for event in events), 1)
    path = ""
    for event in events:
        across = round((event.at - began).total_seconds() / span * CHART_WIDTH)
        down = round(CHART_HEIGHT - max(event.left, 0) / most * CHART_HEIGHT) + 2
        path += f"M{across} {down}" if not path else f"H{across}V{down}"
    return path


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
