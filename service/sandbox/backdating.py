"""Writes the planned months into the tables: granted by the operation that imports use, then moved back to their days.

What a gateway and a provider did then cannot be done again today, so it is written as it would stand: receipts, visits
with what they cost, value that went back to the budget. Value adds up in every voucher (I1). All of an organiser's
months are one transaction: no worker sees a text of them waiting. Families' receipts of each visit are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import UUID, uuid4

from asyncpg import Record
from uuid_utils.compat import uuid7

from service.crypto import Keys
from service.db import Connection, Pool, transaction
from service.money import Unit
from service.organisers.model import Organiser
from service.organisers.operations import find_organiser, list_programmes
from service.sandbox.months import HELSINKI, PlannedVisit, PlannedVoucher, plan_months
from service.sandbox.neighbours import NEIGHBOURS, load_neighbours
from service.sandbox.sample import COUNTY, LOADED_BY, TOWN
from service.vouchers.decisions import PostedDecision, read_decision
from service.vouchers.operations.bulk import issue_vouchers

REMINDED_BEFORE, REMINDED_AFTER, LISTED_AFTER = timedelta(days=14), timedelta(days=3), timedelta(days=4)
OPEN_SINCE = timedelta(days=10)  # what was listed before that has been dealt with
UNUSED_KNOWN = timedelta(weeks=8)
"""Of vouchers older than that nobody looks up when their family was reminded to use them."""
NO_SUCH_NUMBER = "30005"

SELECT_GRANTED = """
SELECT d.decision_ref, d.decision_id, v.voucher_id, v.code_id, m.message_id
  FROM decisions d
  JOIN vouchers v ON v.organiser_id = d.organiser_id AND v.decision_id = d.decision_id
  JOIN messages m ON m.organiser_id = v.organiser_id AND m.subject_id = v.voucher_id
 WHERE d.organiser_id = $1 AND d.decision_ref = ANY($2::text[])
"""

SELECT_COSTS = """
SELECT p.business_id, p.provider_id, a.programme, a.unit, r.starts_on AS rules_from, r.weekday_cents AS worth_cents,
       l.price_list_id, l.weekday_cents AS asked_cents
  FROM programmes a
 CROSS JOIN providers p
 CROSS JOIN LATERAL (SELECT k.starts_on, k.weekday_cents FROM programme_rules k
                      WHERE k.organiser_id = a.organiser_id AND k.programme = a.programme AND k.starts_on <= $2
                      ORDER BY k.starts_on DESC LIMIT 1) r
  LEFT JOIN LATERAL (SELECT k.price_list_id, k.weekday_cents FROM price_lists k
                      WHERE k.organiser_id = a.organiser_id AND k.programme = a.programme
                        AND k.provider_id = p.provider_id AND k.starts_on <= $2
                      ORDER BY k.starts_on DESC LIMIT 1) l ON true
 WHERE a.organiser_id = $1
"""

CREATE_MOVED = """
CREATE TEMPORARY TABLE moved (
    decision_id uuid, voucher_id uuid, code_id uuid, message_id uuid, mail_id uuid, state text,
    decided_at timestamptz, arrived_at timestamptz, debited bigint, expired bigint
)
"""
CREATE_REMINDED = """
CREATE TEMPORARY TABLE reminded (message_id uuid, reminder_id uuid, kind text, fields jsonb, at timestamptz)
"""
DROP_BOTH = "DROP TABLE pg_temp.moved, pg_temp.reminded"
_MOVED = (
    "decision_id", "voucher_id", "code_id", "message_id", "mail_id", "state", "decided_at", "arrived_at", "debited",
    "expired",
)  # fmt: skip
_REMINDED = ("message_id", "reminder_id", "kind", "fields", "at")

MOVE_DECISIONS = """
UPDATE decisions d SET created_at = m.decided_at, confirmed_at = m.decided_at
  FROM pg_temp.moved m WHERE d.organiser_id = $1 AND d.decision_id = m.decision_id
