"""What was charged: searched, summed, as a table, and taken back. A worker sees what they charged themselves today."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Literal, Protocol, cast
from urllib.parse import urlencode

from pydantic import Field
from uuid_utils.compat import uuid7

from service.debits import operations
from service.debits.history import (
    DebitState,
    HistoryBusy,
    HistoryFilter,
    HistoryLine,
    HistorySum,
    HistoryTooWide,
    read_cursor,
    write_cursor,
)
from service.debits.model import DebitNotFound
from service.debits.operations import LongReads
from service.debits.pages.charging import NOT_DECIDED
from service.debits.pages.forms import SizeForm, read_amount, read_day, today
from service.debits.pages.sentences import refused
from service.errors import InvalidRequest, SeteliError
from service.idempotency import make_claim
from service.money import Unit, format_amount
from service.people.model import PROVIDER_ROLES
from service.web import Stream, status_of
from service.web.pages import N_, FormModel, PageCall, PageReply, PageRoute, redirect, render

SHOWN = 25
STATES: tuple[tuple[DebitState, str], ...] = (
    ("captured", N_("Charged")),
    ("partly_reversed", N_("Partly taken back")),
    ("reversed", N_("Taken back")),
    ("disputed", N_("Disputed")),
    ("settled", N_("Settled")),
)
OFFICE_ROLES = frozenset({"office", "provider_admin"})
Text = Annotated[str | None, Field(max_length=100)]


class SearchForm(FormModel):
    from_day: Text = None
    to_day: Text = None
    state: DebitState | None = None
    worker: Text = None
    last_four: Annotated[str | None, Field(pattern="^[0-9]{4}$")] = None
    decision_ref: Text = None


class ReverseForm(SizeForm):
    reason: Annotated[str, Field(min_length=1, max_length=200)]
    part: Literal["all", "part"] = "all"
    left: int | None = None


class ReadingResources(Protocol):
    @property
    def long_reads(self) -> LongReads: ...


async def show_history(call: PageCall) -> PageReply:
    """What was charged, newest first, with the sums of all that the search finds."""
    status = 200
    try:
        asked = _asked(call)
    except InvalidRequest as error:
        call, asked, status = refused(call, error), _of_this_month(), status_of(error)
    cursor = read_cursor(call.query.get("cursor", ""))
    after = cursor if cursor is not None and cursor.order is asked.order else None
    pool, provider_id = call.resources.pool, call.visitor.owner_id
    found: Sequence[HistoryLine] = ()
    sums: Sequence[HistorySum] | None = None
    try:
        found = await operations.history(pool, provider_id=provider_id, asked=asked, after=after, limit=SHOWN + 1)
        long_reads = cast(ReadingResources, call.resources).long_reads
        sums = await operations.history_sums(pool, long_reads, provider_id=provider_id, asked=asked)
    except HistoryBusy:
        pass  # the list is more urgent than its sums
    except HistoryTooWide as error:
        call, status = refused(call, error), status_of(error)
    lines = found[:SHOWN]
    names = await operations.names(pool, {line.organiser for line in lines}, call.language)
    more = {**_searched(call), "cursor": write_cursor(lines[-1].place_in(asked.order))} if len(found) > SHOWN else None
    return await render(
        call,
        "provider/history.html",
        lines=lines,
        sums=[each for each in sums or () if each.programme is None],
        asked=asked,
        names=names,
        states=STATES,
        state_names=dict(STATES),
        more=urlencode(more) if more else None,
        csv=urlencode(_searched(call)),
        is_own=call.visitor.role == "worker",
        searched=_searched(call),
        status=status,
    )


async def export(call: PageCall) -> Stream:
    """All that the search finds as CSV."""
    chunks = operations.export_history(
        call.resources.pool,
        cast(ReadingResources, call.resources).long_reads,
        provider_id=call.visitor.owner_id,
        asked=_asked(call),
    )
    return Stream(
        chunks,
        content_type="text/csv; charset=utf-8; header=present",
        headers={"Content-Disposition": 'attachment; filename="debits.csv"'},
    )


def _searched(call: PageCall) -> dict[str, str]:
    return {name: call.query[name] for name in SearchForm.model_fields if call.query.get(name)}


def _asked(call: PageCall) -> HistoryFilter:
    """What the search asks for: this month when nothing was searched yet. Raises InvalidRequest."""
    if call.visitor.role == "worker":
        return _own(call)
    if not any(name in call.query for name in SearchForm.model_fields):
        return _of_this_month()
    try:
        form = SearchForm.model_validate(_searched(call))
    except ValueError:
        raise InvalidRequest(fields=[]) from None
    return HistoryFilter(
        service_from=read_day(call, "from_day", form.from_day) if form.from_day else None,
        service_to=read_day(call, "to_day", form.to_day) if form.to_day else None,
        state=form.state,
        worker=form.worker,
        last_four=form.last_four,
        decision_ref=form.decision_ref,
    )


def _own(call: PageCall) -> HistoryFilter:
    return HistoryFilter(credential_id=call.visitor.person_id, entered_from=today(), entered_to=today())


def _of_this_month() -> HistoryFilter:
    return HistoryFilter(service_from=today().replace(day=1))


async def show_debit(call: PageCall) -> PageReply:
    """One visit that was charged, and taking it back."""
    line = await _find(call)
    names = await operations.names(call.resources.pool, {line.organiser}, call.language)
    return await render(call, "provider/debit.html", line=line, names=names, states=dict(STATES), unit=line.unit)


async def reverse(call: PageCall) -> PageReply:
    """Take a visit back, or a part of it, as long as it is not settled."""
    line = await _find(call)
    form = call.form_as(ReverseForm)
    amount = None if form.part == "all" else read_amount(call, form)
    if form.part == "part" and amount is None:
        field = {Unit.MINUTES: "hours", Unit.CENTS: "euros"}.get(line.unit, "count")
        raise InvalidRequest(fields=[{"field": field, "reason": call.gettext("Fill in how much is taken back.")}])
    left = form.left if form.left is not None else line.amount_left
    claim = make_claim(
        call.resources.keys.index,
        owner_id=call.visitor.owner_id,
        # By what was left when the form was shown: sent again it is the same, and after another part it is not.
        key=f"page:{line.debit_id}:{left}:{amount or 'all'}",
        method="POST",
        path=call.raw.path,
        body=form.reason,
        language=call.language,
    )
    try:
        verdict = await operations.reverse(
            call.resources.pool,
            claim,
            credential_id=call.visitor.person_id,
            entry_id=uuid7(),
            debit_id=line.debit_id,
            amount=amount,
            reason=form.reason,
            quiet=call.resources.settings.quiet_hours,
        )
    except NOT_DECIDED as error:
        return await _again(call, error)
    if not verdict.is_success:
        return await _again(call, verdict.error())
    return await redirect(
        call,
        f"/provider/history/{line.debit_id}",
        note=call.gettext(
            "%(amount)s is taken back.",
            amount=format_amount(json.loads(verdict.answer)["amount"], line.unit, call.language),
        ),
    )


async def _again(call: PageCall, error: SeteliError) -> PageReply:
    return replace(await show_debit(refused(call, error)), status=status_of(error))


async def _find(call: PageCall) -> HistoryLine:
    """A visit of the provider's; for a worker one of their own of today. Raises DebitNotFound."""
    return await operations.find_debit(
        call.resources.pool,
        provider_id=call.visitor.owner_id,
        debit_id=call.path_id("debit_id", DebitNotFound),
        asked=_own(call) if call.visitor.role == "worker" else None,
    )


PAGES: tuple[PageRoute, ...] = (
    PageRoute(
        "GET",
        "/provider/history",
        show_history,
        roles=PROVIDER_ROLES,
        summary="The visits that were charged",
        nav=N_("Visits"),
    ),
    PageRoute("GET", "/provider/history.csv", export, roles=OFFICE_ROLES, summary="The same as a table"),
    PageRoute("GET", "/provider/history/{debit_id}", show_debit, roles=PROVIDER_ROLES, summary="One charged visit"),
    PageRoute(
        "POST",
        "/provider/history/{debit_id}/reverse",
        reverse,
        roles=PROVIDER_ROLES,
        summary="Take a charged visit back",
        form=show_debit,
    ),
)
