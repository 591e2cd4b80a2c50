"""How long to wait before the next try: of a message, by channel and class of error; of our own loops. Pure.

Every row ends: after so many tries, or at the message's deadline, whichever comes first. Waits are drawn between half
and all of their length, so that what failed together does not come back together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from service.channels.gateway import Action, ChannelName


@dataclass(frozen=True, slots=True)
class RetryRule:
    first_s: float
    factor: float
    longest_s: float
    most_tries: int | None = None  # None: until the deadline


RULES: Mapping[tuple[ChannelName, Action], RetryRule] = {
    # Throttled, or the gateway is down: nothing was sent, and it clears in seconds.
    ("sms", Action.RETRY): RetryRule(first_s=2, factor=2, longest_s=300),
    ("email", Action.RETRY): RetryRule(first_s=2, factor=2, longest_s=300),
    # Congestion at a carrier.
    ("sms", Action.RETRY_LATER): RetryRule(first_s=300, factor=2, longest_s=1200, most_tries=3),
    # Greylisting asks for at least 5 minutes (RFC 6647 §5); a full box may clear within the day.
    ("email", Action.RETRY_LATER): RetryRule(first_s=600, factor=1.7, longest_s=4 * 3600),
    # The phone is off or out of reach: two more tries, then the other channel.
    ("sms", Action.RETRY_THEN_OTHER_CHANNEL): RetryRule(first_s=600, factor=3, longest_s=1800, most_tries=2),
    ("email", Action.RETRY_THEN_OTHER_CHANNEL): RetryRule(first_s=600, factor=3, longest_s=1800, most_tries=2),
}


def retry_in_s(channel: ChannelName, action: Action, *, tries: int, chance: float) -> float | None:
    """The wait before the next try after `tries` earlier ones, or None when there is to be none.

    `chance` is uniform in [0, 1).
    """
    rule = RULES.get((channel, action))
    if rule is None or (rule.most_tries is not None and tries >= rule.most_tries):
        return None
    # Past 32 doublings every rule is at its longest; the bound keeps the power from overflowing.
    longest_s = min(rule.first_s * rule.factor ** min(tries, 32), rule.longest_s)
    return longest_s * (0.5 + chance / 2)


class BackOff:
    """Growing waits while something is down."""

    def __init__(self, chance: Callable[[], float], *, first_s: float = 0.1, longest_s: float = 5.0) -> None:
        self._chance = chance
        self._first_s = first_s
        self._longest_s = longest_s
        self._failures = 0

    def reset(self) -> None:
        self._failures = 0

    def next_s(self) -> float:
        self._failures += 1
        wait_s = min(self._first_s * 2.0 ** min(self._failures - 1, 16), self._longest_s)
        return wait_s * (0.5 + self._chance() / 2)
