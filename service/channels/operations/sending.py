"""Claim what is due, render it, commit the attempts; later, write down what the gateways answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal
from uuid import UUID, uuid4

import structlog
from asyncpg import Record
from uuid_utils.compat import uuid7

from service import metrics
from service.attention import operations as attention
from service.channels.gateway import (
    Accepted,
    Action,
    Answer,
    ChannelName,
    Content,
    Outgoing,
    Refused,
    SmsContent,
    attempt_address,
)
from service.channels.limits import is_served
from service.channels.model import MessageState, Reason, after_answer
from service.channels.operations import limits, suppressions
from service.channels.operations.delivery import Delivery
from service.channels.operations.outbox import contact_context
from service.channels.queries import pauses as pause_queries
from service.channels.queries import sending as queries
from service.channels.queries.sending import AnswerRow, NewAttempt
from service.channels.rendering import TemplateFault
from service.channels.sms_text import measure
from service.crypto import SealBroken
from service.db import Connection, autocommit, transaction

log = structlog.get_logger()

PROBES_SET_ASIDE_MAX = 50  # in one go, before what else is due gets its turn

Secrets = Mapping[UUID, Mapping[str, str] | SealBroken]


@dataclass(frozen=True, slots=True)
class Sending:
    """A message that this process holds the lease of, ready for its gateway."""

    organiser_id: UUID
    message_id: UUID
    attempt_id: UUID
    fence: int
    kind: str
    channel: ChannelName
    gateway: str
    outgoing: Outgoing = field(repr=False)
    fields: Mapping[str, str] = field(repr=False)
    is_probe: bool = False


@dataclass(frozen=True, slots=True)
class _Unsendable:
    state: Literal[MessageState.SUPPRESSED, MessageState.ESCALATED, MessageState.FAILED]
    reason: Reason


@dataclass(frozen=True, slots=True)
class Claim:
    """What one claim of a channel took."""

    started: list[Sending]
    taken: int  # the messages that were set aside instead included
    is_rationed: bool  # the gateway's rate left some for later


async def claim_channel(delivery: Delivery, *, channel: ChannelName, limit: int) -> Claim:
    """Take up to `limit` due messages: next fence, lease and attempt row are committed when this returns.

    The most urgent first, as far as the gateway's rate and budget go. A message that cannot be rendered, or must not
    be sent, is set aside in the same transaction. If this raises, either nothing was taken, or the leases run out and
    the attempts end as unknown.
    """
    async with transaction(delivery.pool) as conn:
        # Before the messages: whoever waited for the rate with messages in hand would leave others the less urgent.
        await limits.lock_rate(conn, delivery, channel)
        due = await queries.select_due(
            conn,
            channel=channel,
            gateway=delivery.gateways[channel].name,
            priority_below=await limits.priority_below(conn, delivery, channel),
            limit=limit,
            quiet=delivery.settings.quiet_hours,
        )
        rows = await limits.within_rate(conn, delivery, channel, due)
        started = await _start(conn, delivery, rows) if rows else []
    return Claim(started, taken=len(rows), is_rationed=len(rows) < len(due))


async def claim_due(delivery: Delivery, *, limit: int) -> list[Sending]:
    """Take up to `limit` due messages of all channels; see `claim_channel`."""
    claimed: list[Sending] = []
    for channel in delivery.gateways:
        if len(claimed) < limit:
            claim = await claim_channel(delivery, channel=channel, limit=limit - len(claimed))
            claimed += claim.started
    return claimed


async def claim_probes(delivery: Delivery) -> list[Sending]:
    """For each gateway whose pause is over, take one message to see whether it works again."""
    probes: list[Sending] = []
    for channel in delivery.gateways:
        for _ in range(PROBES_SET_ASIDE_MAX):
            async with transaction(delivery.pool) as conn:
                claim = await _claim_probe(conn, delivery, channel)
            probes += [replace(sending, is_probe=True) for sending in claim.started]
            if claim.started or not claim.taken:
                break
    return probes


async def _claim_probe(conn: Connection, delivery: Delivery, channel: ChannelName) -> Claim:
    """Take one message, and keep others from probing while it is out. One that may not be sent tells nothing."""
    gateway = delivery.gateways[channel].name
    is_ours = await queries.lock_spent_pause(conn, gateway=gateway)
    rows = await _select_probe(conn, delivery, channel) if is_ours else []
    started = await _start(conn, delivery, rows) if rows else []
    if started:
        await pause_queries.extend_pause(conn, gateway=gateway, for_s=delivery.settings.lease_s)
    return Claim(started, taken=len(rows), is_rationed=False)


async def _select_probe(conn: Connection, delivery: Delivery, channel: ChannelName) -> Sequence[Record]:
    """Rather a message that was not refused before: if that gets through, it was the message and not the gateway."""
    quiet = delivery.settings.quiet_hours
    for is_blameless in (True, False):
        if rows := await queries.select_probe(conn, channel=channel, is_blameless=is_blameless, quiet=quiet):
            return rows
    return []


async def _start(conn: Connection, delivery: Delivery, rows: Sequence[Record]) -> list[Sending]:
    secrets = await _secrets(conn, delivery, rows)
    capped = await limits.over_number_cap(conn, delivery, rows)
    started: list[Sending] = []
    attempts: list[NewAttempt] = []
    set_aside: list[tuple[UUID, UUID, str, str]] = []
    for row in rows:
        prepared = _prepare(delivery, row, secrets) if row["message_id"] not in capped else _over_cap(delivery, row)
        if isinstance(prepared, _Unsendable):
            set_aside.append((row["organiser_id"], row["message_id"], prepared.state, prepared.reason))
        else:
            started.append(prepared[0])
            attempts.append(prepared[1])
    if set_aside:
        await queries.set_aside(conn, messages=set_aside)
        await attention.open_for_escalated(conn, [(aside[0], aside[1]) for aside in set_aside])
    started, attempts = await _leave_suppressed(conn, delivery, started, attempts)
    if attempts:
        await queries.start_attempts(conn, attempts=attempts, lease_s=delivery.settings.lease_s)
        await limits.count_parts(conn, delivery, started[0].channel, sum(attempt.parts or 0 for attempt in attempts))
    return started


async def _leave_suppressed(
    conn: Connection, delivery: Delivery, started: list[Sending], attempts: list[NewAttempt]
) -> tuple[list[Sending], list[NewAttempt]]:
    """What is left to send when the contacts that must not be written to are taken out: a STOP since the queueing wins.

    By the contact itself and not by the message's index of it: during a rotation that may be under another key than
    the suppression.
    """
    standing = await suppressions.standing(
        conn, delivery.keys, [(sending.channel, sending.outgoing.recipient) for sending in started]
    )
    if not standing:
        return started, attempts
    why = [standing.get((sending.channel, sending.outgoing.recipient)) for sending in started]
    await queries.fail_suppressed(
        conn,
        messages=[
            (sending.organiser_id, sending.message_id, suppression.reason.value)
            for sending, suppression in zip(started, why, strict=True)
            if suppression is not None
        ],
    )
    free = [place for place, suppression in enumerate(why) if suppression is None]
    return [started[place] for place in free], [attempts[place] for place in free]


async def _secrets(conn: Connection, delivery: Delivery, rows: Sequence[Record]) -> Secrets:
    """The secret fields of a whole batch, one call for each kind of message."""
    wanted: dict[str, list[tuple[UUID, UUID]]] = {}
    for row in rows:
        if row["secret_id"] is not None:
            wanted.setdefault(row["kind"], []).append((row["organiser_id"], row["secret_id"]))
    found: dict[UUID, Mapping[str, str] | SealBroken] = {}
    for kind, secrets in wanted.items():
        if (secret_fields := delivery.secret_fields.get(kind)) is None:
            continue
        try:
            found.update(await secret_fields(conn, secrets))
        except SealBroken:
            # One seal that cannot be opened must not hold up the others: find out which it is.
            for secret in secrets:
                try:
                    found.update(await secret_fields(conn, [secret]))
                except SealBroken as error:
                    found[secret[1]] = error
    return found


def _prepare(delivery: Delivery, row: Record, secrets: Secrets) -> tuple[Sending, NewAttempt] | _Unsendable:
    fields: Mapping[str, str] = row["fields"]
    channel: ChannelName = row["channel"]
    if row["secret_id"] is not None:
        secret = secrets.get(row["secret_id"])
        if secret is None and row["kind"] in delivery.secret_fields:
            return _Unsendable(MessageState.SUPPRESSED, Reason.OBSOLETE)
        if isinstance(secret, SealBroken):
            return _unreadable(row)
        fields = {**fields, **(secret or {})}
    try:
        content = _render(delivery, row, channel, fields)
        recipient = delivery.keys.sealer.open(row["recipient_sealed"], contact_context(row["organiser_id"]))
    except TemplateFault as error:
        # Its text names templates and fields, never values.
        log.error(
            "template_fault", message_id=row["message_id"], kind=row["kind"], language=row["language"], what=str(error)
        )
        return _Unsendable(MessageState.ESCALATED, Reason.TEMPLATE_FAULT)
    except SealBroken:
        return _unreadable(row)
    if channel == "sms" and not is_served(recipient, delivery.settings.sms_countries):
        log.warning("country_not_served", message_id=row["message_id"], kind=row["kind"])
        metrics.held_back.labels(delivery.gateways[channel].name, "country").inc()
        return _Unsendable(MessageState.FAILED, Reason.COUNTRY_NOT_SERVED)
    return _attempt(delivery, row, content, recipient, fields)


def _over_cap(delivery: Delivery, row: Record) -> _Unsendable:
    log.warning("number_cap_reached", message_id=row["message_id"], kind=row["kind"])
    metrics.held_back.labels(delivery.gateways[row["channel"]].name, "number").inc()
    return _Unsendable(MessageState.FAILED, Reason.NUMBER_CAP)


def _unreadable(row: Record) -> _Unsendable:
    log.error("contact_unreadable", message_id=row["message_id"], kind=row["kind"])
    return _Unsendable(MessageState.ESCALATED, Reason.CONTACT_UNREADABLE)


def _render(delivery: Delivery, row: Record, channel: ChannelName, fields: Mapping[str, str]) -> Content:
    if channel == "sms":
        return SmsContent(delivery.templates.render_sms(row["kind"], row["language"], fields))
    # The same for every attempt: mail readers show a repeat only once.
    message_id = row["message_id"].hex
    return delivery.templates.render_email(row["kind"], row["language"], fields, message_id=message_id)


def _attempt(
    delivery: Delivery, row: Record, content: Content, recipient: str, fields: Mapping[str, str]
) -> tuple[Sending, NewAttempt]:
    token, name = uuid4(), delivery.gateways[row["channel"]].name
    size = measure(content.text) if isinstance(content, SmsContent) else None
    attempt = NewAttempt(
        organiser_id=row["organiser_id"],
        message_id=row["message_id"],
        attempt_id=uuid7(),
        token=token,
        gateway=name,
        fence=row["fence"] + 1,
        body_digest=delivery.keys.index.current("body", content.text),
        body_key=delivery.keys.index.key_id,
        parts=size.parts if size else None,
        encoding=size.encoding if size else None,
    )
    sending = Sending(
        organiser_id=row["organiser_id"],
        message_id=row["message_id"],
        attempt_id=attempt.attempt_id,
        fence=attempt.fence,
        kind=row["kind"],
        channel=row["channel"],
        gateway=name,
        outgoing=Outgoing(attempt_address(row["organiser_id"], token), recipient, content),
        fields=fields,
    )
    return sending, attempt


@dataclass(frozen=True, slots=True)
class Answered:
    sending: Sending
    answer: Answer


async def record_answers(delivery: Delivery, answers: list[Answered]) -> list[bool]:
    """Write down what gateways answered, in one statement; for each, whether it moved its message.

    Guarded by the fence: an answer that comes when a newer attempt has the message keeps its reference on its own
    attempt and changes nothing else. Safe to repeat.
    """
    async with autocommit(delivery.pool) as conn:
        recorded = await queries.record_answers(conn, answers=[_answer_row(delivery, item) for item in answers])
        for item in answers:
            if item.sending.is_probe and _works(item.answer):
                sending = item.sending
                if await pause_queries.end_pause(
                    conn,
                    gateway=sending.gateway,
                    organiser_id=sending.organiser_id,
                    attempt_id=sending.attempt_id,
                ):
                    log.warning("gateway_resumed", gateway=sending.gateway)
    for item in answers:
        result = recorded[item.sending.attempt_id]
        if result.is_stale:
            metrics.stale_writes.inc()
            log.warning("answer_stale", message_id=item.sending.message_id, gateway=item.sending.gateway)
        if result.waited_s is not None and isinstance(item.answer, Accepted):
            metrics.decision_to_accepted_s.labels(item.sending.channel).observe(result.waited_s)
    return [recorded[item.sending.attempt_id].moved for item in answers]


def _works(answer: Answer) -> bool:
    """Whether the answer shows a gateway whose set-up is right."""
    if isinstance(answer, Refused):
        return answer.action not in (Action.PAUSE_GATEWAY, Action.RETRY, Action.RETRY_LATER)
    return isinstance(answer, Accepted)


def _answer_row(delivery: Delivery, item: Answered) -> AnswerRow:
    sending, answer = item.sending, item.answer
    move = after_answer(answer, channel=sending.channel, unknown_wait_s=delivery.settings.unknown_wait_s)
    match answer:
        case Accepted():
            outcome, code = "accepted", None
        case Refused():
            outcome, code = "refused", answer.code
        case _:
            outcome, code = "unknown", answer.reason
    return AnswerRow(
        organiser_id=sending.organiser_id,
        message_id=sending.message_id,
        attempt_id=sending.attempt_id,
        fence=sending.fence,
        outcome=outcome,
        reference=answer.reference if isinstance(answer, Accepted) else None,
        error_code=code,
        parts=answer.parts if isinstance(answer, Accepted) else None,
        state=move.state,
        reason=move.reason,
        due_in_s=move.due_in_s,
    )
