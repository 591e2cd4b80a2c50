"""What an admin fills in about a programme, and its rules as people say them. Nothing here looks anything up."""

from __future__ import annotations

from datetime import time
from typing import Annotated

from pydantic import Field

from service.channels.languages import MESSAGE_LANGUAGES
from service.desk.pages.forms import Amount, Day, Ticked, read_amount, wrong
from service.money import Unit, format_amount
from service.organisers.model import Receipts
from service.organisers.rules import BANDS, ProgrammeRules, Rounding, RulesChange
from service.problems import format_clock
from service.web.pages import N_, FormModel, PageCall

NAME_MAX = 120
NONE = "–"
Whole = Annotated[int, Field(ge=0, le=1_000_000)]
ROUNDINGS = {Rounding.UP: N_("up"), Rounding.NEAREST: N_("to the nearest"), Rounding.DOWN: N_("down")}


class RulesFields(FormModel):
    """A whole version: what is left empty is taken away."""

    step: Whole | None = None
    rounding: Rounding = Rounding.UP
    weekday_cents: Amount | None = None
    evening_cents: Amount | None = None
    saturday_cents: Amount | None = None
    sunday_cents: Amount | None = None
    evening_from: Annotated[str, Field(max_length=5)] | None = None
    evening_to: Annotated[str, Field(max_length=5)] | None = None
    eves_are_holidays: Ticked = None
    weekly_visits: Whole | None = None
    weekly_hours: Amount | None = None
    free_by_law: Ticked = None
    task_types: Annotated[str, Field(max_length=1000)] | None = None
    no_show_allowed: Ticked = None
    hold_lapse_hours: Whole
    late_entry_days: Whole


class RulesForm(RulesFields):
    """The next version. `sure` comes from the page that has shown what changes."""

    starts_on: Day
    sure: Ticked = None


class WithdrawForm(FormModel):
    """A version that has not begun, by its first day. `sure` comes from the page that has shown what stays instead."""

    starts_on: Day
    sure: Ticked = None


class TextsForm(FormModel):
    """What families are told of a programme. `names`: each language's in a field of its own."""

    neutral_texts: Ticked = None
    receipts: Receipts


class NewProgrammeForm(RulesFields):
    """A programme with the first version of its rules, which is in force at once."""

    programme: Annotated[str, Field(max_length=40)]
    unit: Unit
    neutral_texts: Ticked = None
    receipts: Receipts


def read_names(call: PageCall) -> dict[str, str]:
    """The names that are filled in, by language; which there must be is checked when they are kept."""
    return {code: name for code in MESSAGE_LANGUAGES if (name := call.value(f"name_{code}", limit=NAME_MAX))}


def read_rules(call: PageCall, form: RulesFields, unit: Unit) -> RulesChange:
    """Raises InvalidRequest, which names the field."""

    def cents(band: str) -> int | None:
        text = getattr(form, band)
        return read_amount(call, band, text, Unit.CENTS) if text else None

    weekday, evening, saturday, sunday = map(cents, BANDS)
    return RulesChange(
        step=form.step or 1,
        rounding=form.rounding,
        weekday_cents=weekday,
        evening_cents=evening if form.evening_from else weekday,
        saturday_cents=saturday,
        sunday_cents=sunday,
        evening_from=_clock(call, "evening_from", form.evening_from),
        evening_to=_clock(call, "evening_to", form.evening_to),
        eves_are_holidays=form.eves_are_holidays is not None,
        weekly_visits=form.weekly_visits or None,
        weekly_minutes=read_amount(call, "weekly_hours", form.weekly_hours, unit) if form.weekly_hours else None,
        free_by_law=form.free_by_law is not None,
        task_types=tuple(part for each in (form.task_types or "").split(",") if (part := each.strip())),
        no_show_allowed=form.no_show_allowed is not None,
        hold_lapse_hours=form.hold_lapse_hours,
        late_entry_days=form.late_entry_days,
    )


def _clock(call: PageCall, field: str, text: str | None) -> time | None:
    try:
        return None if text is None else time.fromisoformat(text.replace(".", ":"))
    except ValueError:
        raise wrong(field, call.gettext("Write the time like this: 14:30.")) from None


def euros(cents: int | None) -> str:
    """As a field shows it."""
    return "" if cents is None else f"{cents // 100},{cents % 100:02}"


def rules_in_words(call: PageCall, rules: ProgrammeRules, unit: Unit) -> list[tuple[str, str]]:
    """Every rule with its name; the same ones in the same order for every version. A dash is for what it has not.

    A programme of money alone has no hours, so no evening and no holidays; a step of one cent or one visit is none. But
    whatever somebody has chosen is told, or the next version could differ and seem to be the same.
    """
    language, none = call.language, NONE
    is_priced = rules.weekday_cents is not None
    has_step = rules.step > 1 or unit is Unit.MINUTES
    is_rounded = has_step or rules.rounding is not Rounding.UP or (is_priced and unit is Unit.CENTS)
    evening = (
        f"{_worth(call, rules.evening_cents)}, "
        f"{format_clock(rules.evening_from, language)}–{format_clock(rules.evening_to, language)}"
        if rules.evening_from and rules.evening_to
        else (call.gettext("as on weekdays") if is_priced else none)
    )
    caps = [f"{rules.weekly_visits} ×"] if rules.weekly_visits else []
    caps += [format_amount(rules.weekly_minutes, Unit.MINUTES, language)] if rules.weekly_minutes else []
    yes, no = call.gettext("yes"), call.gettext("no")
    return [
        (call.gettext("Value on weekdays"), _worth(call, rules.weekday_cents)),
        (call.gettext("In the evening"), evening),
        (call.gettext("On Saturdays"), _worth(call, rules.saturday_cents)),
        (call.gettext("On Sundays and holidays"), _worth(call, rules.sunday_cents)),
        (
            call.gettext("Midsummer and Christmas Eve are holidays"),
            yes if rules.eves_are_holidays else (no if is_priced else none),
        ),
        (call.gettext("Step"), format_amount(rules.step, unit, language) if has_step else none),
        (call.gettext("Rounding"), call.gettext(ROUNDINGS[rules.rounding]) if is_rounded else none),
        (call.gettext("A week, at most"), ", ".join(caps) or call.gettext("no limit")),
        (call.gettext("Free for families by law"), yes if rules.free_by_law else no),
        (call.gettext("Tasks"), ", ".join(rules.task_types) or none),
        (call.gettext("A visit that found nobody is charged"), yes if rules.no_show_allowed else no),
        (call.gettext("Bookings lapse, hours after the visit"), str(rules.hold_lapse_hours)),
        (call.gettext("Visits can be entered, days after the end"), str(rules.late_entry_days)),
    ]


def _worth(call: PageCall, cents: int | None) -> str:
    return NONE if cents is None else format_amount(cents, Unit.CENTS, call.language)
