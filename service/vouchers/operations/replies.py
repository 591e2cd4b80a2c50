"""What a family that texts us is answered: its balance, its code again, help, or that its dispute is being looked into.

Whoever can write a text can forge its sender. So an answer goes to the number itself and nowhere else, it holds no
code, and a code goes out only as it always does: to the contact that its voucher has.

A family may have vouchers of several organisers. Each organiser's answer is a message of its own, for messages belong
to organisers: none sees, in its own, what another has granted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import groupby
from uuid import UUID

import structlog
from uuid_utils.compat import uuid7

from service.channels.inbound import Effect, may_answer_stranger
from service.channels.kinds import NEUTRAL
from service.channels.languages import choose_language
from service.channels.model import ANSWER_PRIORITY, Contacts, NewMessage
from service.channels.operations import Inquiry, Replied, contact_indexes, queue_message, strangers_answered
from service.channels.phrases import format_balance, format_day
from service.crypto import Keys, SealBroken
from service.db import Connection
from service.money import Unit, format_amount
from service.organisers.model import Organiser
from service.organisers.operations import organiser_by_id
from service.vouchers.decisions import helsinki_day
from service.vouchers.model import SENDABLE, FamilyVoucher, ShownState, TooManyResends, VoucherNotOpen
from service.vouchers.operations.sending import FAMILY, resend
from service.vouchers.queries import vouchers as queries

log = structlog.get_logger()

RESEND_REASON = "asked by text message"
RESENDS_PER_DAY = 3
"""Of one voucher, on top of those that caseworkers ask for."""
STRANGERS_PER_DAY = 500
"""Answers to numbers that no voucher has, in the whole installation: anybody can text us, and each answer costs."""
LISTED_MAX = 3
"""Of each organiser."""
NOBODY = UUID(int=0)
"""Whose messages to strangers are: no organiser's."""


@dataclass(frozen=True, slots=True)
class ToldDebit:
    """A charge that a family was told of."""

    organiser_id: UUID
    voucher_id: UUID
    entry_id: UUID
    provider: str
    amount: int
    unit: Unit
    service_date: date
    neutral_texts: bool


FindDebit = Callable[[Connection, Sequence[bytes], Sequence[tuple[UUID, UUID]]], Awaitable[ToldDebit | None]]
"""From a number's indexes and its vouchers, as (organiser, voucher), to the newest charge that it was told of."""
DisputeDebit = Callable[[Connection, ToldDebit], Awaitable[None]]
"""Notes that the family says it was not so, and asks for a person."""
GuideWorker = Callable[[Connection, str], Awaitable[Replied | None]]
"""Tells whoever has this phone how charges are texted; None: it is no worker's."""


