"""Charge what a worker texts, and answer: all in the transaction that takes the text in.

So a charge and its answer are committed together or not at all, and so is the count of wrong PINs with its answer. A
text that the gateway brings again is told by its reference, first in the journal of texts and then, for ever, by the
charge's idempotency key. Whoever can write a text can forge its sender: without the PIN nothing is charged until
somebody who can read that phone has answered with the number that was sent there.
"""

from __future__ import annotations

import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any
from uuid import UUID

import structlog
from uuid_utils.compat import uuid7

from service import metrics
from service.channels.inbound import Effect
from service.channels.model import CHARGE_ANSWER_PRIORITY, Contacts, NewMessage
from service.channels.operations import Replied, Typed, contact_indexes, queue_message, standing
from service.channels.phrases import format_day
from service.crypto import Keys, SealBroken
from service.db import Connection
from service.debits.model import ChargeOrder, PossibleDuplicate, ServiceDateInFuture, TimesRequired
from service.debits.operations.by_code import debit_unless_alike, validate_within
from service.errors import Detail
from service.idempotency import TEXTED_PREFIX
from service.money import Unit, format_amount
from service.quiet_hours import QuietHours
from service.staff import queries
from service.staff.grammar import ChargeText, Confirmation, Needed, Slip, amount_in, read_text
from service.staff.model import QUESTION_MINUTES, WRONG_MAX, Answer, Caps, Sender, draw_number, over_cap
from service.staff.pins import is_pin, number_context
from service.staff.queries import Question
from service.staff.sentences import sentences
from service.staff.visits import Visit, is_weekday, when
from service.vouchers.codes import DIGITS_MIN, last_four
from service.vouchers.decisions import helsinki_day
from service.vouchers.operations.replies import NOBODY
from service.vouchers.sealing import CODE_PURPOSE, open_code

log = structlog.get_logger()

WORKER = "worker"
"""Who asks for the answers, as the outbox writes it."""
OK = "ok"


