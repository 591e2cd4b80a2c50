"""A new decision while the family is on the phone: fill in, look at the very text, send, and see it arrive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, Protocol, cast

from service.channels.contacts import show_phone
from service.channels.gateway import ChannelName, EmailContent
from service.channels.languages import SERVED
from service.channels.operations import Delivery
from service.channels.operations.outbox import ShownMessage
from service.channels.sms_text import SmsMeasure, measure
from service.db import Connection, autocommit, transaction
from service.desk import operations
from service.desk.pages.faults import refuse_faults
from service.desk.pages.forms import CASEWORK, DecisionForm, read_posted, today, with_words, wrong
from service.family.model import LINK_PATH
from service.organisers.model import Organiser
from service.organisers.operations import find_programme, list_programmes, organiser_by_id
from service.problems import format_clock
from service.vouchers import operations as vouchers
from service.vouchers.codes import show_code
from service.vouchers.decisions import HELSINKI, NewDecision, check_rules, read_decision
from service.vouchers.model import Search, Voucher, VoucherUnknown
from service.vouchers.texts import MESSAGE_KIND, message_fields
from service.vouchers.timeline import tell_message
from service.web.pages import N_, PageCall, PageReply, PageRoute, redirect, render

FIELDS = tuple(DecisionForm.model_fields)
ENDED = ("delivered", "escalated", "suppressed")
"""States of a message after which nothing more happens by itself."""


class DeliveringResources(Protocol):
    @property
    def delivery(self) -> Delivery: ...


@dataclass(frozen=True, slots=True)
class Preview:
    """What the family would read on one channel."""

    channel: ChannelName
    sms: str = ""
    size: SmsMeasure | None = None
    email: EmailContent | None = None


async def show_form(call: PageCall) -> PageReply:
    """The form of a new decision."""
    async with autocommit(call.resources.pool) as conn:
        organiser = await organiser_by_id(conn, call.visitor.owner_id)
        programmes = await list_programmes(conn, organiser_slug=organiser.slug)
    return await render(
        call,
        "desk/decision.html",
        organiser=organiser,
        programmes=[(each, each.name_in(call.language, organiser.default_language)) for each in programmes],
        languages_served=[(each.code, each.name) for each in SERVED.values()],
        today=today(),
    )


async def show_preview(call: PageCall) -> PageReply:
    """The text with its length, and what this family has already; nothing is kept yet."""
    async with transaction(call.resources.pool) as conn:
        organiser, decision = await _read(call, conn, day=today())
        check_rules(decision, today())
        await _refuse_granted(call, conn, decision)
        live = await _live(call, conn, decision)
        names = await programme_names(call, conn)
    return await _preview(call, organiser, decision, live, names)


async def decide(call: PageCall) -> PageReply:
    """Grant the decision once, however often the button is pressed: its reference is the key."""
    resources = call.resources
    async with transaction(resources.pool) as conn:
        organiser, decision = await _read(call, conn)
        live = await _live(call, conn, decision)
        if live and not call.value("another"):
            names = await programme_names(call, conn)
            return replace(await _preview(call, organiser, decision, live, names, must_tick=True), status=422)
        issued = await vouchers.issue_voucher(
            conn,
            resources.keys,
            decision,
            organiser=organiser,
            created_by=call.visitor.actor,
            today=today(),
            code_digits=resources.settings.code_digits,
        )
    if issued.created:
        resources.wakeups.wake(issued.message_id)
    return await redirect(call, f"/desk/vouchers/{issued.voucher_id}/delivery")


async def show_delivery(call: PageCall) -> PageReply:
    """Where the voucher's newest message is; the page asks again by itself."""
    return await _delivery(call, "desk/delivery.html")


async def show_delivery_part(call: PageCall) -> PageReply:
    """The part of that page which changes, for its script."""
    return await _delivery(call, "desk/delivery_part.html")


async def _delivery(call: PageCall, template: str) -> PageReply:
    voucher_id, organiser_id = call.path_id("voucher_id", VoucherUnknown), call.visitor.owner_id
    async with transaction(call.resources.pool) as conn:
        voucher = await vouchers.find_voucher(conn, organiser_id=organiser_id, voucher_id=voucher_id)
        messages = await vouchers.voucher_messages(conn, organiser_id=organiser_id, voucher_id=voucher_id)
        await operations.record_view(conn, organiser_id=organiser_id, voucher_id=voucher_id, actor=call.visitor.actor)
    return await render(call, template, voucher=voucher, **_latest(messages, call.language))


def _latest(messages: Sequence[ShownMessage], language: str) -> dict[str, Any]:
    """The newest message about the voucher itself, and where it is."""
    own = [message for message in messages if message.kind == MESSAGE_KIND]
    if not own:
        return {"message": None, "told": "", "is_ended": True, "earlier": [], "clocks": {}}
    *before, message = own
    chain = [each for each in before if each.message_id == message.fallback_of]
    return {
        "message": message,
        "told": tell_message(message, language),
        "clocks": {
            "queued": _clock(message.created_at, language),
            "sent": _clock(message.accepted_at, language),
            "delivered": _clock(message.delivered_at, language),
        },
        "is_ended": message.state in ENDED,
        "earlier": [tell_message(each, language) for each in chain],
    }


