"""What the desk asks of several nouns at once: vouchers by whatever a family can tell, and what happened to one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from operator import attrgetter
from uuid import UUID

from asyncpg import Record

from service import audit
from service.channels.contacts import EmailInvalid, PhoneNotMobile, parse_email, parse_mobile
from service.crypto import Keys
from service.db import Connection
from service.debits.operations import visit_of_voucher
from service.desk import queries
from service.vouchers import operations as vouchers
from service.vouchers.changes import VoucherHistory
from service.vouchers.codes import CodeCheckDigit, CodeLength, last_four, normalise_code
from service.vouchers.model import SENDABLE, Contact, Search, Voucher

VIEW_ACTION = "voucher.view"
FOUND_ACTION = "voucher.found"
FOUND_MAX = 50
_LAST_FOUR = re.compile(r"[0-9]{4}")


@dataclass(frozen=True, slots=True)
class Event:
    """One change of what is left of a voucher. `amount` is signed, `left` is what can still be charged or booked."""

    at: datetime
    kind: str
    amount: int
    left: int
    who: str | None = None
    day: date | None = None


async def record_view(
    conn: Connection, *, organiser_id: UUID, voucher_id: UUID, actor: str, action: str = VIEW_ACTION
) -> None:
    """Note that somebody has read about a family: people may ask who has read their data."""
    await audit.record_view(conn, organiser_id=organiser_id, actor=actor, action=action, subject_id=voucher_id)


async def find_vouchers(
    conn: Connection,
    keys: Keys,
    *,
    organiser_id: UUID,
    text: str,
    countries: Sequence[str],
    code_digits: int,
    actor: str,
) -> Sequence[Voucher]:
    """The organiser's vouchers that a text may mean, newest first; that they were found is noted, as reading is.

    A phone number, an e-mail address, a decision's or client's reference, or a code, of which the last four digits
    count.
    """
    references = dict.fromkeys((text, text.upper(), text.lower()))  # whoever is on the phone types no capitals
    searches = [Search(decision_ref=each) for each in references] + [Search(client_ref=each) for each in references]
    if _LAST_FOUR.fullmatch(text):
        searches.append(Search(last_four=text))
    with suppress(CodeLength, CodeCheckDigit):  # read out by the family: it is no more looked up than its end is
        searches.append(Search(last_four=last_four(normalise_code(text, code_digits))))
    with suppress(PhoneNotMobile):
        searches.append(Search(phone=parse_mobile(text, countries)))
    with suppress(EmailInvalid):
        searches.append(Search(email=parse_email(text)))
    found = await _all_of(conn, keys, organiser_id, searches)
    await audit.record_views(
        conn,
        organiser_id=organiser_id,
        actor=actor,
        action=FOUND_ACTION,
        subject_ids=[voucher.voucher_id for voucher in found],
    )
    return found


async def recent_vouchers(conn: Connection, keys: Keys, *, organiser_id: UUID, limit: int) -> Sequence[Voucher]:
    return await vouchers.search_vouchers(
        conn, keys, organiser_id=organiser_id, search=Search(), before=None, limit=limit
    )


async def live_vouchers(
    conn: Connection,
    keys: Keys,
    *,
    organiser_id: UUID,
    contact: Contact,
    client_ref: str,
    besides: str,
    today: date,
) -> Sequence[Voucher]:
    """What this family can use already, by its contact or its reference, besides the decision `besides` itself."""
    searches = [Search(client_ref=client_ref)]
    searches += [Search(phone=contact.phone)] if contact.phone else []
    searches += [Search(email=contact.email)] if contact.email else []
    found = await _all_of(conn, keys, organiser_id, searches)
    return [each for each in found if each.decision_ref != besides and each.shown_state(today) in SENDABLE]


async def _all_of(conn: Connection, keys: Keys, organiser_id: UUID, searches: Sequence[Search]) -> Sequence[Voucher]:
    found: dict[UUID, Voucher] = {}
    for search in searches:
        for voucher in await vouchers.search_vouchers(
            conn, keys, organiser_id=organiser_id, search=search, before=None, limit=FOUND_MAX
        ):
            found[voucher.voucher_id] = voucher
    return sorted(found.values(), key=attrgetter("voucher_id"), reverse=True)


async def visit_of(conn: Connection, *, organiser_id: UUID, voucher_id: UUID, debit_id: UUID) -> Record | None:
    """One charge of a voucher; None for what was never charged to it."""
    found = await visit_of_voucher(conn, organiser_id=organiser_id, voucher_id=voucher_id, debit_id=debit_id)
    return next((entry for entry in found if entry["entry_id"] == debit_id and entry["kind"] == "debit"), None)


async def log_of(conn: Connection, *, organiser_id: UUID, voucher_id: UUID) -> Sequence[Record]:
    """Who has read about the voucher and who has changed it, newest first."""
    return await queries.select_log(conn, organiser_id=organiser_id, subject_id=voucher_id)


async def visits_by_id(conn: Connection, *, organiser_id: UUID, entry_ids: Sequence[UUID]) -> dict[UUID, Record]:
    """What was charged, by whom and when, and what is left of it, for each of an organiser's entries."""
    found = await queries.select_entries(conn, organiser_id=organiser_id, entry_ids=entry_ids)
    return {row["entry_id"]: row for row in found}


