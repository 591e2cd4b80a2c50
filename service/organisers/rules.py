"""A programme's rules as values: what is charged, what it is worth and when, in versions that begin on a day.

A version is in force until the next one begins, and the one of the day on which a visit began counts for all of it.
One that has begun never changes: what was charged under it can be worked out again. Pure: no I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import date, time
from enum import StrEnum
from typing import TypedDict

from service.errors import Invalid, NotFound
from service.money import MAX_AMOUNT, Unit
from service.organisers.model import SLUG, SlugMalformed, UnitValueUnfit

FIRST_DAY = date(2000, 1, 1)
"""When a programme's first version begins: before any visit."""
BANDS = ("weekday_cents", "evening_cents", "saturday_cents", "sunday_cents")
VALUE_MAX_CENTS = 1_000_000  # ten thousand euros an hour: a slip of the pen
WEEK_MINUTES = 7 * 24 * 60
TASK_TYPES_MAX = 30
HOLD_LAPSE_HOURS_MAX = 90 * 24
LATE_ENTRY_DAYS_MAX = 366


class RulesUnfit(Invalid):
    """What `field` says is not possible for such a programme."""

    code = "rules_unfit"


class ValuesIncomplete(Invalid):
    """An hour, visit or session has a value in every tariff band, or in none."""

    code = "values_incomplete"


class EveningIncomplete(Invalid):
    """An evening has a beginning and another end; without them, none can have a value of its own."""

    code = "evening_incomplete"


class StartsTooEarly(Invalid):
    """What has begun never changes: a new version begins tomorrow (`earliest`) or later."""

    code = "starts_too_early"


class RulesVersionUnknown(NotFound):
    """No version of the programme's rules begins on that day (`starts_on`)."""

    code = "rules_version_unknown"


class Rounding(StrEnum):
    """How a visit's length becomes a multiple of the programme's step."""

    UP = "up"
    NEAREST = "nearest"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class ProgrammeRules:
    """One version. The four values are of an hour (minutes, cents), a visit or a session in each tariff band."""

    starts_on: date
    step: int = 1
    rounding: Rounding = Rounding.UP
    weekday_cents: int | None = None
    evening_cents: int | None = None
    saturday_cents: int | None = None
    sunday_cents: int | None = None
    """Of public holidays, too."""
    evening_from: time | None = None
    """Of weekdays, in Helsinki; over midnight if `evening_to` is earlier."""
    evening_to: time | None = None
    eves_are_holidays: bool = False
    """Midsummer Eve and Christmas Eve cost as Sundays do."""
    weekly_visits: int | None = None
    """Of decisions that name no weekly cap themselves, as the next one is."""
    weekly_minutes: int | None = None
    free_by_law: bool = False
    """The family must pay nothing."""
    task_types: tuple[str, ...] = ()
    """What a visit may be for; empty: it is not asked."""
    no_show_allowed: bool = False
    hold_lapse_hours: int = 72
    """After the end of the visit that was booked."""
    late_entry_days: int = 30
    """After the voucher's end."""


class RulesChange(TypedDict, total=False):
    """What is to be otherwise in the next version; what is left out stays as it was, and None takes it away."""

    step: int
    rounding: Rounding
    weekday_cents: int | None
    evening_cents: int | None
    saturday_cents: int | None
    sunday_cents: int | None
    evening_from: time | None
    evening_to: time | None
    eves_are_holidays: bool
    weekly_visits: int | None
    weekly_minutes: int | None
    free_by_law: bool
    task_types: tuple[str, ...]
    no_show_allowed: bool
    hold_lapse_hours: int
    late_entry_days: int