def _clock(at: datetime | None, language: str) -> str:
    """To the second, in Finland: whoever looks is on the phone with the family."""
    return "" if at is None else format_clock(at.astimezone(HELSINKI), language, has_seconds=True)


async def _read(call: PageCall, conn: Connection, *, day: date | None = None) -> tuple[Organiser, NewDecision]:
    """The decision that is filled in; with a day, as a new one. Raises InvalidRequest, which names all that is wrong,
    what `read_decision` does, and ProgrammeUnknown."""
    organiser = await organiser_by_id(conn, call.visitor.owner_id)
    programme = await find_programme(conn, organiser.organiser_id, call.value("programme"))
    refuse_faults(call, programme, countries=call.resources.settings.sms_countries, day=day)
    form = call.form_as(DecisionForm)
    decision = read_decision(
        read_posted(call, form, programme.unit),
        programme,
        default_language=organiser.default_language,
        countries=call.resources.settings.sms_countries,
    )
    return organiser, decision


async def _refuse_granted(call: PageCall, conn: Connection, decision: NewDecision) -> None:
    """Said with the other faults of the form, and not first when the button is pressed. Raises InvalidRequest."""
    search = Search(decision_ref=decision.decision_ref)
    organiser_id, keys = call.visitor.owner_id, call.resources.keys
    if await vouchers.search_vouchers(conn, keys, organiser_id=organiser_id, search=search, before=None, limit=1):
        raise wrong(
            "decision_ref",
            call.gettext("A decision with this reference has been granted already: look for it among the vouchers."),
        )


async def _live(call: PageCall, conn: Connection, decision: NewDecision) -> Sequence[Voucher]:
    return await operations.live_vouchers(
        conn,
        call.resources.keys,
        organiser_id=call.visitor.owner_id,
        contact=decision.contact,
        client_ref=decision.client_ref,
        besides=decision.decision_ref,
        today=today(),
    )


async def _preview(
    call: PageCall,
    organiser: Organiser,
    decision: NewDecision,
    live: Sequence[Voucher],
    names: Mapping[str, str],
    *,
    must_tick: bool = False,
) -> PageReply:
    return await render(
        call,
        "desk/preview.html",
        decision=decision,
        programme=names[decision.programme.programme],
        names=names,
        language_name=SERVED[decision.contact.language].name,
        phone=show_phone(decision.contact.phone) if decision.contact.phone else "",
        direction_of_text=SERVED[decision.contact.language].direction,
        texts=_texts(call, organiser, decision),
        live=[(each, each.shown_state(today())) for each in live],
        must_tick=must_tick,
        given=[(name, value) for name in FIELDS if (value := call.value(name))],
    )


def _texts(call: PageCall, organiser: Organiser, decision: NewDecision) -> Sequence[Preview]:
    """The texts as they are sent, but for what is made with the voucher: noughts stand for the code."""
    code = "0" * call.resources.settings.code_digits
    contact = decision.contact
    visits, minutes = decision.weekly_caps
    fields = {
        **message_fields(
            organiser,
            decision.programme,
            contact.language,
            granted=decision.granted,
            weekly_visits=visits,
            weekly_minutes=minutes,
            valid_to=decision.valid_to,
            today=today(),
        ),
        "code": show_code(code),
        "code_digits": code,
        "link": f"{call.resources.settings.public_url}{LINK_PATH}…",
    }
    templates = cast(DeliveringResources, call.resources).delivery.templates
    previews: list[Preview] = []
    if contact.phone:
        sms = templates.render_sms(MESSAGE_KIND, contact.language, fields)
        previews.append(Preview("sms", sms=sms, size=measure(sms)))
    if contact.email:
        previews.append(Preview("email", email=templates.render_email(MESSAGE_KIND, contact.language, fields)))
    return sorted(previews, key=lambda preview: preview.channel != contact.preferred)


async def programme_names(call: PageCall, conn: Connection) -> Mapping[str, str]:
    """What the organiser's programmes are called, by their short names."""
    organiser = await organiser_by_id(conn, call.visitor.owner_id)
    programmes = await list_programmes(conn, organiser_slug=organiser.slug)
    return {each.programme: each.name_in(call.language, organiser.default_language) for each in programmes}


PAGES: tuple[PageRoute, ...] = (
    PageRoute("GET", "/desk", show_form, roles=CASEWORK, summary="A new decision", nav=N_("New decision")),
    PageRoute(
        "POST",
        "/desk/preview",
        show_preview,
        roles=CASEWORK,
        summary="What the family would read",
        form=with_words(show_form),
        again=show_preview,
    ),
    PageRoute(
        "POST",
        "/desk/correct",
        show_form,
        roles=CASEWORK,
        summary="The form again, as it was filled in",
        again=show_form,
    ),
    PageRoute(
        "POST",
        "/desk/decisions",
        decide,
        roles=CASEWORK,
        summary="Grant a decision",
        form=with_words(show_form),
        again=show_preview,
    ),
    PageRoute(
        "GET", "/desk/vouchers/{voucher_id}/delivery", show_delivery, roles=CASEWORK, summary="Where the message is"
    ),
    PageRoute(
        "GET",
        "/desk/vouchers/{voucher_id}/delivery/part",
        show_delivery_part,
        roles=CASEWORK,
        summary="The same, for a script",
    ),
)