"""
MOVE_CODES = """
UPDATE codes c SET created_at = m.decided_at FROM pg_temp.moved m WHERE c.organiser_id = $1 AND c.code_id = m.code_id
"""
MOVE_VOUCHERS = """
UPDATE vouchers v
   SET created_at = m.decided_at, state = m.state, debited = m.debited, expired = m.expired,
       available = v.granted - m.debited - m.expired
  FROM pg_temp.moved m WHERE v.organiser_id = $1 AND v.voucher_id = m.voucher_id
"""

# A copy of the voucher's message to its other address, and one that reminds of the end: as they would stand.
COPY_MAILS = """
INSERT INTO messages (organiser_id, message_id, kind, subject_id, secret_id, fields, channel, language,
                      recipient_sealed, recipient_index, recipient_hint, fallback_of, state, due_at, deadline_at,
                      requested_by, created_at, accepted_at, fence)
SELECT k.organiser_id, m.mail_id, k.kind, k.subject_id, k.secret_id, k.fields, k.other_channel, k.language,
       k.other_sealed, k.other_index, k.other_hint, k.message_id, 'sent', NULL, m.arrived_at + interval '1 day',
       k.requested_by, m.arrived_at - interval '2 seconds', m.arrived_at, 1
  FROM pg_temp.moved m JOIN messages k ON k.organiser_id = $1 AND k.message_id = m.message_id
 WHERE m.mail_id IS NOT NULL
"""
COPY_REMINDERS = """
INSERT INTO messages (organiser_id, message_id, kind, subject_id, secret_id, fields, channel, language,
                      recipient_sealed, recipient_index, recipient_hint, state, due_at, deadline_at,
                      requested_by, created_at, accepted_at, delivered_at, fence)
SELECT k.organiser_id, m.reminder_id, m.kind, k.subject_id, k.subject_id, m.fields, k.channel, k.language,
       k.recipient_sealed, k.recipient_index, k.recipient_hint,
       CASE k.channel WHEN 'sms' THEN 'delivered' ELSE 'sent' END, NULL, m.at + interval '1 day', 'reminder', m.at,
       m.at + interval '1 second', CASE k.channel WHEN 'sms' THEN m.at + interval '6 seconds' END, 1
  FROM pg_temp.reminded m JOIN messages k ON k.organiser_id = $1 AND k.message_id = m.message_id
"""
MOVE_MESSAGES = """
UPDATE messages k
   SET created_at = m.decided_at, due_at = NULL, fence = 1, deadline_at = m.decided_at + interval '1 day',
       accepted_at = m.decided_at + interval '2 seconds',
       delivered_at = CASE WHEN k.channel = 'sms' AND m.mail_id IS NULL THEN m.arrived_at END,
       state = CASE WHEN m.mail_id IS NOT NULL THEN 'undelivered' WHEN k.channel = 'sms' THEN 'delivered'
                    ELSE 'sent' END
  FROM pg_temp.moved m WHERE k.organiser_id = $1 AND k.message_id = m.message_id
