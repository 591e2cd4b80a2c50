"""Take in a text from a family or a worker: once, in one transaction with everything that it leads to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from uuid import UUID

import structlog

from service import metrics
from service.channels.inbound import (
    REPEAT_WINDOW_S,
    Asked,
    Effect,
    History,
    is_automatic,
    read_intent,
    read_language,
    read_sender,
    reason_for_silence,
)
from service.channels.languages import LAST_RESORT
from service.channels.operations.suppressions import contact_indexes, lift, suppress
from service.channels.queries import inbound as queries
from service.channels.queries.inbound import InboundText
from service.channels.suppressions import SuppressionReason
from service.crypto import Keys
from service.db import Connection, Pool, transaction
from service.errors import RequestInFlight

log = structlog.get_logger()

BY_RECIPIENT = "recipient"
_JUNK_MAX = 64

# Twilio waits 15 s for the answer to a text that it brings, connecting and its retry of a failed connection included,
# and grants nobody more (its page "Webhooks: connection overrides": read timeout and total time, 15 000 ms each, the
# default and the most). A refusal it does not bring again: that text is lost. One text of a number is taken after the
# other, and a PIN takes its time to check: those that come together wait, without a connection. All tries together,
# waiting for connections and rows included, have this long; 2 s are for the way, and for a commit: that is not cut off.
PATIENCE_S = 13.0
AGAIN_AFTER_S = 0.1


@dataclass(frozen=True, slots=True)
class Inquiry:
    """A text that is to be answered. Its sender may be forged: only what is sent to the number itself is safe."""

    intent: Asked
    phone: str = field(repr=False)
    history: History
    language: str = LAST_RESORT  # as far as its words tell


@dataclass(frozen=True, slots=True)
class Replied:
    """What the answering noun did, and the messages that it queued, to wake a worker by."""

    effect: Effect
    message_ids: tuple[UUID, ...] = ()


Replying = Callable[[Connection, Inquiry], Awaitable[Replied]]
"""Answers an inquiry with messages queued in the caller's transaction. Registered in `service.resources`."""


@dataclass(frozen=True, slots=True)
class Typed:
    """A text as it was typed, for whoever has to read more of it than its first word. Nothing of it is kept."""

    phone: str = field(repr=False)
    body: str = field(repr=False)
    gateway: str
    reference: str


Charging = Callable[[Connection, Typed], Awaitable[Replied | None]]
"""Charges what a provider's worker texts, and answers, in the caller's transaction; None: it is not such a text."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """A text as its gateway brought it, its origin proven by the gateway's signature."""

    gateway: str
    reference: str
    sender: str = field(repr=False)
    body: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Reception:
    """Who answers, and whom: mobiles of these countries, each this often in 24 hours."""

    reply: Replying
    countries: tuple[str, ...]
    answers_per_day: int
    charge: Charging | None = None


async def take_text(pool: Pool, keys: Keys, reception: Reception, incoming: Incoming) -> tuple[UUID, ...]:
    """Do what a text asks for, and write down that it came; returns the messages that were queued.

    Idempotent by the gateway's reference. STOP and START always count; anything else is answered unless a machine
    seems to be writing, or the number has had its answers for today (`inbound.reason_for_silence`). Nothing of the
    words is kept. What a worker's text charges is committed with its answer, or neither is. Waits while another text of
    the number, or another charge of the voucher, is under way; raises RequestInFlight, with nothing done, when that or
    anything else lasts as long as the gateway waits, DatabaseUnavailable, OutcomeUnknown.
    """
    clock = asyncio.get_running_loop()
    gives_up_at = clock.time() + PATIENCE_S
    while True:
        try:
            return await _take_text(pool, keys, reception, incoming, gives_up_at=gives_up_at)
        except RequestInFlight:  # undone: nothing of it is there yet
            if clock.time() + AGAIN_AFTER_S > gives_up_at:
                raise
        await asyncio.sleep(AGAIN_AFTER_S)


async def _take_text(
    pool: Pool, keys: Keys, reception: Reception, incoming: Incoming, *, gives_up_at: float
) -> tuple[UUID, ...]:
    intent, phone = read_intent(incoming.body), read_sender(incoming.sender, reception.countries)
    sender = phone or incoming.sender[:_JUNK_MAX]
    text = InboundText(
        gateway=incoming.gateway,
        reference=incoming.reference,
        sender_index=keys.index.current("phone", sender),
        body_digest=keys.index.current("body", incoming.body),
        intent=intent,
    )
    patience = asyncio.timeout_at(gives_up_at)
    try:
        async with patience, transaction(pool) as conn:
            if not await queries.lock_sender(conn, sender_index=text.sender_index):
                raise RequestInFlight
            if not await queries.insert_text(conn, text=text):
                metrics.inbound_texts.labels(intent, "duplicate").inc()
                return ()
            answered = await _respond(conn, keys, reception, intent, phone, incoming)
            await queries.update_effect(
                conn, gateway=incoming.gateway, reference=incoming.reference, effect=answered.effect
            )
            await queries.forget_old(conn)
            patience.reschedule(None)  # nobody would know of a commit that is cut off whether it was done
    except TimeoutError as error:
        if patience.expired():
            raise RequestInFlight from error
        raise
    metrics.inbound_texts.labels(intent, answered.effect.value).inc()
    log.info("text_taken", gateway=incoming.gateway, effect=answered.effect.value)
    return answered.message_ids


async def _respond(
    conn: Connection, keys: Keys, reception: Reception, intent: Asked, phone: str | None, incoming: Incoming
) -> Replied:
    if phone is None:
        return Replied(Effect.NOT_A_PHONE)
    if intent == "stop":
        await suppress(conn, keys, channel="sms", contact=phone, reason=SuppressionReason.OPTED_OUT)
        return Replied(Effect.STOPPED)
    if intent == "start":
        wish = SuppressionReason.OPTED_OUT
        await lift(conn, keys, channel="sms", contact=phone, lifted_by=BY_RECIPIENT, reason=None, only=wish)
        return Replied(Effect.STARTED)
    body = incoming.body
    if reception.charge is not None:
        typed = Typed(phone, body, incoming.gateway, incoming.reference)
        if (charged := await reception.charge(conn, typed)) is not None:
            return charged
    history = await queries.select_history(
        conn,
        sender_indexes=contact_indexes(keys, "sms", phone),
        body_digests=keys.index.all("body", body),
        repeat_window_s=REPEAT_WINDOW_S,
    )
    silence = reason_for_silence(
        intent, history, looks_automatic=is_automatic(body), answers_per_day=reception.answers_per_day
    )
    if silence is not None:
        return Replied(silence)
    return await reception.reply(conn, Inquiry(intent, phone, history, read_language(body)))


async def strangers_answered(conn: Connection) -> int:
    """How many answers to numbers that nothing is known of went out in 24 hours, whoever asked."""
    return await queries.count_strangers(conn)
