"""Programmes, what families are told of them, and the versions of their rules: an organiser's admin keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

from service import audit
from service.channels.kinds import PROGRAMME_NAME_MAX
from service.channels.languages import SERVED
from service.db import Connection, transaction
from service.desk.operations import live_in_programme
from service.desk.pages.forms import ADMINS, CASEWORK, read_day, today, with_words
from service.desk.pages.programme_forms import (
    NONE,
    ROUNDINGS,
    NewProgrammeForm,
    RulesForm,
    TextsForm,
    WithdrawForm,
    euros,
    read_names,
    read_rules,
    rules_in_words,
)
from service.money import Unit
from service.organisers import operations
from service.organisers.model import NAMES_REQUIRED, Organiser, Programme, Receipts
from service.organisers.rules import (
    FIRST_DAY,
    ProgrammeRules,
    RulesChange,
    RulesVersionUnknown,
    StartsTooEarly,
    changed_rules,
    check_rules,
)
from service.problems import format_day
from service.web.pages import N_, PageCall, PageReply, PageRoute, redirect, render

ADD_ACTION = "programme.add"
TEXTS_ACTION = "programme.change_texts"
UNITS = {
    Unit.MINUTES: N_("hours and minutes"),
    Unit.CENTS: N_("euros"),
    Unit.VISITS: N_("visits"),
    Unit.SESSIONS: N_("sessions"),
}
RECEIPTS = {
    Receipts.EACH: N_("after each visit"),
    Receipts.DAILY: N_("once a day, in the evening"),
    Receipts.OFF: N_("not at all"),
}


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
            (
                each,
                each.name_in(call.language, organiser.default_language),
                [(label, text) for label, text in rules_in_words(call, rules, each.unit) if text != NONE],
            )
            for each, rules in found
        ],
        may_add=call.visitor.role in ADMINS,
    )


async def show_programme(call: PageCall) -> PageReply:
    """One programme: every version of its rules side by side, and, for an admin, the form of the next one."""
    async with transaction(call.resources.pool) as conn:
        organiser = await operations.organiser_by_id(conn, call.visitor.owner_id)
        programme, versions, day = await _versions(call, conn)
    in_force = [each for each in versions if each.starts_on <= day][-1]
    columns = [rules_in_words(call, version, programme.unit) for version in versions]
    return await render(
        call,
        "desk/programme.html",
        programme=programme,
        name=programme.name_in(call.language, organiser.default_language),
        versions=versions,
        in_force=in_force,
        lines=[
            (rows[0][0], [text for _, text in rows])
            for rows in zip(*columns, strict=True)
            if any(text != NONE for _, text in rows)
        ],
        rules=versions[-1],
        may_set=call.visitor.role in ADMINS,
        to_come=[each.starts_on for each in versions if each.starts_on > day],
        tomorrow=day + timedelta(days=1),
        euros=euros,
        may_change_texts=call.visitor.role in ADMINS,
        **_choices(call),
    )


async def set_rules(call: PageCall) -> PageReply:
    """Show what changes, from when and for how many; with `sure`, store it. A version that has begun never changes."""
    form = call.form_as(RulesForm)
    starts_on = read_day(call, "starts_on", form.starts_on)
    async with transaction(call.resources.pool) as conn:
        organiser = await operations.organiser_by_id(conn, call.visitor.owner_id)
        programme, versions, day = await _versions(call, conn)
        change = read_rules(call, form, programme.unit)
        if form.sure is None:
            return await _show_check(
                call, conn, organiser, programme, _check(versions, change, starts_on, day, programme)
            )
        rules = await operations.set_rules(
            conn,
            organiser_slug=organiser.slug,
            programme=programme.programme,
            starts_on=starts_on,
            change=change,
            actor=call.visitor.actor,
        )
    note = call.gettext(
        "The rules are kept. They are in force from %(day)s on.", day=format_day(rules.starts_on, call.language)
    )
    return await redirect(call, f"/desk/programmes/{programme.programme}", note=note)


def _check(
    versions: Sequence[ProgrammeRules], change: RulesChange, starts_on: date, day: date, programme: Programme
) -> tuple[ProgrammeRules, ProgrammeRules]:
    """The rules of that day so far, and as they would be. Raises StartsTooEarly, and what `check_rules` raises."""
    if starts_on <= day:
        raise StartsTooEarly(earliest=str(day + timedelta(days=1)))
    before = [each for each in versions if each.starts_on <= starts_on][-1]
    after = changed_rules(before, change, starts_on=starts_on)
    check_rules(after, programme.unit)
    return before, after


async def _show_check(
    call: PageCall,
    conn: Connection,
    organiser: Organiser,
    programme: Programme,
    rules: tuple[ProgrammeRules, ProgrammeRules],
) -> PageReply:
    before, after = rules
    was, becomes = (rules_in_words(call, each, programme.unit) for each in rules)
    vouchers = await live_in_programme(
        conn, organiser_id=organiser.organiser_id, programme=programme.programme, day=after.starts_on
    )
    return await render(
        call,
        "desk/rules_check.html",
        programme=programme,
        name=programme.name_in(call.language, organiser.default_language),
        starts_on=after.starts_on,
        replaces=before.starts_on == after.starts_on,
        changes=[(label, old, new) for (label, old), (_, new) in zip(was, becomes, strict=True) if old != new],
        vouchers=vouchers,
        given=[(each, value) for each in call.form if each not in ("csrf", "sure") and (value := call.value(each))],
    )


async def withdraw_rules(call: PageCall) -> PageReply:
    """Show what would be in force instead; with `sure`, take back a version that has not begun."""
    form = call.form_as(WithdrawForm)
    starts_on = read_day(call, "starts_on", form.starts_on)
    async with transaction(call.resources.pool) as conn:
        organiser = await operations.organiser_by_id(conn, call.visitor.owner_id)
        programme, versions, day = await _versions(call, conn)
        if starts_on <= day:
            raise StartsTooEarly(earliest=str(day + timedelta(days=1)))
        if form.sure is None:
            return await _show_withdrawal(call, conn, organiser, programme, versions, starts_on)
        await operations.withdraw_rules(
            conn,
            organiser_slug=organiser.slug,
            programme=programme.programme,
            starts_on=starts_on,
            actor=call.visitor.actor,
        )
    note = call.gettext(
        "The rules that would have begun on %(day)s are withdrawn.", day=format_day(starts_on, call.language)
    )
    return await redirect(call, f"/desk/programmes/{programme.programme}", note=note)


async def _show_withdrawal(
    call: PageCall,
    conn: Connection,
    organiser: Organiser,
    programme: Programme,
    versions: Sequence[ProgrammeRules],
    starts_on: date,
) -> PageReply:
    place = next((place for place, each in enumerate(versions) if each.starts_on == starts_on), 0)
    if place == 0:  # the first version began with the programme
        raise RulesVersionUnknown(starts_on=str(starts_on))
    was = rules_in_words(call, versions[place], programme.unit)
    becomes = rules_in_words(call, versions[place - 1], programme.unit)
    return await render(
        call,
        "desk/withdraw_rules.html",
        programme=programme,
        name=programme.name_in(call.language, organiser.default_language),
        starts_on=starts_on,
        changes=[(label, old, new) for (label, old), (_, new) in zip(was, becomes, strict=True) if old != new],
        vouchers=await live_in_programme(
            conn, organiser_id=organiser.organiser_id, programme=programme.programme, day=starts_on
        ),
        next_version=versions[place + 1].starts_on if place + 1 < len(versions) else None,
    )


async def show_new(call: PageCall) -> PageReply:
    """The form of a new programme."""
    return await render(
        call,
        "desk/new_programme.html",
        rules=ProgrammeRules(FIRST_DAY),
        units=[(each.value, call.gettext(word)) for each, word in UNITS.items()],
        euros=euros,
        **_choices(call),
    )


async def add(call: PageCall) -> PageReply:
    """Add a programme with the first version of its rules. The same again adds nothing."""
    form = call.form_as(NewProgrammeForm)
    change = read_rules(call, form, form.unit)
    async with transaction(call.resources.pool) as conn:
        organiser = await operations.organiser_by_id(conn, call.visitor.owner_id)
        added = await operations.add_programme(
            conn,
            organiser_slug=organiser.slug,
            programme=form.programme,
            names=read_names(call),
            unit=form.unit,
            step=form.step or 1,
            unit_value_cents=change["weekday_cents"],
            rules=change,
            neutral_texts=form.neutral_texts is not None,
            receipts=form.receipts,
            actor=call.visitor.actor,
        )
        await _note(call, conn, organiser, ADD_ACTION, added.programme)
    return await redirect(
        call,
        f"/desk/programmes/{added.programme}",
        note=call.gettext("The programme is there. Approve providers for it."),
    )


async def change_texts(call: PageCall) -> PageReply:
    """Change what families are told: names, neutral texts, receipts. What is queued keeps its wording."""
    form, name = call.form_as(TextsForm), call.raw.match_info["programme"]
    async with transaction(call.resources.pool) as conn:
        organiser = await operations.organiser_by_id(conn, call.visitor.owner_id)
        await operations.change_programme(
            conn,
            organiser_slug=organiser.slug,
            programme=name,
            names=read_names(call),
            neutral_texts=form.neutral_texts is not None,
            receipts=form.receipts,
        )
        await _note(call, conn, organiser, TEXTS_ACTION, name)
    return await redirect(call, f"/desk/programmes/{name}", note=call.gettext("The texts are kept."))


async def _note(call: PageCall, conn: Connection, organiser: Organiser, action: str, programme: str) -> None:
    organiser_id = organiser.organiser_id
    await audit.record(
        conn,
        organiser_id=organiser_id,
        actor=call.visitor.actor,
        action=action,
        subject_id=organiser_id,
        reason=programme,
    )


def _choices(call: PageCall) -> dict[str, Any]:
    """What the forms of rules and texts offer."""
    return {
        "roundings": [(each.value, call.gettext(word)) for each, word in ROUNDINGS.items()],
        "receipt_choices": [(each.value, call.gettext(word)) for each, word in RECEIPTS.items()],
        "served": [(each.code, each.name, each.code in NAMES_REQUIRED) for each in SERVED.values()],
        "name_max": PROGRAMME_NAME_MAX,
    }


async def _versions(call: PageCall, conn: Connection) -> tuple[Programme, Sequence[ProgrammeRules], date]:
    organiser = await operations.organiser_by_id(conn, call.visitor.owner_id)
    return await operations.list_rules(conn, organiser_slug=organiser.slug, programme=call.raw.match_info["programme"])


PAGES: tuple[PageRoute, ...] = (
    PageRoute("GET", "/desk/programmes", show_programmes, roles=CASEWORK, summary="Programmes", nav=N_("Programmes")),
    # No short name begins with a line: this is no programme's address.
    PageRoute("GET", "/desk/programmes/_new", show_new, roles=ADMINS, summary="The form of a new programme"),
    PageRoute("POST", "/desk/programmes/_new", add, roles=ADMINS, summary="Add a programme", form=with_words(show_new)),
    PageRoute("GET", "/desk/programmes/{programme}", show_programme, roles=CASEWORK, summary="One programme"),
    PageRoute(
        "POST",
        "/desk/programmes/{programme}",
        set_rules,
        roles=ADMINS,
        summary="Set the next version of its rules",
        form=with_words(show_programme),
    ),
    PageRoute(
        "POST",
        "/desk/programmes/{programme}/withdraw",
        withdraw_rules,
        roles=ADMINS,
        summary="Take back a version of its rules that has not begun",
        form=with_words(show_programme),
    ),
    PageRoute(
        "POST",
        "/desk/programmes/{programme}/texts",
        change_texts,
        roles=ADMINS,
        summary="Change what families are told",
        form=with_words(show_programme),
    ),
)
