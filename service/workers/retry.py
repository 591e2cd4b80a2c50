"""The retry table: how long to wait before the next try, by channel and class of error. Pure.

Every row ends: after so many tries, or at the message's deadline, whichever comes first. Waits are drawn between half
and all of their length, so that what failed together does not come back together.
"""

from __future__ import annotations

from collections.abc import Mapping
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
