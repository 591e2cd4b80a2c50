"""Finland's public holidays, as tariffs know them. Pure: known ahead for every year, no I/O, no clock.

The days off by law are one thing and two eves are another: most workplaces are closed on Midsummer Eve and Christmas
Eve, but whether they cost as Sundays do is for each programme's rules to say.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from functools import lru_cache

_YEARS_KEPT = 64


def holidays_among(days: Iterable[date]) -> tuple[date, ...]:
    """Those of the days that are public holidays, Sundays among them; the two eves are not."""
    return tuple(day for day in days if not _is_eve(day) and day in _days_of(day.year))


def eves_among(days: Iterable[date]) -> tuple[date, ...]:
    """Those of the days that are Midsummer Eve or Christmas Eve."""
    return tuple(day for day in days if _is_eve(day))


def _is_eve(day: date) -> bool:
    # Midsummer Day is the Saturday of 20–26 June since 1955, so its eve is the Friday before.
    return (day.month, day.day) == (12, 24) or (day.month == 6 and 19 <= day.day <= 25 and day.isoweekday() == 5)


@lru_cache(maxsize=_YEARS_KEPT)
def _days_of(year: int) -> frozenset[date]:
    # Its calendars of the whole world take a tenth of a second to load, which most commands never need.
    from holidays import country_holidays

    # The package lists the two eves, too.
    return frozenset(country_holidays("FI", years=year))