"""

_ATTEMPTS = (
    "organiser_id", "attempt_id", "message_id", "token", "gateway", "fence", "outcome", "reference", "parts",
    "encoding", "started_at", "answered_at",
)  # fmt: skip
_RECEIPTS = ("organiser_id", "receipt_id", "attempt_id", "reference", "status", "error_code", "received_at")
_ENTRIES = (
    "organiser_id", "entry_id", "voucher_id", "programme", "code_id", "provider_id", "credential_id", "kind",
    "amount", "service_date", "reference", "reason", "worker", "task_type", "starts_at", "ends_at", "reverses",
    "entered_at", "visits", "minutes", "rules_from", "price_list_id", "segment_bands", "segment_amounts",
    "pays_cents", "own_cents", "leaves",
)  # fmt: skip
_ATTENTION = ("organiser_id", "attention_id", "reason", "subject_id", "opened_at")
_CHANGES = (
    "organiser_id", "change_id", "voucher_id", "kind", "amount", "effective_on", "actor", "recorded_at"
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Placed:
    """A planned voucher with the ids that it was given, and what a visit to its provider costs."""

    planned: PlannedVoucher
    ids: Record
    cost: Record


async def load_months(pool: Pool, keys: Keys, day: date) -> None:
    """The region's neighbours, and every organiser's months before `day`; the worker counts them. Idempotent."""
    async with transaction(pool) as conn:
        await load_neighbours(conn)
    for slug in (COUNTY, TOWN, *(slug for slug, _name, _phone in NEIGHBOURS)):
        planned = plan_months(slug, day)
        async with transaction(pool) as conn:
            # What is worked out in between takes so long on a machine that does much else.
            await conn.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            await load_organiser(conn, keys, await find_organiser(conn, slug), planned, day)


async def load_organiser(
    conn: Connection, keys: Keys, organiser: Organiser, planned: Sequence[PlannedVoucher], day: date
) -> None:
    """One organiser's months before `day`; nothing if they are there. Call it in a transaction."""
    programmes = {each.programme: each for each in await list_programmes(conn, organiser_slug=organiser.slug)}
    stored = await issue_vouchers(
        conn,
        keys,
        [
            read_decision(
                _posted(each),
                programmes[each.programme],
                default_language=organiser.default_language,
                countries=("FI",),
            )
            for each in planned
        ],
        organiser=organiser,
        created_by=LOADED_BY,
        today=planned[0].valid_from,
    )
    if stored.issued == 0:
        return  # an earlier start has done it
    assert not stored.refused, stored.refused
    organiser_id = organiser.organiser_id
    refs = [each.decision_ref for each in planned]
    ids = {row["decision_ref"]: row for row in await conn.fetch(SELECT_GRANTED, organiser_id, refs)}
    costs = {(row["business_id"], row["programme"]): row for row in await conn.fetch(SELECT_COSTS, organiser_id, day)}
    placed = [Placed(each, ids[each.decision_ref], costs[each.provider, each.programme]) for each in planned]
    await _move(conn, organiser_id, placed, day)
    await _copy(conn, "entries", _ENTRIES, (row for each in placed for row in _entries(organiser_id, each)))
    await _copy(conn, "value_changes", _CHANGES, (row for each in placed for row in _changes(organiser_id, each, day)))
    listed = (row for each in placed for row in _never_used(organiser_id, each, day))
    await _copy(conn, "attention", _ATTENTION, listed)


def _posted(planned: PlannedVoucher) -> PostedDecision:
    return PostedDecision(
        decision_ref=planned.decision_ref,
        programme=planned.programme,
        status="confirmed",
        client_ref=planned.client_ref,
        phone=planned.phone,
        email=planned.email,
        language=planned.language,
        initials=planned.initials,
        municipality=planned.municipality,
        granted=planned.granted,
        weekly_visits=None,
        weekly_minutes=None,
        valid_from=planned.valid_from,
        valid_to=planned.valid_to,
    )


async def _move(conn: Connection, organiser_id: UUID, placed: Sequence[Placed], day: date) -> None:
    """Everything that was granted just now, back to its own day, and its messages with what the gateways said."""
    sent = [_sent(each, day) for each in placed]
    await conn.execute(CREATE_MOVED)
    await conn.execute(CREATE_REMINDED)
    await _copy(conn, "moved", _MOVED, (each.moved for each in sent))
    await _copy(conn, "reminded", _REMINDED, (row for each in sent for row in each.reminded))
    for statement in (MOVE_DECISIONS, MOVE_CODES, MOVE_VOUCHERS, COPY_MAILS, COPY_REMINDERS, MOVE_MESSAGES):
        await conn.execute(statement, organiser_id)
    await conn.execute(DROP_BOTH)
    await _copy(conn, "attempts", _ATTEMPTS, ((organiser_id, *row) for each in sent for row in each.attempts))
    await _copy(conn, "receipts", _RECEIPTS, ((organiser_id, *row) for each in sent for row in each.receipts))


