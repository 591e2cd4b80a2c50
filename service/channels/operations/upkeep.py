"""What must happen although nobody calls: leases end, silence is looked into, failures are decided."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import structlog
from asyncpg import Record
from uuid_utils.compat import uuid7

from service import metrics
from service.attention import operations as attention
from service.channels.alike import Sought, Start
from service.channels.gateway import (
    Absent,
    Accepted,
    Action,
    ChannelName,
    ContactFault,
    DiscerningGateway,
    LookUp,
    RoutedGateway,
    Unknown,
)
from service.channels.model import (
    DEADLINE_S,
    DECIDED,
    HAS_RECEIPTS,
    Failure,
    MessageState,
    Move,
    Reason,
    Silence,
    action_of,
    after_failure,
    after_look_up,
)
from service.channels.operations.delivery import Delivery
from service.channels.operations.outbox import contact_context
from service.channels.operations.suppressions import Suppressed, suppress_all
from service.channels.queries import pauses as pause_queries
from service.channels.queries import upkeep as queries
from service.channels.queries.upkeep import DecisionRow, LookUpRow
from service.channels.suppressions import suppression_after
from service.crypto import SealBroken
from service.db import Connection, autocommit, transaction

log = structlog.get_logger()

BATCH = 200
SHORTEST_PAUSE_S = 60.0
SHORTEST_ROUTE_PAUSE_S = 10.0  # it may be one recipient: soon another message shows how the gateway is
LONGEST_PAUSE_S = 900.0
# Whoever runs the service has to look, besides whoever calls the family.
_FOR_STAFF = (Reason.UNCLASSIFIED, Reason.TEMPLATE_FAULT, Reason.NOT_ROUTABLE)

RetryIn = Callable[[ChannelName, Action, int], float | None]
"""From channel, class of error and tries so far to the seconds before the next try; None: no more."""


async def expire_leases(delivery: Delivery) -> int:
    """Messages that were being sent when their lease ran out become unknown; returns how many."""
    async with autocommit(delivery.pool) as conn:
        expired = await queries.expire_leases(conn, unknown_wait_s=delivery.settings.unknown_wait_s, limit=BATCH)
    for message_id in expired:
        log.warning("lease_expired", message_id=message_id)
    return len(expired)


async def fail_held(delivery: Delivery) -> int:
    """Messages that a paused gateway has held past their deadline go on to another way; returns how many."""
    async with autocommit(delivery.pool) as conn:
        return len(await pause_queries.fail_held(conn, gateways=delivery.gateway_names, limit=BATCH))


@dataclass(frozen=True, slots=True)
class Silent:
    """A message to be looked up at its gateway, taken by this process for the length of a lease."""

    organiser_id: UUID
    message_id: UUID
    attempt_id: UUID
    fence: int
    gateway: str
    silence: Silence
    since: datetime
    start: Start
    rivals: frozenset[Start]  # attempts of other messages that say the same, to the same contact, and are not found yet
    reference: str | None
    taken: frozenset[str]  # what the gateway calls the texts of other messages about the same
    is_recognisable: bool  # every digest was made with a key that we still have
    digests: tuple[bytes, ...] = field(repr=False)
    recipient_sealed: bytes = field(repr=False)


async def claim_silent(delivery: Delivery, *, limit: int) -> list[Silent]:
    """Take messages of unknown outcome, or accepted and not heard of again, that are due for a look."""
    async with autocommit(delivery.pool) as conn:
        rows = await queries.claim_silent(conn, limit=limit, lease_s=delivery.settings.lease_s)
    return [
        Silent(
            organiser_id=row["organiser_id"],
            message_id=row["message_id"],
            attempt_id=row["attempt_id"],
            fence=row["fence"],
            gateway=row["gateway"],
            silence=Silence(
                state=MessageState(row["state"]),
                channel=row["channel"],
                lookups=row["lookups"],
                unknowns=row["unknowns"],
                accepted_s=row["accepted_s"],
                left_s=row["left_s"],
            ),
            since=row["since"],
            start=Start(row["started_at"], row["attempt_id"]),
            rivals=frozenset(map(Start, row["rivals_started"] or (), row["rivals"] or ())),
            reference=row["reference"],
            taken=frozenset(row["taken"] or ()),
            is_recognisable=all(key is not None and delivery.keys.index.knows(key) for key in row["keys"]),
            digests=tuple(digest for digest in row["digests"] if digest is not None),
            recipient_sealed=row["recipient_sealed"],
        )
        for row in rows
    ]


async def look_up(delivery: Delivery, silent: Silent) -> MessageState:
    """Ask the gateway what became of a message and move it; returns the state decided on.

    Guarded: if a receipt came while we asked, the receipt stands; a text that was found to be another message's in the
    meantime is looked for again when the lease is over.
    """
    found = await _ask(delivery, silent)
    gateway = delivery.gateways.get(silent.silence.channel)
    meaning = None
    if isinstance(found, Accepted) and found.status is not None and gateway is not None:
        meaning = gateway.meaning(found.status, found.error_code)
    move = after_look_up(silent.silence, found, meaning, look_up_interval_s=delivery.settings.lookup_interval_s)
    async with transaction(delivery.pool) as conn:
        if isinstance(found, Accepted):
            # One text cannot be two messages': whoever looks for another one about the same waits here.
            await queries.lock_alike(conn, organiser_id=silent.organiser_id, message_id=silent.message_id)
        moved = await queries.record_look_up(conn, row=_look_up_row(silent, found, move))
        if moved and move.state is MessageState.ESCALATED:
            await attention.open_for_escalated(conn, [(silent.organiser_id, silent.message_id)])
    if moved and silent.silence.state is MessageState.UNKNOWN and move.state is not MessageState.UNKNOWN:
        resolution = {MessageState.PENDING: "resent", MessageState.ESCALATED: "escalated"}.get(move.state, "found")
        metrics.unknowns.labels(silent.gateway, resolution).inc()
        log.info("unknown_resolved", message_id=silent.message_id, gateway=silent.gateway, outcome=resolution)
    return move.state


async def _ask(delivery: Delivery, silent: Silent) -> LookUp:
    gateway = delivery.gateways.get(silent.silence.channel)
    if gateway is None or not HAS_RECEIPTS[silent.silence.channel]:
        return Unknown("cannot_be_asked")
    try:
        recipient = delivery.keys.sealer.open(silent.recipient_sealed, contact_context(silent.organiser_id))
    except SealBroken:
        return Unknown("contact_unreadable")
    index = delivery.keys.index

    def is_ours(text: str) -> bool:
        return any(index.matches(digest, "body", text) for digest in silent.digests)

    found = await gateway.look_up(
        recipient,
        Sought(
            start=silent.start,
            since=silent.since,
            is_ours=is_ours,
            reference=silent.reference,
            taken=silent.taken,
            rivals=silent.rivals,
        ),
    )
    if isinstance(found, Absent) and not silent.is_recognisable:
        # The text may be there, under a digest whose key was taken out of the ring since.
        return Unknown("key_gone")
    return found


def _look_up_row(silent: Silent, found: LookUp, move: Move) -> LookUpRow:
    return LookUpRow(
        organiser_id=silent.organiser_id,
        message_id=silent.message_id,
        attempt_id=silent.attempt_id,
        fence=silent.fence,
        lookups=silent.silence.lookups,
        old_state=silent.silence.state,
        reference=found.reference if isinstance(found, Accepted) else None,
        parts=found.parts if isinstance(found, Accepted) else None,
        state=move.state,
        reason=move.reason,
        due_in_s=move.due_in_s,
        counts=isinstance(found, Absent),
        error_code=found.error_code if isinstance(found, Accepted) else None,
    )


async def decide_failures(delivery: Delivery, retry_in: RetryIn) -> tuple[int, bool]:
    """Decide on messages that were refused or not delivered: again, the other channel, or a person.

    Returns how many were decided, and whether some are due again at once (the other channel's message). The other
    channel's message is written in the same transaction, at most once (messages_fallback_once).
    """
    async with transaction(delivery.pool) as conn:
        rows = await queries.select_failures(conn, limit=BATCH)
        moves = [after_failure(_failure(delivery, row), retry_in_s=_retry_in(row, retry_in)) for row in rows]
        if rows:
            await queries.decide_failures(
                conn, decisions=[_decision(row, move) for row, move in zip(rows, moves, strict=True)]
            )
            await attention.open_for_escalated(conn, list(_escalated(rows, moves)))
        for row, move in zip(rows, moves, strict=True):
            if move.uses_other_channel:
                await queries.insert_fallback(
                    conn,
                    organiser_id=row["organiser_id"],
                    message_id=row["message_id"],
                    fallback_id=uuid7(),
                    deadline_s=DEADLINE_S[row["other_channel"]],
                )
            if move.pauses_gateway:
                await _pause(conn, row, may_be_route=_may_be_route(delivery, row))
            if move.ends_probe:
                await pause_queries.end_probe(
                    conn,
                    gateway=row["gateway"],
                    organiser_id=row["organiser_id"],
                    attempt_id=row["attempt_id"],
                )
        await suppress_all(conn, delivery.keys, _suppressed(delivery, rows))
    for row, move in zip(rows, moves, strict=True):
        _log_decision(row, move)
    return len(rows), any(move.uses_other_channel for move in moves)


def _suppressed(delivery: Delivery, rows: Sequence[Record]) -> Iterator[Suppressed]:
    """The contacts that must not be written to any more, by what their gateways said."""
    for row in rows:
        reason = suppression_after(row["channel"], row["reason"], row["error_code"])
        if reason is None:
            continue
        try:
            contact = delivery.keys.sealer.open(row["recipient_sealed"], contact_context(row["organiser_id"]))
        except SealBroken:
            continue  # nobody can write to it either
        yield Suppressed(row["channel"], contact, reason)


def _escalated(rows: Sequence[Record], moves: Sequence[Move]) -> Iterator[tuple[UUID, UUID]]:
    for row, move in zip(rows, moves, strict=True):
        if move.state is MessageState.ESCALATED:
            yield row["organiser_id"], row["message_id"]


def _failure(delivery: Delivery, row: Record) -> Failure:
    return Failure(
        state=MessageState(row["state"]),
        channel=row["channel"],
        reason=row["reason"],
        tries=row["tries"],
        has_other_channel=row["other_channel"] is not None,
        left_s=row["left_s"],
        contact_fault=_contact_fault(delivery, row),
        pauses_caused=row["pauses_caused"],
        may_be_route=_may_be_route(delivery, row),
        others_pass=row["others_pass"],
    )


def _contact_fault(delivery: Delivery, row: Record) -> ContactFault | None:
    gateway = delivery.gateways.get(row["channel"])
    return gateway.contact_faults.get(row["error_code"]) if isinstance(gateway, DiscerningGateway) else None


def _may_be_route(delivery: Delivery, row: Record) -> bool:
    gateway = delivery.gateways.get(row["channel"])
    return isinstance(gateway, RoutedGateway) and row["error_code"] in gateway.route_codes


def _retry_in(row: Record, retry_in: RetryIn) -> float | None:
    if row["reason"] in DECIDED:
        return None
    return retry_in(row["channel"], action_of(row["reason"]), row["tries"])


def _decision(row: Record, move: Move) -> DecisionRow:
    return DecisionRow(
        organiser_id=row["organiser_id"],
        message_id=row["message_id"],
        state=move.state,
        reason=move.reason,
        due_in_s=move.due_in_s,
        counts_as_try=move.counts_as_try,
        is_blamed=move.pauses_gateway,
    )


async def _pause(conn: Connection, row: Record, *, may_be_route: bool) -> None:
    pause_s = await pause_queries.pause_gateway(
        conn,
        gateway=row["gateway"],
        reason=row["error_code"] or Action.PAUSE_GATEWAY.value,
        organiser_id=row["organiser_id"],
        attempt_id=row["attempt_id"],
        shortest_s=SHORTEST_ROUTE_PAUSE_S if may_be_route else SHORTEST_PAUSE_S,
        longest_s=LONGEST_PAUSE_S,
    )
    if pause_s is not None:
        metrics.gateway_pauses.labels(row["gateway"], "gateway").inc()
        log.error("gateway_paused", gateway=row["gateway"], error_code=row["error_code"], pause_s=round(pause_s))


def _log_decision(row: Record, move: Move) -> None:
    if move.reason == Reason.UNCLASSIFIED:
        metrics.unclassified.labels(row["gateway"] or "none").inc()
    note = log.error if move.reason in _FOR_STAFF else log.info
    note(
        "failure_decided",
        message_id=row["message_id"],
        gateway=row["gateway"],
        error_code=row["error_code"],
        state=move.state.value,
        reason=move.reason,
        delay_s=move.due_in_s,
    )
