"""How much may be sent: by second, by number, by day and country. Pure; the counts are the database's.

A limit holds over all workers. What it holds back is kept (rate, budget) or told to a person (number, country); nothing
is dropped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from service.channels.contacts import PhoneNotMobile, parse_mobile

ALERT_SHARE = 0.8
RESERVE_SHARE = 1.2
"""How far vouchers may go beyond the budget before the gateway is paused until the next day."""

BUDGET_REASON = "budget"

FIRST_IS_EXEMPT = frozenset({"voucher", "reply_charge_done", "reply_charge_question", "reply_charge_refused"})
"""Kinds whose first message about a subject is sent however many texts the number got: families share phones, and a
worker who has charged a dozen visits is told of each. Each answer to a charge is about a subject of its own; how many
there are a day is limited where they are made."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What may be spent today, in parts."""

    parts: int

    @property
    def alert_at(self) -> float:
        """When this much is spent, someone should know."""
        return self.parts * ALERT_SHARE

    def is_spent(self, parts: int) -> bool:
        """Only what is urgent goes on."""
        return parts >= self.parts

    def is_reserve_spent(self, parts: int) -> bool:
        """Nothing goes on."""
        return parts >= self.parts * RESERVE_SHARE


def over_cap(numbers: Sequence[bytes], sent_before: Mapping[bytes, int], *, cap: int) -> list[int]:
    """The places in `numbers` (a batch, in the order of sending) that come after the number's last free place today."""
    sent: Counter[bytes] = Counter(sent_before)
    over: list[int] = []
    for place, number in enumerate(numbers):
        if sent[number] >= cap:
            over.append(place)
        else:
            sent[number] += 1
    return over


def is_served(number: str, countries: Collection[str]) -> bool:
    """Whether a number is still a mobile one of a country on the allow-list: the list may have been shortened since."""
    try:
        parse_mobile(number, tuple(countries))
    except PhoneNotMobile:
        return False
    return True
