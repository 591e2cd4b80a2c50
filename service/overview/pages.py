"""The overview as pages, and each of its tables as a file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, date, datetime
from urllib.parse import urlencode

from service.db import snapshot
from service.overview import operations
from service.overview.model import LENGTHS, OverviewTableUnknown, Period, periods, read_period
from service.overview.operations import Overview
from service.overview.regional import region_table
from service.overview.tables import TABLES, tables_of
from service.overview.words import Table, Words, csv_of
from service.people.model import ORGANISER_ROLES
from service.vouchers.decisions import helsinki_day
from service.web import Stream
from service.web.pages import N_, PageCall, PageReply, PageRoute, render


async def show_overview(call: PageCall) -> PageReply:
    """An organiser's figures of a period and a programme, as pictures and as tables."""
    overview, period, programme = await _read(call)
    words = Words(call.gettext, call.language)
    tables = await asyncio.to_thread(tables_of, overview, period, words)
    return await render(
        call,
        "overview/overview.html",
        tables=tables,
        overview=overview,
        period=period,
        periods=[(each.name, _period_name(call, each)) for each in periods(_today())],
        programme=programme or "",
        asked=urlencode({"period": period.name, "programme": programme or ""}),
    )


async def export(call: PageCall) -> Stream:
    """One of the tables as CSV."""
    name = call.raw.match_info["table"]
    if name not in TABLES:
        raise OverviewTableUnknown
    overview, period, programme = await _read(call)
    table = await asyncio.to_thread(TABLES[name], overview, period, Words(call.gettext, call.language))
    return _file(table, f"{name}-{period.name}{f'-{programme}' if programme else ''}.csv")


async def show_region(call: PageCall) -> PageReply:
    """What the region's organisers come to together."""
    table, is_whole = await _region(call, draw=True)
    return await render(call, "overview/region.html", table=table, is_whole=is_whole)


async def export_region(call: PageCall) -> Stream:
    """The same as CSV."""
    table, _is_whole = await _region(call, draw=False)
    if table is None:
        raise OverviewTableUnknown
    return _file(table, "region.csv")


async def _read(call: PageCall) -> tuple[Overview, Period, str | None]:
    period = read_period(call.query.get("period"), _today())
    async with snapshot(call.resources.pool) as conn:
        known = await operations.programme_names(conn, organiser_id=call.visitor.owner_id, language=call.language)
        programme = call.query.get("programme")
        programme = programme if programme in known else None
        overview = await operations.organiser_overview(
            conn,
            organiser_id=call.visitor.owner_id,
            period=period,
            programme=programme,
            language=call.language,
            today=_today(),
        )
    return overview, period, programme


async def _region(call: PageCall, *, draw: bool) -> tuple[Table | None, bool]:
    """The region's table, if there is a region; and whether every block that can be told is in it."""
    async with snapshot(call.resources.pool) as conn:
        organiser_id, language = call.visitor.owner_id, call.language
        region = await operations.region_overview(conn, organiser_id=organiser_id, language=language, today=_today())
        if region is None:
            return None, True
        known = await operations.programme_names(conn, organiser_id=organiser_id, language=language)
    words = Words(call.gettext, language)

    def make() -> Table:
        table = region_table(region, known, words)
        return table.drawn() if draw else table

    return await asyncio.to_thread(make), region.is_whole


def _file(table: Table, name: str) -> Stream:
    async def chunks() -> AsyncGenerator[bytes, None]:
        for line in csv_of(table):
            yield line

    return Stream(
        chunks(),
        content_type="text/csv; charset=utf-8; header=present",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _period_name(call: PageCall, period: Period) -> str:
    if period.name in {f"{length}w" for length in LENGTHS}:
        return call.gettext("the last %(num)s weeks", num=len(period.weeks))
    return period.name


def _today() -> date:
    return helsinki_day(datetime.now(UTC))


PAGES: tuple[PageRoute, ...] = (
    PageRoute(
        "GET",
        "/desk/overview",
        show_overview,
        roles=ORGANISER_ROLES,
        summary="What was decided, delivered and used",
        nav=N_("Overview"),
    ),
    PageRoute(
        "GET", "/desk/overview/region", show_region, roles=ORGANISER_ROLES, summary="The region's organisers together"
    ),
    PageRoute(
        "GET", "/desk/overview/region.csv", export_region, roles=ORGANISER_ROLES, summary="The region's table as CSV"
    ),
    PageRoute(
        "GET", "/desk/overview/{table}.csv", export, roles=ORGANISER_ROLES, summary="A table of the overview as CSV"
    ),
)
