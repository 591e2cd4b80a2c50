"""What a provider asks, in lists that begin on a day. Pure: no I/O, no clock.

A list is in force until the next one begins; one that has begun never changes, because debits name the list that they
were worked out from. A provider without one asks what the voucher is worth.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import date, timedelta

from service.errors import Refused
from service.organisers.model import UnitValueUnfit
from service.organisers.rules import FIRST_DAY, VALUE_MAX_CENTS, StartsTooEarly


class NotApprovedForProgramme(Refused):
    """The provider is not approved for this `programme` there, from that day on."""

    code = "not_approved_for_programme"


@dataclass(frozen=True, slots=True)
class Prices:
    """Of an hour, a visit or a session, in cents, in each tariff band."""

    weekday_cents: int
    evening_cents: int
    saturday_cents: int
    sunday_cents: int
    """Of public holidays, too."""


@dataclass(frozen=True, slots=True)
class PriceList:
    """A provider's prices for one organiser's programme, from a day on."""

    organiser: str
    """Its short name."""
    programme: str
    starts_on: date
    prices: Prices


def prices_of(
    weekday_cents: int,
    *,
    evening_cents: int | None = None,
    saturday_cents: int | None = None,
    sunday_cents: int | None = None,
) -> Prices:
    """A band that is not given costs as weekdays do. Raises UnitValueUnfit."""
    prices = Prices(
        weekday_cents=weekday_cents,
        evening_cents=weekday_cents if evening_cents is None else evening_cents,
        saturday_cents=weekday_cents if saturday_cents is None else saturday_cents,
        sunday_cents=weekday_cents if sunday_cents is None else sunday_cents,
    )
    for field in fields(Prices):
        if not 1 <= getattr(prices, field.name) <= VALUE_MAX_CENTS:
            raise UnitValueUnfit(field=field.name)
    return prices


def check_start(starts_on: date, *, today: date, has_begun: bool) -> None:
    """A list begins tomorrow or later, once one has begun; before that, on any day. Raises StartsTooEarly."""
    earliest = today + timedelta(days=1) if has_begun else FIRST_DAY
    if starts_on < earliest:
        raise StartsTooEarly(earliest=str(earliest))
