"""Which of several texts that say the same is which attempt's.

A text that is sent again is word for word the first, and a gateway tells of its texts no more than the words and the
second in which each was made. What one message takes for its own is another's loss: its receipts then tell of a text
that is on no record. So all attempts whose text has not been found yet are looked at together, by everybody alike.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID


@dataclass(frozen=True, slots=True, order=True)
class Start:
    """When an attempt began. The id puts those that began in one moment into an order that is the same for all."""

    started_at: datetime
    attempt_id: UUID


@dataclass(frozen=True, slots=True)
class Sought:
    """The text of one attempt, as it is looked for at a gateway."""

    start: Start
    since: datetime  # aware; texts made earlier cannot be it
    is_ours: Callable[[str], bool] = field(repr=False)  # is shown the words
    reference: str | None = None  # what the gateway calls it, when we know: then nothing else is it
    taken: Collection[str] = ()  # texts of other messages, which may say the same
    rivals: Collection[Start] = ()  # other attempts whose text would say the same and has not been found either


@dataclass(frozen=True, slots=True)
class Candidate:
    """A text that says what the attempt's says and is nobody's yet."""

    reference: str
    created_at: datetime  # in whole seconds


def choose(candidates: Sequence[Candidate], sought: Sought) -> Candidate | None:
    """The attempt's own text among `candidates`, which are in the order of gateways: newest first. None: there is none.

    As many texts as attempts: each has its own, by their order in time. Otherwise some attempt came to nothing, or has
    been answered since: the text nearest to the attempt's own start, and of several equally near ones again by order.
    While there is a candidate one is chosen: a text too few is looked for again, but one too many cannot be taken back.
    """
    oldest_first = list(reversed(candidates))
    in_time = sorted(oldest_first, key=lambda candidate: candidate.created_at)
    if not in_time:
        return None
    attempts = sorted({sought.start, *sought.rivals})
    if len(in_time) == len(attempts):
        return in_time[attempts.index(sought.start)]
    distance = _distance(sought.start, in_time)
    near = [candidate for candidate in in_time if _distance(sought.start, [candidate]) == distance]
    nearest_attempts = sorted(sorted(attempts, key=lambda attempt: _distance(attempt, near))[: len(near)])
    return near[nearest_attempts.index(sought.start)] if sought.start in nearest_attempts else near[0]


def _distance(start: Start, candidates: Sequence[Candidate]) -> timedelta:
    """From the second in which the attempt began to the nearest one in which a candidate was made."""
    began = start.started_at.replace(microsecond=0)
    return min(abs(candidate.created_at - began) for candidate in candidates)