@dataclass(frozen=True, slots=True)
class _Nothing:
    """Why nothing is charged, and whose voucher it was about, as far as the worker may know."""

    code: str
    details: Mapping[str, Detail]
    last_four: str = ""
    organiser_id: UUID = NOBODY


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A charge that may be made, as far as the text itself goes."""

    order: ChargeOrder
    service_date: date
    organiser_id: UUID
    code_id: UUID
    last_four: str


@dataclass(frozen=True)
class TextCharging:
    """Charges by text; `service.resources` gives it to channels."""

    keys: Keys
    caps: Caps
    code_digits: int
    quiet: QuietHours

    async def take(self, conn: Connection, typed: Typed) -> Replied | None:
        """Charge, ask or say why not; None for a text that is no charge, or from nobody's phone.

        Not idempotent by itself: the caller takes each text once. Raises RequestInFlight.
        """
        said = read_text(typed.body, self.code_digits)
        return None if said is None else await self._take(conn, said, typed)

    async def guide(self, conn: Connection, phone: str) -> Replied | None:
        """Tell a worker whose text was no charge that nothing was charged, and how it is written; None: nobody's phone.

        Whoever stands at the door must not be left in doubt. As idempotent as `take`.
        """
        return await self._take(conn, Slip.UNCLEAR, Typed(phone, "", "", ""))

    async def _take(self, conn: Connection, said: ChargeText | Confirmation | Slip, typed: Typed) -> Replied | None:
        found = await queries.take_sender(conn, phone_indexes=contact_indexes(self.keys, "sms", typed.phone))
        if found is None:
            return None
        sender = Sender(**dict(found), phone=typed.phone)
        if await standing(conn, self.keys, [("sms", sender.phone)]):
            return Replied(Effect.UNANSWERABLE)
        if sender.texts_today > self.caps.texts_per_day:
            return Replied(Effect.OVER_LIMIT)
        replied = await self._answer(conn, sender, said, typed)
        log.info("charge_texted", effect=replied.effect.value, provider_id=str(sender.provider_id))
        return replied

    async def _answer(
        self, conn: Connection, sender: Sender, said: ChargeText | Confirmation | Slip, typed: Typed
    ) -> Replied:
        if sender.is_suspended:
            return await self._refuse(conn, sender, _Nothing(Answer.SUSPENDED, {}))
        if sender.is_locked:
            return await self._refuse(conn, sender, _Nothing(Answer.LOCKED, {}))
        if isinstance(said, Slip):
            return await self._refuse(conn, sender, _Nothing(said, {"digits": _lengths(self.code_digits)}))
        if isinstance(said, Confirmation):
            return await self._confirm(conn, sender, said)
        if said.pin is None:
            return await self._ask(conn, sender, said, typed)
        if not await is_pin(self.keys, sender.worker_id, sender.pin_sealed, said.pin):
            return await self._count_wrong(conn, sender, Answer.PIN_WRONG)
        await queries.clear_wrong(conn, worker_id=sender.worker_id)
        wanted = await self._work_out(conn, sender, said, typed)
        if isinstance(wanted, _Nothing):
            return await self._refuse(conn, sender, wanted)
        return await self._charge(conn, sender, wanted)

    async def _count_wrong(self, conn: Connection, sender: Sender, answer: Answer) -> Replied:
        left = WRONG_MAX - await queries.count_wrong(conn, worker_id=sender.worker_id, locks_at=WRONG_MAX)
        if left > 0:
            return await self._refuse(conn, sender, _Nothing(answer, {"tries": left}))
        await queries.delete_question(conn, worker_id=sender.worker_id)
        log.warning("worker_locked", provider_id=str(sender.provider_id))
        return await self._refuse(conn, sender, _Nothing(Answer.LOCKED, {}))

    async def _work_out(self, conn: Connection, sender: Sender, said: ChargeText, typed: Typed) -> _Wanted | _Nothing:
        """What the text asks to charge, in the unit of the code's programme and within the caps of a text."""
        now = await queries.select_now(conn)
        visit = when(said.day, said.clock, now)
        if isinstance(visit, Answer):
            return _Nothing(visit, {})
        if visit.service_date > helsinki_day(now):
            return _Nothing(ServiceDateInFuture.code, {"service_date": visit.service_date.isoformat()})
        if sender.charges_today >= self.caps.charges_per_day:
            return _Nothing(Answer.OVER_DAY, {"cap": self.caps.charges_per_day})
        order = self._order(sender, said.code, typed, visit)
        outcome, found = await validate_within(conn, order)
        if outcome != OK:
            metrics.debit_refusals.labels(outcome).inc()
            return _Nothing(outcome, found)
        known = await queries.select_code(conn, code_indexes=self.keys.index.all(CODE_PURPOSE, said.code))
        assert known is not None, "it was found a moment ago, and codes stay"
        (organiser_id, code_id), unit, ending = known, Unit(found["unit"]), last_four(said.code)
        amount = amount_in(unit, said.quantity) if said.clock is None else None
        if isinstance(amount, Needed):
            return _Nothing(amount, {}, ending, organiser_id)
        asked = found["amount"] if amount is None else amount  # worked out from the times, of the whole visit
        over = self._over(unit, asked, visit)
        if over is not None:
            cap = format_amount(self.caps.of(over), over, sender.language)
            return _Nothing(over_cap(over), {"cap": cap}, ending, organiser_id)
        return _Wanted(replace(order, amount=amount), visit.service_date, organiser_id, code_id, ending)

    def _over(self, unit: Unit, asked: int | None, visit: Visit) -> Unit | None:
        """The unit of the cap that a charge is over; the hours of the clock are capped whatever is counted."""
        if visit.minutes > self.caps.minutes:
            return Unit.MINUTES
        return unit if asked is not None and asked > self.caps.of(unit) else None

    def _order(self, sender: Sender, code: str, typed: Typed, visit: Visit) -> ChargeOrder:
        index, request = self.keys.index, f"TEXT {sender.worker_id}\n{typed.body}"
        return ChargeOrder(
            provider_id=sender.provider_id,
            credential_id=sender.worker_id,
            key=f"{TEXTED_PREFIX}{typed.gateway}:{typed.reference}",
            fingerprint=index.current("request", request),
            previous_fingerprint=index.previous("request", request),
            language=sender.language,
            code_index=index.current(CODE_PURPOSE, code),
            previous_code_index=index.previous(CODE_PURPOSE, code),
            new_id=uuid7(),
            service_date=None if visit.is_today else visit.service_date,
            starts_at=visit.starts_at,
            ends_at=visit.ends_at,
            worker=sender.name,
        )

    async def _charge(self, conn: Connection, sender: Sender, wanted: _Wanted) -> Replied:
        """Charge it; or, where a visit like it is charged or held already, ask whether it is another one."""
        ending, organiser_id = wanted.last_four, wanted.organiser_id
        verdict = await debit_unless_alike(conn, wanted.order, self.quiet)
        if verdict is None:
            return await self._ask_about(conn, sender, wanted)
        answer: Mapping[str, Any] = json.loads(verdict.answer)
        if not verdict.is_success:
            metrics.debit_refusals.labels(verdict.outcome).inc()
            return await self._refuse(conn, sender, _Nothing(verdict.outcome, answer, ending, organiser_id))
        if not verdict.replayed:
            await queries.count_charge(conn, worker_id=sender.worker_id)
        fields = await self._amounts(conn, sender, answer) | {
            "last_four": ending,
            "left": format_amount(answer["available"], Unit(answer["unit"]), sender.language),
        }
        return Replied(Effect.CHARGED, (await self._tell(conn, sender, "reply_charge_done", fields, organiser_id),))

    async def _ask(self, conn: Connection, sender: Sender, said: ChargeText, typed: Typed) -> Replied:
        """Keep what is wanted, and send the number that it is answered with to the worker's own phone."""
        wanted = await self._work_out(conn, sender, said, typed)
        if isinstance(wanted, _Nothing):
            return await self._refuse(conn, sender, wanted)
        return await self._ask_about(conn, sender, wanted)

    async def _ask_about(self, conn: Connection, sender: Sender, wanted: _Wanted) -> Replied:
        outcome, found = await validate_within(conn, wanted.order)
        refusal = outcome if outcome != OK else found["refusal"]
        is_alike = refusal == PossibleDuplicate.code
        if is_alike:  # what the question is about, then
            refusal = None
        if (
            refusal is None
            and found["times_asked"]
            and wanted.order.starts_at is None
            and is_weekday(wanted.service_date)
        ):
            refusal, found = TimesRequired.code, {"refusal_details": {}}
        if refusal is not None:
            details = found if outcome != OK else found["refusal_details"]
            return await self._refuse(conn, sender, _Nothing(refusal, details, wanted.last_four, wanted.organiser_id))
        question_id = uuid7()
        question = Question(
            worker_id=sender.worker_id,
            question_id=question_id,
            number_sealed=self.keys.sealer.seal(draw_number(secrets.randbelow), number_context(question_id)),
            organiser_id=wanted.organiser_id,
            code_id=wanted.code_id,
            amount=wanted.order.amount,
            service_date=wanted.service_date,
            starts_at=wanted.order.starts_at,
            ends_at=wanted.order.ends_at,
            key=wanted.order.key,
            fingerprint=wanted.order.fingerprint,
            is_alike=is_alike,
        )
        await queries.ask(conn, question=question, minutes=QUESTION_MINUTES)
        fields = await self._amounts(conn, sender, {**found, "service_date": wanted.service_date.isoformat()})
        message_id = await self._tell(
            conn,
            sender,
            "reply_charge_question",
            fields | {"last_four": wanted.last_four, "alike": "yes" if is_alike else ""},
            wanted.organiser_id,
            secret_id=question_id,
        )
        return Replied(Effect.CHARGE_ASKED, (message_id,))

    async def _confirm(self, conn: Connection, sender: Sender, said: Confirmation) -> Replied:
        """Charge exactly what was asked, once. Another number than the one that was sent is a try at it.

        A visit like another one is charged if the question has told of that one; else it is asked about again.
        """
        question = await queries.select_question(conn, worker_id=sender.worker_id)
        if question is None:
            return await self._refuse(conn, sender, _Nothing(Answer.NO_QUESTION, {}))
        try:
            number = self.keys.sealer.open(question["number_sealed"], number_context(question["question_id"]))
            code = open_code(self.keys, question["code_id"], question["code_sealed"])
        except SealBroken:  # its key was taken out in these minutes
            return await self._refuse(conn, sender, _Nothing(Answer.NO_QUESTION, {}))
        if not hmac.compare_digest(number, said.number):
            return await self._count_wrong(conn, sender, Answer.NUMBER_WRONG)
        await queries.clear_wrong(conn, worker_id=sender.worker_id)
        await queries.delete_question(conn, worker_id=sender.worker_id)
        if sender.charges_today >= self.caps.charges_per_day:
            return await self._refuse(conn, sender, _Nothing(Answer.OVER_DAY, {"cap": self.caps.charges_per_day}))
        index = self.keys.index
        order = ChargeOrder(
            provider_id=sender.provider_id,
            credential_id=sender.worker_id,
            key=question["key"],
            fingerprint=question["fingerprint"],
            previous_fingerprint=None,
            language=sender.language,
            code_index=index.current(CODE_PURPOSE, code),
            previous_code_index=index.previous(CODE_PURPOSE, code),
            new_id=uuid7(),
            amount=question["amount"],
            service_date=question["service_date"],
            starts_at=question["starts_at"],
            ends_at=question["ends_at"],
            worker=sender.name,
            duplicate_ok=question["is_alike"],
        )
        wanted = _Wanted(
            order, question["service_date"], question["organiser_id"], question["code_id"], last_four(code)
        )
        return await self._charge(conn, sender, wanted)

    async def _amounts(self, conn: Connection, sender: Sender, answer: Mapping[str, Any]) -> dict[str, str]:
        """How much, what the family pays of its own, and the day unless it is today."""
        today, day = helsinki_day(await queries.select_now(conn)), date.fromisoformat(answer["service_date"])
        own = answer["family_pays_cents"]
        return {
            "amount": format_amount(answer["amount"], Unit(answer["unit"]), sender.language),
            "family_pays": "" if own is None else format_amount(own, Unit.CENTS, sender.language),
            "service_date": "" if day == today else format_day(day, today, sender.language),
        }

    async def _refuse(self, conn: Connection, sender: Sender, nothing: _Nothing) -> Replied:
        said = sentences(nothing.code, nothing.details, sender.language)
        fields = {"last_four": nothing.last_four, "reason": said.detail, "next_step": said.next_step}
        message_id = await self._tell(conn, sender, "reply_charge_refused", fields, nothing.organiser_id)
        return Replied(Effect.CHARGE_REFUSED, (message_id,))

    async def _tell(
        self,
        conn: Connection,
        sender: Sender,
        kind: str,
        fields: Mapping[str, str],
        organiser_id: UUID,
        *,
        secret_id: UUID | None = None,
    ) -> UUID:
        """Queue an answer to the worker. It is about this text alone, and not about the voucher, whose family it must
        not follow when that changes its number."""
        message = NewMessage(
            organiser_id=organiser_id,
            kind=kind,
            subject_id=uuid7(),
            secret_id=secret_id,
            fields=fields,
            language=sender.language,
            contacts=Contacts(phone=sender.phone),
            requested_by=WORKER,
            priority=CHARGE_ANSWER_PRIORITY,
        )
        return await queue_message(conn, self.keys, message)


def _lengths(digits: int) -> str:
    """12, or 12-16 since new codes are longer: with a hyphen, for a dash would make two parts of the text."""
    return str(digits) if digits == DIGITS_MIN else f"{DIGITS_MIN}-{digits}"