async def _copy(conn: Connection, table: str, columns: Sequence[str], records: Iterable[Sequence[Any]]) -> None:
    await conn.copy_records_to_table(table, columns=columns, records=list(records))


@dataclass(slots=True)
class Sent:
    """One voucher's place in `moved`, its reminders, and what was tried and answered for all its messages."""

    moved: Sequence[Any]
    reminded: list[Sequence[Any]] = field(default_factory=list)
    attempts: list[Sequence[Any]] = field(default_factory=list)
    receipts: list[Sequence[Any]] = field(default_factory=list)

    def add(self, message_id: UUID, channel: str, at: datetime, *, ends: str = "", ended_at: datetime) -> None:
        """An attempt that the gateway took, and the receipt of how it ended; nobody confirms a mail."""
        attempt_id, by_sms = _id_at(at), channel == "sms"
        reference = f"SM{uuid4().hex}" if by_sms else f"{message_id.hex}@kuusiranta.example"
        gateway, form = ("twilio", (1, "GSM-7")) if by_sms else ("smtp", (None, None))
        answered_at = at + timedelta(seconds=1)
        self.attempts.append(
            (attempt_id, message_id, uuid4(), gateway, 1, "accepted", reference, *form, at, answered_at)
        )
        if by_sms:
            error = NO_SUCH_NUMBER if ends == "undelivered" else None
            self.receipts.append((_id_at(ended_at), attempt_id, reference, ends, error, ended_at))


def _sent(placed: Placed, day: date) -> Sent:
    planned, message_id = placed.planned, placed.ids["message_id"]
    arrived_at, is_closed = planned.decided_at + planned.arrived_after, planned.closed_on <= day
    mail_id = _id_at(arrived_at) if planned.arrival == "email_after_sms" else None
    sent = Sent(
        moved=(
            *(placed.ids[name] for name in ("decision_id", "voucher_id", "code_id", "message_id")),
            mail_id,
            "closed" if is_closed else "expired" if planned.valid_to < day else "issued",
            planned.decided_at,
            arrived_at,
            planned.used,
            planned.granted - planned.used if is_closed else 0,
        )
    )
    channel = "email" if planned.arrival == "email" else "sms"
    first_at = planned.decided_at + timedelta(seconds=1)
    if mail_id is None:
        sent.add(message_id, channel, first_at, ends="delivered", ended_at=arrived_at)
    else:
        failed_at = arrived_at - timedelta(seconds=5)
        sent.add(message_id, channel, first_at, ends="undelivered", ended_at=failed_at)
        sent.add(mail_id, "email", failed_at + timedelta(seconds=1), ended_at=arrived_at)
    for kind, at, fields in _reminders(planned, day):
        reminder_id = _id_at(at)
        sent.reminded.append((message_id, reminder_id, kind, fields, at))
        sent.add(reminder_id, channel, at, ends="delivered", ended_at=at + timedelta(seconds=6))
    return sent


def _reminders(planned: PlannedVoucher, day: date) -> Iterator[tuple[str, datetime, Mapping[str, str]]]:
    """What the family was reminded of: to use it, and that it ends with value left."""
    at = _morning(planned.valid_from + REMINDED_AFTER)
    if day - UNUSED_KNOWN < at.date() < day and planned.is_unused_on(at.date()):
        yield "reminder_unused", at, {}
    at = _morning(planned.valid_to - REMINDED_BEFORE)
    if at.date() <= day and planned.used < planned.granted:
        yield "reminder_expiring", at, {"ends_on": planned.valid_to.isoformat()}


def _morning(day: date) -> datetime:
    return datetime.combine(day, time(10), HELSINKI)


