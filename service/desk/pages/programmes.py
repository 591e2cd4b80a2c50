"""Programmes and the versions of their rules; an organiser's admin sets the next version."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, time, timedelta
from typing import Annotated

from pydantic import Field

from service.db import Connection, transaction
from service.desk.pages.forms import (
    ADMINS,
    CASEWORK,
    Amount,
    Day,
    Ticked,
    read_amount,
    read_day,
    today,
    with_words,
    wrong,
)
from service.money import Unit, format_amount
from service.organisers import operations
from service.organisers.model import Programme
from service.organisers.rules import BANDS, ProgrammeRules, Rounding, RulesChange
from service.problems import format_clock, format_day
from service.web.pages import N_, FormModel, PageCall, PageReply, PageRoute, redirect, render

Whole = Annotated[int, Field(ge=0, le=1_000_000)]
ROUNDINGS = {Rounding.UP: N_("up"), Rounding.NEAREST: N_("to the nearest"), Rounding.DOWN: N_("down")}


class RulesForm(FormModel):
    """A whole version: what is left empty is taken away."""

    starts_on: Day
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


async def show_programmes(call: PageCall) -> PageReply:
    """Every programme with what is in force today."""
    async with transaction(call.resources.pool) as conn:
        organiser = await operations.organiser_by_id(conn, call.visitor.owner_id)
        programmes = await operations.list_programmes(conn, organiser_slug=organiser.slug)
        found = [
            (each, await operations.rules_of(
                conn, organiser_id=organiser.organiser_id, programme=each.programme, day=today()
            ))
            for each in programmes
        ]  # fmt: skip
    return await render(
        call,
        "desk/programmes.html",
        programmes=[
            (each, each.name_in(call.language, organiser.default_language), _in_words(call, rules, each.unit))
            for each, rules in found
        ],
    )


async def show_programme(call: PageCall) -> PageReply:
    """One programme: every version of its rules side by side, and, for an admin, the form of the next one."""
    async with transaction(call.resources.pool) as conn:
        organiser = await operations.organiser_by_id(conn, call.visitor.owner_id)
        programme, versions, day = await _versions(call, conn)
    in_force = [each for each in versions if each.starts_on <= day][-1]
    columns = [_in_words(call, version, programme.unit) for version in versions]
    return await render(
        call,
        "desk/programme.html",
        programme=programme,
        name=programme.name_in(call.language, organiser.default_language),
        versions=versions,
        in_force=in_force,
        lines=[(columns[0][place][0], [column[place][1] for column in columns]) for place in range(len(columns[0]))],
        rules=versions[-1],
        may_set=call.visitor.role in ADMINS,
        roundings=[(each.value, call.gettext(word)) for each, word in ROUNDINGS.items()],
        tomorrow=day + timedelta(days=1),
        euros=_euros,
    )


async def set_rules(call: PageCall) -> PageReply:
    """Store the next version. One that has begun never changes."""
    form = call.form_as(RulesForm)
    async with transaction(call.resources.pool) as conn:
        organiser = await operations.organiser_by_id(conn, call.visitor.owner_id)
        programme, _, _ = await _versions(call, conn)
        rules = await operations.set_rules(
            conn,
            organiser_slug=organiser.slug,
            programme=programme.programme,
            starts_on=read_day(call, "starts_on", form.starts_on),
            change=_change(call, form, programme.unit),
            actor=call.visitor.actor,
        )
    note = call.gettext(
        "The rules are kept. They are in force from %(day)s on.", day=format_day(rules.starts_on, call.language)
    )
    return await redirect(call, f"/desk/programmes/{programme.programme}", note=note)


async def _versions(call: PageCall, conn: Connection) -> tuple[Programme, Sequence[ProgrammeRules], date]:
    organiser = await operations.organiser_by_id(conn, call.visitor.owner_id)
    return await operations.list_rules(conn, organiser_slug=organiser.slug, programme=call.raw.match_info["programme"])


def _change(call: PageCall, form: RulesForm, unit: Unit) -> RulesChange:
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


def _euros(cents: int | None) -> str:
    return "" if cents is None else f"{cents // 100},{cents % 100:02}"


def _in_words(call: PageCall, rules: ProgrammeRules, unit: Unit) -> list[tuple[str, str]]:
    language = call.language
    evening = (
        f"{_worth(call, rules.evening_cents)}, "
        f"{format_clock(rules.evening_from, language)}–{format_clock(rules.evening_to, language)}"
        if rules.evening_from and rules.evening_to
        else call.gettext("as on weekdays")
    )
    caps = [f"{rules.weekly_visits} ×"] if rules.weekly_visits else []
    caps += [format_amount(rules.weekly_minutes, Unit.MINUTES, language)] if rules.weekly_minutes else []
    yes, no = call.gettext("yes"), call.gettext("no")
    return [
        (call.gettext("Value on weekdays"), _worth(call, rules.weekday_cents)),
        (call.gettext("In the evening"), evening),
        (call.gettext("On Saturdays"), _worth(call, rules.saturday_cents)),
        (call.gettext("On Sundays and holidays"), _worth(call, rules.sunday_cents)),
        (call.gettext("Midsummer and Christmas Eve are holidays"), yes if rules.eves_are_holidays else no),
        (call.gettext("Step"), format_amount(rules.step, unit, language)),
        (call.gettext("Rounding"), call.gettext(ROUNDINGS[rules.rounding])),
        (call.gettext("A week, at most"), ", ".join(caps) or call.gettext("no limit")),
        (call.gettext("Free for families by law"), yes if rules.free_by_law else no),
        (call.gettext("Tasks"), ", ".join(rules.task_types) or "–"),
        (call.gettext("A visit that found nobody is charged"), yes if rules.no_show_allowed else no),
        (call.gettext("Bookings lapse, hours after the visit"), str(rules.hold_lapse_hours)),
        (call.gettext("Visits can be entered, days after the end"), str(rules.late_entry_days)),
    ]


def _worth(call: PageCall, cents: int | None) -> str:
    return "–" if cents is None else format_amount(cents, Unit.CENTS, call.language)


PAGES: tuple[PageRoute, ...] = (
    PageRoute("GET", "/desk/programmes", show_programmes, roles=CASEWORK, summary="Programmes", nav=N_("Programmes")),
    PageRoute("GET", "/desk/programmes/{programme}", show_programme, roles=CASEWORK, summary="One programme"),
    PageRoute(
        "POST",
        "/desk/programmes/{programme}",
        set_rules,
        roles=ADMINS,
        summary="Set the next version of its rules",
        form=with_words(show_programme),
    ),
)
