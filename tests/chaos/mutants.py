"""Faults of ours, put in on purpose: each has to be caught, or the judge sleeps.

Each is put into the processes under test as they start; no file is changed. `options` is the run that shows it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

from service.attention import operations as attention
from service.channels import handlers
from service.channels.gateway import Unknown
from service.channels.model import MessageState, Move
from service.channels.operations import inbound, sending, suppressions
from service.channels.operations import upkeep as upkeep_operations
from service.channels.queries import receipts as receipt_queries
from service.channels.queries import sending as sending_queries
from service.channels.queries import upkeep
from service.workers import answers, dispatcher


def resend_blindly() -> None:
    """A time-out is taken for a refusal."""
    decide = sending.after_answer

    def after_answer(answer: Any, **options: Any) -> Move:
        move = decide(answer, **options)
        return replace(move, state=MessageState.PENDING, due_in_s=0) if isinstance(answer, Unknown) else move

    sending.after_answer = after_answer


def forget_the_lease() -> None:
    """Whoever died while sending is taken for somebody who had not begun."""
    upkeep.EXPIRE_LEASES = _changed(upkeep.EXPIRE_LEASES, "state = 'unknown', reason", "state = 'pending', reason")


def never_expire_leases() -> None:
    """Nobody looks after those who died while sending."""
    upkeep.EXPIRE_LEASES = _changed(upkeep.EXPIRE_LEASES, "state = 'sending' AND", "state = 'sending' AND false AND")


def believe_every_receipt() -> None:
    """Signatures are not looked at."""
    _there(handlers, "_is_signed")
    handlers._is_signed = lambda *_: True


def let_receipts_move_back() -> None:
    """A receipt is written over whatever the message was."""
    receipt_queries.RECORD_RECEIPTS = _changed(
        receipt_queries.RECORD_RECEIPTS, "m.state || '>' || k.state = ANY($10::text[])", "$10::text[] IS NOT NULL"
    )


def forget_the_fence() -> None:
    """An answer is written over what another worker has done since."""
    sending_queries.RECORD_ANSWERS = _changed(sending_queries.RECORD_ANSWERS, "AND m.fence = answer.fence", "")


def only_when_called() -> None:
    """Nothing is looked for without a call."""
    _there(dispatcher, "_wait")

    async def wait(event: Any, _timeout_s: float) -> None:
        await event.wait()

    dispatcher._wait = wait


def fall_back_twice() -> None:
    """The other channel is chosen, and once more."""
    insert = upkeep.insert_fallback

    async def insert_fallback(conn: Any, **options: Any) -> None:
        await insert(conn, **options)
        again = _changed(upkeep.INSERT_FALLBACK, "other_hint, message_id, priority", "other_hint, NULL, priority")
        await conn.execute(again, options["organiser_id"], options["message_id"], uuid4(), options["deadline_s"])

    upkeep.insert_fallback = insert_fallback


def answer_every_copy() -> None:
    """A text that the gateway brings again counts as another one."""
    insert = inbound.queries.insert_text

    async def insert_text(conn: Any, *, text: Any) -> bool:
        await insert(conn, text=text)
        return True

    inbound.queries.insert_text = insert_text


def ignore_stop() -> None:
    """The list of contacts that must not be written to is not looked at."""
    _there(suppressions, "standing")

    async def standing(*_: Any, **__: Any) -> dict[Any, Any]:
        return {}

    suppressions.standing = standing  # type: ignore[assignment]


def tell_nobody() -> None:
    """What ends with a person gets on nobody's list."""

    async def nothing(*_: Any, **__: Any) -> int:
        return 0

    _there(attention, "open_for_escalated")
    _there(attention.queries, "open_missing")
    attention.open_for_escalated = nothing
    attention.queries.open_missing = nothing  # type: ignore[assignment]


def ask_nobody() -> None:
    """A text whose receipts are lost is never asked after."""
    upkeep.CLAIM_SILENT = _changed(upkeep.CLAIM_SILENT, "ANY('{unknown,accepted,sent}')", "ANY('{unknown}')")


def claim_without_lock() -> None:
    """Two workers may take the same message, and the attempt is not held against its fence."""
    sending_queries.SELECT_DUE = _changed(sending_queries.SELECT_DUE, "FOR UPDATE SKIP LOCKED", "")


def disbelieve_look_ups() -> None:
    """Whatever a look-up finds counts as nothing found."""
    decide = upkeep_operations.after_look_up

    def after_look_up(silence: Any, _found: Any, *arguments: Any, **options: Any) -> Move:
        return decide(replace(silence, lookups=9), upkeep_operations.Absent(), *arguments, **options)

    upkeep_operations.after_look_up = after_look_up


def write_answers_once() -> None:
    """What a gateway answered is lost if the database is away just then."""
    _there(answers.Answers, "record")

    async def record(self: Any, answered: Any) -> None:
        with contextlib.suppress(*answers.MAY_PASS):
            await self._groups.submit(answered)

    answers.Answers.record = record  # type: ignore[method-assign]


def _there(module: Any, name: str) -> None:
    """Fails when there is no such name any more."""
    getattr(module, name)


def _changed(text: str, old: str, new: str) -> str:
    if old not in text:
        raise ValueError(f"nothing to put a fault in: {old}")
    return text.replace(old, new)


@dataclass(frozen=True)
class Mutant:
    put_in: Callable[[], None]
    options: Sequence[str]


_GATEWAY = ("--faults", "gateway", "--seconds", "5", "--points", "none")
_RECEIPTS = ("--faults", "receipts", "--seconds", "4", "--points", "none")
_LONGER = ("--faults", "receipts", "--seconds", "16", "--points", "none")  # past what is under way at a STOP
_DEATH = ("--faults", "nothing", "--points", "24,30,36,42,48,54")
_SLEEP = ("--faults", "nothing", "--points", "none", "--sleeper")
_OUTAGES = ("--faults", "kill postgres", "--seconds", "12", "--points", "none")
_TWO = ("--faults", "nothing", "--points", "none", "--workers", "2", "--texts", "240")

MUTANTS: Mapping[str, Mutant] = {
    "resend-blindly": Mutant(resend_blindly, _GATEWAY),
    "disbelieve-look-ups": Mutant(disbelieve_look_ups, _GATEWAY),
    "forget-the-lease": Mutant(forget_the_lease, _DEATH),
    "never-expire-leases": Mutant(never_expire_leases, _DEATH),
    "forget-the-fence": Mutant(forget_the_fence, _SLEEP),
    "write-answers-once": Mutant(write_answers_once, _OUTAGES),
    "only-when-called": Mutant(only_when_called, _GATEWAY),
    "claim-without-lock": Mutant(claim_without_lock, _TWO),
    "believe-every-receipt": Mutant(believe_every_receipt, _RECEIPTS),
    "let-receipts-move-back": Mutant(let_receipts_move_back, _RECEIPTS),
    "ask-nobody": Mutant(ask_nobody, _RECEIPTS),
    "fall-back-twice": Mutant(fall_back_twice, _RECEIPTS),
    "tell-nobody": Mutant(tell_nobody, _RECEIPTS),
    "answer-every-copy": Mutant(answer_every_copy, _RECEIPTS),
    "ignore-stop": Mutant(ignore_stop, _LONGER),
}