def _never_used(organiser_id: UUID, placed: Placed, day: date) -> Iterator[Sequence[Any]]:
    """Reminding did not help: that is on the caseworkers' list."""
    planned = placed.planned
    for kind, at, _fields in _reminders(planned, day):
        listed_at = at + LISTED_AFTER
        is_open = day - OPEN_SINCE <= listed_at.date() < day <= planned.valid_to
        if kind == "reminder_unused" and is_open and not planned.visits:
            yield organiser_id, uuid4(), "never_used", placed.ids["voucher_id"], listed_at


def _entries(organiser_id: UUID, placed: Placed) -> Iterator[Sequence[Any]]:
    planned = placed.planned
    for number, visit in enumerate(planned.visits, 1):
        debit_id = _id_at(visit.entered_at)
        reference = f"lasku {planned.decision_ref}-{number}"
        yield _entry(organiser_id, placed, visit, debit_id, at=visit.entered_at, reference=reference)
        if planned.taken_back_at is not None and number == len(planned.visits):
            at = planned.taken_back_at
            yield _entry(organiser_id, placed, visit, _id_at(at), at=at, reason="Käynti peruuntui.", reverses=debit_id)


def _entry(
    organiser_id: UUID,
    placed: Placed,
    visit: PlannedVisit,
    entry_id: UUID,
    *,
    at: datetime,
    reference: str | None = None,
    reason: str | None = None,
    reverses: UUID | None = None,
) -> Sequence[Any]:
    """A debit, or the whole of one taken back: the same with the opposite sign."""
    ids, cost, sign = placed.ids, placed.cost, 1 if reverses is None else -1
    minutes = visit.amount if cost["unit"] == Unit.MINUTES else 0
    ends_at = visit.starts_at + timedelta(minutes=visit.amount) if visit.starts_at is not None else None
    pays_cents, own_cents = _price(cost, visit.amount)
    segments = (["weekday"], [visit.amount]) if reverses is None else (None, None)
    return (
        organiser_id,
        entry_id,
        ids["voucher_id"],
        placed.planned.programme,
        ids["code_id"],
        cost["provider_id"],
        cost["provider_id"],  # its key of then, which is none of today's
        "debit" if reverses is None else "reversal",
        sign * visit.amount,
        visit.on,
        reference,
        reason,
        visit.worker,
        visit.task_type,
        visit.starts_at,
        ends_at,
        reverses,
        at,
        sign,
        sign * minutes,
        cost["rules_from"],
        cost["price_list_id"],
        *segments,
        sign * pays_cents,
        sign * own_cents if own_cents is not None else None,
        None if reverses is None else 0,
    )


def _price(cost: Record, amount: int) -> tuple[int, int | None]:
    """What the organiser pays and what is the family's own part, in cents; of money, what is asked is paid."""
    if cost["unit"] == Unit.CENTS:
        return amount, None
    asked = cost["asked_cents"] if cost["asked_cents"] is not None else cost["worth_cents"]
    pays, own = min(asked, cost["worth_cents"]), max(0, asked - cost["worth_cents"])
    return (pays * amount // 60, own * amount // 60) if cost["unit"] == Unit.MINUTES else (pays * amount, own * amount)


def _changes(organiser_id: UUID, placed: Placed, day: date) -> Iterator[Sequence[Any]]:
    """What went back to the budget when the voucher was closed."""
    planned = placed.planned
    left = planned.granted - planned.used
    if planned.closed_on <= day and left:
        at = datetime.combine(planned.closed_on, time(0, 1), HELSINKI)
        voucher_id = placed.ids["voucher_id"]
        yield organiser_id, uuid4(), voucher_id, "expired", left, planned.closed_on, "schedule", at


def _id_at(at: datetime) -> UUID:
    """A UUIDv7 of that moment, as the overview looks entries up by them."""
    return uuid7(nanoseconds=int(at.timestamp() * 1_000_000) * 1000)
