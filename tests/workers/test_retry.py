from __future__ import annotations

from itertools import pairwise

import pytest

from service.channels.gateway import Action, ChannelName
from service.channels.model import DEADLINE_S
from service.workers.retry import RULES, retry_in_s


def waits(channel: ChannelName, action: Action) -> list[float]:
    """The longest waits that fit before the deadline."""
    found: list[float] = []
    while True:
        wait_s = retry_in_s(channel, action, tries=len(found), chance=0.999999)
        if wait_s is None or sum(found) + wait_s > DEADLINE_S[channel]:
            return found
        found.append(wait_s)


@pytest.mark.parametrize(("channel", "action"), RULES)
def test_waits_never_shrink_and_the_tries_end(channel: ChannelName, action: Action) -> None:
    found = waits(channel, action)
    assert 2 <= len(found) <= 1000
    assert all(earlier <= later for earlier, later in pairwise(found))


@pytest.mark.parametrize(("channel", "action"), RULES)
def test_jitter_keeps_every_wait_between_half_and_all_of_its_length(channel: ChannelName, action: Action) -> None:
    shortest = retry_in_s(channel, action, tries=1, chance=0.0)
    longest = retry_in_s(channel, action, tries=1, chance=0.999999)
    assert shortest is not None
    assert longest is not None
    assert shortest == pytest.approx(longest / 2, rel=1e-3)


@pytest.mark.parametrize("channel", ["sms", "email"])
@pytest.mark.parametrize(
    "action", [Action.BAD_CONTACT, Action.OPTED_OUT, Action.FILTERED, Action.TEMPLATE_FAULT, Action.UNCLASSIFIED]
)
def test_what_is_permanent_is_never_tried_again(channel: ChannelName, action: Action) -> None:
    assert retry_in_s(channel, action, tries=0, chance=0.5) is None


def test_greylisted_mail_waits_at_least_five_minutes_and_is_tried_all_day() -> None:
    assert retry_in_s("email", Action.RETRY_LATER, tries=0, chance=0.0) == 300
    assert len(waits("email", Action.RETRY_LATER)) >= 6


def test_an_unreachable_phone_is_tried_twice_more() -> None:
    assert len(waits("sms", Action.RETRY_THEN_OTHER_CHANNEL)) == 2
