"""`python -m service programme rules …`"""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from datetime import date, datetime, time
from enum import StrEnum
from typing import Annotated, cast

import typer
from rich.table import Table
from rich.text import Text

from service.command_line import print_table, run_in_transaction
from service.db import Connection
from service.money import Unit, format_amount
from service.organisers import operations
from service.organisers.model import Programme
from service.organisers.rules import BANDS, ProgrammeRules, Rounding, RulesChange

rules_app = typer.Typer(help="A programme's rules, in versions that begin on a day.", no_args_is_help=True)


class Removable(StrEnum):
    """What rules can do without."""

    VALUES = "values"
    EVENING = "evening"
    WEEKLY_VISITS = "weekly-visits"
    WEEKLY_MINUTES = "weekly-minutes"
    TASK_TYPES = "task-types"


_REMOVED: dict[Removable, RulesChange] = {
    Removable.VALUES: {"weekday_cents": None, "evening_cents": None, "saturday_cents": None, "sunday_cents": None},
    Removable.EVENING: {"evening_from": None, "evening_to": None},
    Removable.WEEKLY_VISITS: {"weekly_visits": None},
    Removable.WEEKLY_MINUTES: {"weekly_minutes": None},
    Removable.TASK_TYPES: {"task_types": ()},
}
_VALUE = "of an hour, a visit or a session, in cents."
RulesOrganiser = Annotated[str, typer.Argument(metavar="ORGANISER", help="The organiser's short name.")]
RulesProgramme = Annotated[str, typer.Argument(metavar="PROGRAMME", help="The programme's short name.")]
StartsOn = Annotated[
    datetime, typer.Option(formats=["%Y-%m-%d"], metavar="YYYY-MM-DD", help="The first day: tomorrow or later.")
]
Step = Annotated[int | None, typer.Option(help="Amounts are multiples of this, e.g. 15 minutes.")]
RoundingOfTimes = Annotated[Rounding | None, typer.Option(help="How a visit's length goes to whole steps.")]
UnitValue = Annotated[int | None, typer.Option(help=f"The value {_VALUE} In every tariff band.")]
WeekdayValue = Annotated[int | None, typer.Option("--weekday-cents", help=f"The value on weekdays {_VALUE}")]
EveningValue = Annotated[int | None, typer.Option("--evening-cents", help="The value on evenings of weekdays.")]
SaturdayValue = Annotated[int | None, typer.Option("--saturday-cents", help="The value on Saturdays.")]
SundayValue = Annotated[int | None, typer.Option("--sunday-cents", help="The value on Sundays and public holidays.")]
EveningHours = Annotated[
    str | None, typer.Option("--evening", metavar="HH:MM-HH:MM", help="Of weekdays; may go over midnight.")
]
EvesAreHolidays = Annotated[
    bool | None,
    typer.Option(
        "--eves-are-holidays/--eves-are-weekdays", help="Midsummer Eve and Christmas Eve.", show_default=False
    ),
]
WeeklyVisits = Annotated[int | None, typer.Option(help="The most in a week, for decisions that say nothing else.")]
WeeklyMinutes = Annotated[int | None, typer.Option(help="The same in minutes.")]
FreeByLaw = Annotated[
    bool | None, typer.Option("--free-by-law/--own-contribution", help="May the family pay?", show_default=False)
]
TaskTypes = Annotated[
    list[str] | None, typer.Option("--task-type", help="What a visit may be for; repeatable, replaces the list.")
]
NoShow = Annotated[
    bool | None,
    typer.Option("--no-show-allowed/--no-show-refused", help="Visits that found nobody.", show_default=False),
]
HoldLapseHours = Annotated[int | None, typer.Option(help="When a hold lapses, after the visit's end.")]
LateEntryDays = Annotated[int | None, typer.Option(help="How long visits may be entered after a voucher's end.")]
Without = Annotated[list[Removable] | None, typer.Option("--without", help="Take this out of the rules; repeatable.")]


