"""Blocks, the breaker and their ends as values, with their errors. Pure: no I/O, no clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from service.errors import Invalid, NotFound

REASON_MAX = 500
LIFT_ACTION = "block_lifted"
ACKNOWLEDGE_ACTION = "breaker_acknowledged"

SUPPORT_READ = "support:read"
SUPPORT_WRITE = "support:write"


class BlockUnknown(NotFound):
    """No credential of this id was ever blocked."""

    code = "block_unknown"


class BreakerNeverTripped(NotFound):
    """There is nothing to acknowledge: the breaker never tripped."""

    code = "breaker_never_tripped"


class SupportReasonUnfit(Invalid):
    """A reason for lifting or acknowledging is 1–500 characters of text (`max`)."""

    code = "support_reason_unfit"


CredentialKind = Literal["key", "worker", "person", "unknown"]


@dataclass(frozen=True, slots=True)
class Suspect:
    """A credential with misses in the last 24 hours: an API key, or a worker who charges by text."""

    credential_id: UUID
    kind: CredentialKind
    name: str | None
    hint: str | None
    provider_id: UUID | None
    business_id: str | None
    provider_name: str | None
    misses_last_hour: int
    misses_last_day: int
    blocked_at: datetime | None
    blocked_until: datetime | None

    @property
    def is_blocked(self) -> bool:
        return self.blocked_until is not None


@dataclass(frozen=True, slots=True)
class Breaker:
    """Whether so much was missed on the whole installation that a person must look, and by what limits."""

    tripped_at: datetime | None
    misses_that_tripped: int | None
    misses_today: int
    misses_counted: int
    """Of those of today, the ones since it was last acknowledged: they bring it to the next trip."""
    misses_an_hour: int
    misses_an_hour_tripped: int
    misses_a_day: int
    misses_of_all: int

    @property
    def is_tripped(self) -> bool:
        return self.tripped_at is not None


@dataclass(frozen=True, slots=True)
class Lifting:
    """A block that a person ended, and why."""

    credential_id: UUID
    lifted_at: datetime
    lifted_by: str
    reason: str


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """A trip of the breaker that a person has looked into, and what it was."""

    trip_id: UUID
    tripped_at: datetime
    misses: int
    acknowledged_at: datetime
    acknowledged_by: str
    reason: str


@dataclass(frozen=True, slots=True)
class Weighed:
    """What the misses of 24 hours come to."""

    misses_today: int
    is_tripped: bool
    has_just_tripped: bool


def check_reason(reason: str) -> str:
    """The reason without what surrounds it. Raises SupportReasonUnfit."""
    reason = reason.strip()
    if not (1 <= len(reason) <= REASON_MAX) or "\0" in reason:
        raise SupportReasonUnfit(max=REASON_MAX)
    return reason
