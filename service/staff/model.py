"""Workers as values, their errors, and what one text may charge. Pure: no I/O, no clock.

SeteliError
├── WorkerUnknown      none of this provider's
├── WorkerPhoneTaken   the number is another live worker's
├── WorkerNameUnfit
├── WorkerLocked       a new PIN alone is not enough: the lock must be lifted
└── WorkerNotLocked    there is no lock to lift
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal, get_args
from uuid import UUID

from service.errors import Conflict, Invalid, NotFound
from service.money import Unit
from service.staff.grammar import NUMBER_DIGITS, PIN_DIGITS

WorkerLanguage = Literal["fi", "sv", "en"]
WORKER_LANGUAGES: tuple[str, ...] = get_args(WorkerLanguage)
NAME_MAX = 60

WRONG_MAX = 3
"""Wrong PINs and wrong answers in a row after which a worker is locked out. A constraint of the table says the same."""
QUESTION_MINUTES = 15


class WorkerUnknown(NotFound):
    """This provider has no such worker, or has removed it."""

    code = "worker_unknown"


class WorkerPhoneTaken(Conflict):
    """The number is a live worker's already: of this provider, or of another."""

    code = "worker_phone_taken"


class WorkerNameUnfit(Invalid):
    """A worker's name is 1–60 printable characters."""

    code = "worker_name_unfit"


class WorkerLocked(Conflict):
    """The worker is locked after three wrong PINs: the lock has to be lifted, which gives a new PIN, too."""

    code = "worker_locked"


class WorkerNotLocked(Conflict):
    """The worker is not locked; a new PIN can be had without lifting anything."""

    code = "worker_not_locked"


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker as its provider's office sees it."""

    worker_id: UUID
    provider_id: UUID
    name: str
    language: str
    phone_hint: str | None
    locked_at: datetime | None
    created_at: datetime
    removed_at: datetime | None

    @property
    def state(self) -> Literal["active", "locked", "removed"]:
        if self.removed_at is not None:
            return "removed"
        return "active" if self.locked_at is None else "locked"


@dataclass(frozen=True, slots=True)
class NewPin:
    """A worker's PIN at the one moment when it can be read."""

    worker: Worker
    pin: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Sender:
    """A worker whose text is being answered. Its row is locked."""

    worker_id: UUID
    provider_id: UUID
    name: str
    language: str
    phone: str = field(repr=False)
    pin_sealed: bytes = field(repr=False)
    wrong_pins: int
    is_locked: bool
    is_suspended: bool  # its provider
    texts_today: int
    charges_today: int


class Answer(StrEnum):
    """Why nothing was charged, where it is the text and not a rule of the voucher. Sentences in templates/charging/."""

    PIN_WRONG = "pin_wrong"
    NUMBER_WRONG = "number_wrong"
    LOCKED = "locked"
    SUSPENDED = "suspended"
    NO_QUESTION = "no_question"
    DAY_UNCLEAR = "day_unclear"
    CLOCK_UNCLEAR = "clock_unclear"
    OVER_MINUTES = "over_minutes"
    OVER_CENTS = "over_cents"
    OVER_VISITS = "over_visits"
    OVER_DAY = "over_day"


@dataclass(frozen=True, slots=True)
class Caps:
    """What a text may charge, and how often a worker may charge and be answered a day."""

    minutes: int
    cents: int
    visits: int
    charges_per_day: int
    texts_per_day: int

    def of(self, unit: Unit) -> int:
        """How much of this unit one text may charge."""
        return {Unit.MINUTES: self.minutes, Unit.CENTS: self.cents}.get(unit, self.visits)


def over_cap(unit: Unit) -> Answer:
    return {Unit.MINUTES: Answer.OVER_MINUTES, Unit.CENTS: Answer.OVER_CENTS}.get(unit, Answer.OVER_VISITS)


def draw_pin(random_below: Callable[[int], int]) -> str:
    """Six digits, zeros in front included: a PIN is a text, never a number."""
    return f"{random_below(10**PIN_DIGITS):0{PIN_DIGITS}}"


def draw_number(random_below: Callable[[int], int]) -> str:
    """The four digits that a question is answered with."""
    return f"{random_below(10**NUMBER_DIGITS):0{NUMBER_DIGITS}}"


def check_name(name: str) -> None:
    """Raises WorkerNameUnfit."""
    if not (1 <= len(name) <= NAME_MAX and name.isprintable() and name == name.strip()):
        raise WorkerNameUnfit(max=NAME_MAX)