async def approvals_of(conn: Connection, *, organiser_id: UUID) -> Sequence[Record]:
    """Who may be paid by an organiser, for what and when: approved by itself or for its region."""
    return await queries.select_approvals(conn, organiser_id=organiser_id)


async def prices_of(conn: Connection, *, organiser_id: UUID, provider_id: UUID) -> Sequence[Record]:
    """What a provider asks of this organiser, by programme, the newest list first."""
    return await queries.select_prices(conn, organiser_id=organiser_id, provider_id=provider_id)


async def people_of(conn: Connection, *, provider_id: UUID) -> int:
    """How many may sign in for a provider."""
    return await queries.count_people(conn, provider_id=provider_id)


async def may_name_first(conn: Connection, *, organiser_id: UUID, provider_id: UUID) -> bool:
    """Whether this organiser may invite a provider's first person: of a company that is new, and nobody else's."""
    return not await queries.is_at_work(conn, organiser_id=organiser_id, provider_id=provider_id)


async def lock_provider(conn: Connection, *, provider_id: UUID) -> None:
    """Two who invite a first person at once: one of them waits."""
    await queries.lock_provider(conn, provider_id=provider_id)


@dataclass(frozen=True, slots=True)
class Concerned:
    """Whom the end of an approval concerns."""

    families: int
    """Have used the provider, and can use their voucher after that day."""
    bookings: int
    """Of visits after that day."""


async def concerned_by_end(
    conn: Connection, *, organiser_id: UUID, provider_id: UUID, programmes: Sequence[str], last_day: date
) -> Concerned:
    """Whom it concerns when a provider's approvals for these programmes end with that day."""
    return Concerned(
        *await queries.select_concerned(
            conn, organiser_id=organiser_id, provider_id=provider_id, programmes=programmes, last_day=last_day
        )
    )


async def live_in_programme(conn: Connection, *, organiser_id: UUID, programme: str, day: date) -> int:
    """How many vouchers of a programme can be used on that day or later."""
    return await queries.count_live(conn, organiser_id=organiser_id, programme=programme, day=day)


def value_over_time(voucher: Voucher, history: VoucherHistory, movements: Sequence[Record]) -> Sequence[Event]:
    """Every change of a voucher's value, oldest first. What is held counts as there: it is not charged yet."""
    signs = {"raised": 1, "lowered": -1, "expired": -1, "cancelled": -1}
    changes = [
        (change.recorded_at, change.kind, signs[change.kind] * change.amount, None, change.effective_on)
        for change in history.value_changes
    ]
    changed = sum(amount for _, kind, amount, _, _ in changes if kind in ("raised", "lowered"))
    changes.append((voucher.created_at, "granted", voucher.granted - changed, None, voucher.valid_from))
    changes += [
        (each["entered_at"], each["kind"], -each["amount"], each["provider"], each["service_date"])
        for each in movements
    ]
    left, events = 0, []
    for at, kind, amount, who, day in sorted(changes, key=lambda change: change[0]):
        left += amount
        events.append(Event(at, kind, amount, left, who, day))
    return events