@dataclass(frozen=True)
class Replies:
    """Answers inquiries; `service.resources` gives it to channels."""

    keys: Keys
    find_debit: FindDebit
    dispute: DisputeDebit
    guide_worker: GuideWorker

    async def answer(self, conn: Connection, inquiry: Inquiry) -> Replied:
        """Queue what the number is to be told, in the caller's transaction. Not idempotent: the caller is."""
        indexes = contact_indexes(self.keys, "sms", inquiry.phone)
        known = await queries.select_family_vouchers(conn, phone_indexes=indexes)
        if not known:
            guided = await self.guide_worker(conn, inquiry.phone)
            return guided or await self._answer_stranger(conn, inquiry)
        today = helsinki_day(datetime.now(UTC))
        live = _live(known, today)
        if live and inquiry.intent == "balance":
            return Replied(
                Effect.ANSWERED, tuple([await self._tell(conn, inquiry, *r) for r in _balances(live, today)])
            )
        if live and inquiry.intent == "resend":
            return await self._send_again(conn, inquiry, live, today)
        if inquiry.intent == "dispute":
            pairs = [(family.voucher.organiser_id, family.voucher.voucher_id) for family in known]
            debit = await self.find_debit(conn, indexes, pairs)
            if debit is not None:
                return await self._dispute(conn, inquiry, debit, known, today)
        effect = Effect.GUESSED if inquiry.intent == "unknown" else Effect.ANSWERED
        return Replied(effect, (await self._tell(conn, inquiry, (live or known)[0], "reply_help", {}),))

    async def _answer_stranger(self, conn: Connection, inquiry: Inquiry) -> Replied:
        if not may_answer_stranger(inquiry.history) or await strangers_answered(conn) >= STRANGERS_PER_DAY:
            return Replied(Effect.OVER_LIMIT)
        message = NewMessage(
            organiser_id=NOBODY,
            kind="reply_unknown",
            subject_id=uuid7(),
            secret_id=None,
            fields={"help_phone": ""},
            language=inquiry.language,
            contacts=Contacts(phone=inquiry.phone),
            requested_by=FAMILY,
            priority=ANSWER_PRIORITY,
        )
        return Replied(Effect.STRANGER_ANSWERED, (await queue_message(conn, self.keys, message),))

    async def _send_again(
        self, conn: Connection, inquiry: Inquiry, live: Sequence[FamilyVoucher], today: date
    ) -> Replied:
        """Each code once more, RESENDS_PER_DAY times at most; who has had that is told so, once an organiser."""
        sent: list[UUID] = []
        limited: dict[UUID, FamilyVoucher] = {}
        for family in _listed(live):
            organiser = await organiser_by_id(conn, family.voucher.organiser_id)
            try:
                done = await resend(
                    conn,
                    self.keys,
                    organiser=organiser,
                    voucher_id=family.voucher.voucher_id,
                    actor=FAMILY,
                    reason=RESEND_REASON,
                    today=today,
                    per_day=RESENDS_PER_DAY,
                )
            except TooManyResends:
                limited.setdefault(organiser.organiser_id, family)
            except VoucherNotOpen:
                continue  # it ended a moment ago
            except SealBroken:  # the others' codes are not to be lost with it
                log.error("contact_unreadable", voucher_id=family.voucher.voucher_id)
            else:
                sent.append(done.message_id)
        told = [await self._tell(conn, inquiry, family, "reply_resend_limit", {}) for family in limited.values()]
        if not sent and not told:
            return Replied(Effect.ANSWERED, (await self._tell(conn, inquiry, live[0], "reply_help", {}),))
        return Replied(Effect.RESENT if sent else Effect.RESEND_LIMITED, (*sent, *told))

    async def _dispute(
        self, conn: Connection, inquiry: Inquiry, debit: ToldDebit, known: Sequence[FamilyVoucher], today: date
    ) -> Replied:
        await self.dispute(conn, debit)
        family = next(family for family in known if family.voucher.voucher_id == debit.voucher_id)
        fields = {
            "provider": debit.provider,
            "amount": format_amount(debit.amount, debit.unit, family.language),
            "service_date": format_day(debit.service_date, today, family.language),
            NEUTRAL: "yes" if debit.neutral_texts else "",
        }
        return Replied(Effect.DISPUTED, (await self._tell(conn, inquiry, family, "reply_dispute", fields),))

    async def _tell(
        self, conn: Connection, inquiry: Inquiry, family: FamilyVoucher, kind: str, fields: Mapping[str, str]
    ) -> UUID:
        organiser: Organiser = await organiser_by_id(conn, family.voucher.organiser_id)
        message = NewMessage(
            organiser_id=organiser.organiser_id,
            kind=kind,
            subject_id=family.voucher.voucher_id,
            secret_id=None,
            fields={**fields, "help_phone": organiser.help_phone},
            language=choose_language(family.language, organiser.default_language),
            contacts=Contacts(phone=inquiry.phone),
            requested_by=FAMILY,
            priority=ANSWER_PRIORITY,
        )
        return await queue_message(conn, self.keys, message)


def _live(known: Sequence[FamilyVoucher], today: date) -> list[FamilyVoucher]:
    """Those that can still pay for something, if only after a reversal: with something left first, then the newest."""
    shown = [(family.voucher.shown_state(today), family) for family in known]
    usable = [family for state, family in shown if state in SENDABLE and state is not ShownState.EXHAUSTED]
    return usable + [family for state, family in shown if state is ShownState.EXHAUSTED]


def _listed(live: Sequence[FamilyVoucher]) -> Iterator[FamilyVoucher]:
    """The first LISTED_MAX of each organiser: one that has granted many hides nobody else's."""
    count: Counter[UUID] = Counter()
    for family in live:
        count[family.voucher.organiser_id] += 1
        if count[family.voucher.organiser_id] <= LISTED_MAX:
            yield family


def _balances(live: Sequence[FamilyVoucher], today: date) -> Iterator[tuple[FamilyVoucher, str, Mapping[str, str]]]:
    """One answer an organiser, with a line for each voucher."""
    listed = sorted(_listed(live), key=lambda family: family.voucher.organiser_id)
    for _, families in groupby(listed, key=lambda family: family.voucher.organiser_id):
        of_organiser = list(families)
        language = of_organiser[0].language
        lines = [
            format_balance(
                family.last_four,
                format_amount(family.voucher.available, family.voucher.unit, language),
                format_day(family.voucher.valid_to, today, language),
                language,
            )
            for family in of_organiser
        ]
        yield of_organiser[0], "reply_balance", {"lines": "\n".join(lines)}