@rules_app.command("set")
def set_rules(
    organiser: RulesOrganiser,
    programme: RulesProgramme,
    starts_on: StartsOn,
    step: Step = None,
    rounding: RoundingOfTimes = None,
    unit_value_cents: UnitValue = None,
    weekday_cents: WeekdayValue = None,
    evening_cents: EveningValue = None,
    saturday_cents: SaturdayValue = None,
    sunday_cents: SundayValue = None,
    evening: EveningHours = None,
    eves_are_holidays: EvesAreHolidays = None,
    weekly_visits: WeeklyVisits = None,
    weekly_minutes: WeeklyMinutes = None,
    free_by_law: FreeByLaw = None,
    task_type: TaskTypes = None,
    no_show_allowed: NoShow = None,
    hold_lapse_hours: HoldLapseHours = None,
    late_entry_days: LateEntryDays = None,
    without: Without = None,
) -> None:
    """Change the rules from a day on. What is not given stays; what has begun never changes."""
    evening_from, evening_to = (None, None) if evening is None else _hours(evening)
    given = {
        **dict.fromkeys(BANDS, unit_value_cents),
        "step": step,
        "rounding": rounding,
        "evening_from": evening_from,
        "evening_to": evening_to,
        "eves_are_holidays": eves_are_holidays,
        "weekly_visits": weekly_visits,
        "weekly_minutes": weekly_minutes,
        "free_by_law": free_by_law,
        "task_types": tuple(task_type) if task_type else None,
        "no_show_allowed": no_show_allowed,
        "hold_lapse_hours": hold_lapse_hours,
        "late_entry_days": late_entry_days,
    }
    values = (weekday_cents, evening_cents, saturday_cents, sunday_cents)
    given |= {band: value for band, value in zip(BANDS, values, strict=True) if value is not None}
    change = {name: value for name, value in given.items() if value is not None}
    for each in without or ():
        if change.keys() & _REMOVED[each].keys():
            raise typer.BadParameter(f"--without {each} contradicts what is given beside it")
    for each in without or ():
        change |= _REMOVED[each]

    async def store(conn: Connection) -> tuple[Programme, Sequence[ProgrammeRules], date]:
        await operations.set_rules(
            conn,
            organiser_slug=organiser,
            programme=programme,
            starts_on=starts_on.date(),
            change=cast(RulesChange, change),
            actor=actor(),
        )
        return await operations.list_rules(conn, organiser_slug=organiser, programme=programme)

    print_table(_rules_table(*run_in_transaction(store)))


@rules_app.command("withdraw")
def withdraw_rules(
    organiser: RulesOrganiser,
    programme: RulesProgramme,
    starts_on: Annotated[
        datetime, typer.Option(formats=["%Y-%m-%d"], metavar="YYYY-MM-DD", help="The first day of the version.")
    ],
) -> None:
    """Take back a version that has not begun: those before it go on. To replace one, set it again for its day."""

    async def withdraw(conn: Connection) -> tuple[Programme, Sequence[ProgrammeRules], date]:
        await operations.withdraw_rules(
            conn, organiser_slug=organiser, programme=programme, starts_on=starts_on.date(), actor=actor()
        )
        return await operations.list_rules(conn, organiser_slug=organiser, programme=programme)

    print_table(_rules_table(*run_in_transaction(withdraw)))


@rules_app.command("list")
def list_rules(organiser: RulesOrganiser, programme: RulesProgramme) -> None:
    """Show every version of a programme's rules side by side; what a version changed stands out."""
    found = run_in_transaction(lambda conn: operations.list_rules(conn, organiser_slug=organiser, programme=programme))
    print_table(_rules_table(*found))


def _rules_table(programme: Programme, versions: Sequence[ProgrammeRules], today: date) -> Table:
    begun = [version for version in versions if version.starts_on <= today]
    table = Table(programme.names["en"])
    for version in versions:
        told = " (in force)" if version is begun[-1] else " (to come)" if version.starts_on > today else ""
        table.add_column(f"from {version.starts_on}{told}")
    columns = [_rules_in_words(version, programme.unit) for version in versions]
    for name in columns[0]:
        cells = [column[name] for column in columns]
        table.add_row(
            name,
            *(
                Text(cell, style="bold" if number and cell != cells[number - 1] else "")
                for number, cell in enumerate(cells)
            ),
        )
    return table


def _rules_in_words(rules: ProgrammeRules, unit: Unit) -> dict[str, str]:
    evening = "–" if rules.evening_from is None else f"{rules.evening_from:%H:%M}–{rules.evening_to:%H:%M}"
    return {
        "Step": format_amount(rules.step, unit, "en"),
        "Rounding": rules.rounding.value,
        "Weekday": worth(rules.weekday_cents, unit),
        "Evening": f"{worth(rules.evening_cents, unit)}, {evening}" if rules.evening_from else "as weekday",
        "Saturday": worth(rules.saturday_cents, unit),
        "Sunday, holiday": worth(rules.sunday_cents, unit),
        "Midsummer and Christmas Eve": "holidays" if rules.eves_are_holidays else "as their weekday",
        "Visits a week": str(rules.weekly_visits or "–"),
        "Time a week": "–" if rules.weekly_minutes is None else format_amount(rules.weekly_minutes, Unit.MINUTES, "en"),
        "The family": "pays nothing, by law" if rules.free_by_law else "may pay the difference",
        "Task types": ", ".join(rules.task_types) or "–",
        "Nobody at home": "is charged" if rules.no_show_allowed else "is not charged",
        "Holds lapse": f"{rules.hold_lapse_hours} h after the visit",
        "Late entry": f"{rules.late_entry_days} days",
    }


def _hours(text: str) -> tuple[time, time]:
    begins, _, ends = text.partition("-")
    try:
        return time.fromisoformat(begins.strip()), time.fromisoformat(ends.strip())
    except ValueError:
        raise typer.BadParameter(f"not hours such as 18:00-22:00: {text}") from None


def actor() -> str:
    return f"command line:{getpass.getuser()}"


def worth(value_cents: int | None, unit: Unit) -> str:
    if value_cents is None:
        return "–"
    per = {Unit.MINUTES: "hour", Unit.CENTS: "hour", Unit.VISITS: "visit", Unit.SESSIONS: "session"}[unit]
    return f"{format_amount(value_cents, Unit.CENTS, 'en')} / {per}"