def changed_rules(before: ProgrammeRules, change: RulesChange, *, starts_on: date) -> ProgrammeRules:
    """The next version. A band without a value of its own follows the weekday, as does an evening without hours."""
    after = replace(before, starts_on=starts_on, **change)
    is_new = before.weekday_cents is None or after.weekday_cents is None

    def value_of(band: str, kept: int | None, *, follows: bool) -> int | None:
        return after.weekday_cents if follows and band not in change else kept

    return replace(
        after,
        evening_cents=value_of("evening_cents", after.evening_cents, follows=is_new or after.evening_from is None),
        saturday_cents=value_of("saturday_cents", after.saturday_cents, follows=is_new),
        sunday_cents=value_of("sunday_cents", after.sunday_cents, follows=is_new),
    )


def check_rules(rules: ProgrammeRules, unit: Unit) -> None:
    """Raises UnitValueUnfit, ValuesIncomplete, EveningIncomplete, RulesUnfit, SlugMalformed, in this order."""
    _check_step(rules, unit)
    _check_values(rules)
    _check_evening(rules)
    _check_caps(rules, unit)
    _check_task_types(rules.task_types)
    _check_range("hold_lapse_hours", rules.hold_lapse_hours, 1, HOLD_LAPSE_HOURS_MAX)
    _check_range("late_entry_days", rules.late_entry_days, 0, LATE_ENTRY_DAYS_MAX)


def _check_step(rules: ProgrammeRules, unit: Unit) -> None:
    step = rules.step
    fits = {
        Unit.CENTS: step <= MAX_AMOUNT,
        # So that an hour can be charged, whose value is what the rules tell.
        Unit.MINUTES: step <= WEEK_MINUTES and (60 % max(step, 1) == 0 or step % 60 == 0),
        Unit.VISITS: step == 1,
        Unit.SESSIONS: step == 1,
    }[unit]
    if step < 1 or not fits:
        raise UnitValueUnfit(field="step")


def _check_values(rules: ProgrammeRules) -> None:
    values = {band: getattr(rules, band) for band in BANDS}
    for band, value in values.items():
        if value is not None and not 1 <= value <= VALUE_MAX_CENTS:
            raise UnitValueUnfit(field=band)
    if len([value for value in values.values() if value is not None]) not in (0, len(BANDS)):
        raise ValuesIncomplete


def _check_evening(rules: ProgrammeRules) -> None:
    begins, ends = rules.evening_from, rules.evening_to
    if (begins is None) != (ends is None) or (begins is not None and begins == ends):
        raise EveningIncomplete
    if begins is None and rules.evening_cents != rules.weekday_cents:
        raise EveningIncomplete
    for field, clock in (("evening_from", begins), ("evening_to", ends)):
        if clock is not None and (clock.second or clock.microsecond or clock.tzinfo):
            raise RulesUnfit(field=field)


def _check_caps(rules: ProgrammeRules, unit: Unit) -> None:
    minutes = rules.weekly_minutes
    if rules.weekly_visits is not None:
        _check_range("weekly_visits", rules.weekly_visits, 1, WEEK_MINUTES)
    if minutes is not None:
        _check_range("weekly_minutes", minutes, 1, WEEK_MINUTES)
        if unit is not Unit.MINUTES or minutes % rules.step:
            raise RulesUnfit(field="weekly_minutes")


def _check_task_types(task_types: tuple[str, ...]) -> None:
    if not all(SLUG.fullmatch(each) for each in task_types):
        raise SlugMalformed(field="task_types")
    if len(set(task_types)) != len(task_types) or len(task_types) > TASK_TYPES_MAX:
        raise RulesUnfit(field="task_types")


def _check_range(field: str, number: int, smallest: int, largest: int) -> None:
    if not smallest <= number <= largest:
        raise RulesUnfit(field=field)


def what_changed(before: ProgrammeRules, after: ProgrammeRules) -> Mapping[str, tuple[str, str]]:
    """By the field's name, how it was and how it is, as text; the day of beginning is not one of them."""
    names = [field.name for field in fields(ProgrammeRules) if field.name != "starts_on"]
    return {
        name: (_told(getattr(before, name)), _told(getattr(after, name)))
        for name in names
        if getattr(before, name) != getattr(after, name)
    }


def _told(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, time):
        return value.isoformat("minutes")
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
