"""Less patience than in production, in proportion: polls, retries and pauses come after seconds, not after minutes.

What can be set in the environment is set there; the rest is put in place in the processes under test.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import replace
from types import ModuleType
from typing import cast

from service.channels import model
from service.channels.operations import upkeep
from service.workers import retry

SETTINGS = {
    # Not so short that a machine which does much else makes a fault of its own: a mail whose outcome was unknown twice
    # is for a person, and a worker has to write down what it was answered before another one may send it again.
    "GATEWAY_TIMEOUT_S": "3",
    "LEASE_S": "6.5",  # the gateway's time-out, the dispatcher's grace of 2 s, and time to begin
    "UNKNOWN_WAIT_S": "5",
    "LOOKUP_INTERVAL_S": "1",
    "POLL_INTERVAL_S": "0.3",
    "QUIET_FROM": "0",  # none: nothing would settle before the morning
    "QUIET_TO": "0",
    "TEXTS_PER_NUMBER_PER_DAY": "500",  # a family here has the visits of years in seconds
}
POLLS_S = (2.0, 5.0, 10.0)
QUICKER = 60
SHORTEST_RETRY_S, SHORTEST_LONGEST_RETRY_S = 0.5, 2.0


def quicken() -> None:
    """Make this process impatient. Call it before the service starts."""
    _put(model, "_POLLS_S", POLLS_S)
    _put(model, "PAUSED_RETRY_S", 1.0)
    _put(upkeep, "SHORTEST_PAUSE_S", 1.0)
    _put(upkeep, "LONGEST_PAUSE_S", 5.0)
    rules = cast(MutableMapping[object, retry.RetryRule], retry.RULES)
    for of, rule in list(rules.items()):
        rules[of] = replace(
            rule,
            first_s=max(rule.first_s / QUICKER, SHORTEST_RETRY_S),
            longest_s=max(rule.longest_s / QUICKER, SHORTEST_LONGEST_RETRY_S),
        )


def _put(module: ModuleType, name: str, value: object) -> None:
    """Fails when there is no such name any more: else the run would be as patient as production, and say nothing."""
    getattr(module, name)
    setattr(module, name, value)
