"""Faults of ours, put in on purpose: each has to be caught, or the judge sleeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from service.channels import handlers
from service.channels.gateway import Unknown
from service.channels.model import MessageState, Move
from service.channels.operations import sending
from service.channels.queries import upkeep


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
    handlers._is_signed = lambda *_: True


def _changed(text: str, old: str, new: str) -> str:
    if old not in text:
        raise ValueError(f"nothing to put a fault in: {old}")
    return text.replace(old, new)


MUTANTS: Mapping[str, Callable[[], None]] = {
    "resend-blindly": resend_blindly,
    "forget-the-lease": forget_the_lease,
    "never-expire-leases": never_expire_leases,
    "believe-every-receipt": believe_every_receipt,
}
