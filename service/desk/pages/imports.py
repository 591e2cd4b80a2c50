"""Many decisions from a file: looked at first, then granted by the worker while whoever sent it looks on.

Nothing waits for a request: the file is a record of `service.imports`, and so are its progress and its rejected rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil

from service.db import Connection, autocommit, transaction
from service.desk.pages.forms import CASEWORK, Ticked, today, with_words, wrong
from service.imports import operations
from service.imports.model import (
    FILE_MAX_BYTES,
    FILE_MAX_MEGABYTES,
    ROWS_MAX,
    Import,
    ImportNotWaiting,
    ImportState,
    ImportUnknown,
)
from service.imports.operations import Forecast
from service.settings import Settings
from service.vouchers.decision_rows import NOTES, OPTIONAL, REQUIRED
from service.vouchers.rejected_rows import reason
from service.web.calls import Stream
from service.web.pages import N_, FormModel, PageCall, PageReply, PageRoute, redirect, render

FORM_MAX_BYTES = FILE_MAX_BYTES + 100_000
UPLOAD_TIMEOUT_S = 180.0  # 20 MB over a slow line
LISTED = 50
FAULTS_SHOWN = 20
STATES = {
    ImportState.WAITING: N_("waits for you to say “grant these”"),
    ImportState.GRANTING: N_("being granted"),
    ImportState.DONE: N_("done"),
    ImportState.CANCELLED: N_("stopped"),
    ImportState.FAILED: N_("stopped by a fault of ours"),
}
TITLES = {
    ImportState.WAITING: N_("Grant these?"),
    ImportState.GRANTING: N_("The file is being granted"),
    ImportState.DONE: N_("The file is done"),
    ImportState.CANCELLED: N_("The file was stopped"),
    ImportState.FAILED: N_("The file did not get on"),
}


class GrantForm(FormModel):
    at_once: Ticked = None


@dataclass(frozen=True, slots=True)
class Sending:
    """How granting would send. `minutes` None: as fast as it goes."""

    minutes: int | None
    is_over_budget: bool
    quiet_until: datetime | None


async def show_imports(call: PageCall) -> PageReply:
    """Where a file is chosen, and what came of earlier ones."""
    async with autocommit(call.resources.pool) as conn:
        found = await operations.list_imports(
            conn, call.resources.keys, organiser_id=call.visitor.owner_id, limit=LISTED
        )
    return await render(
        call,
        "desk/import.html",
        imports=found,
        states=STATES,
        required=REQUIRED,
        optional=OPTIONAL,
        rows_max=ROWS_MAX,
        megabytes_max=FILE_MAX_MEGABYTES,
    )


async def take_file(call: PageCall) -> PageReply:
    """Keep the file, sealed, and show what is in it. Nothing is granted yet."""
    content = call.file("file")
    if not content:
        raise wrong("file", call.gettext("Choose a file."))
    import_id = await operations.upload(
        call.resources.pool,
        call.resources.keys,
        organiser_id=call.visitor.owner_id,
        name=call.file_name("file"),
        content=content,
        actor=call.visitor.actor,
    )
    return await redirect(call, f"/desk/import/{import_id}")


async def show_import(call: PageCall) -> PageReply:
    """One file: what it would do, how far it is, or what came of it."""
    async with autocommit(call.resources.pool) as conn:
        found = await _find(call, conn)
        is_waiting = found.state is ImportState.WAITING
        forecast = await _forecast(call, conn, found) if is_waiting else None
        until = await operations.quiet_until(conn, call.resources.settings.quiet_hours) if is_waiting else None
    return await render(
        call,
        "desk/import_preview.html" if is_waiting else "desk/import_one.html",
        each=found,
        waits=_waits(found),
        title=call.gettext(TITLES[found.state]),
        forecast=forecast,
        faults=[] if forecast is None else _in_words(forecast, call.language),
        sending=None if forecast is None else _sending(forecast, call.resources.settings, until),
        columns=[name for name in found.columns if name.strip().lower() not in NOTES],
    )


async def show_part(call: PageCall) -> PageReply:
    """How far it is: the part of that page which changes, for its script."""
    async with autocommit(call.resources.pool) as conn:
        found = await _find(call, conn)
    return await render(
        call, "desk/import_part.html", each=found, waits=_waits(found), title=call.gettext(TITLES[found.state])
    )


async def grant(call: PageCall) -> PageReply:
    """Let the worker grant it: at once, or when the quiet hours have ended. A second tap leads to the same page."""
    import_id = call.path_id("import_id", ImportUnknown)
    try:
        async with transaction(call.resources.pool) as conn:
            await operations.grant(
                conn,
                organiser_id=call.visitor.owner_id,
                import_id=import_id,
                actor=call.visitor.actor,
                at_once=call.form_as(GrantForm).at_once is not None,
                quiet=call.resources.settings.quiet_hours,
            )
    except ImportNotWaiting:
        async with autocommit(call.resources.pool) as conn:
            if (await _find(call, conn)).state not in (ImportState.GRANTING, ImportState.DONE):
                raise
    call.resources.wakeups.wake_import(import_id)
    return await redirect(call, f"/desk/import/{import_id}")


async def stop(call: PageCall) -> PageReply:
    """Stop it where it is. What is granted stays granted."""
    import_id = call.path_id("import_id", ImportUnknown)
    async with transaction(call.resources.pool) as conn:
        await operations.cancel(conn, organiser_id=call.visitor.owner_id, import_id=import_id, actor=call.visitor.actor)
    return await redirect(call, f"/desk/import/{import_id}")


async def download_rejected(call: PageCall) -> Stream:
    """The rejected rows with their reasons, to be corrected and sent again."""
    async with autocommit(call.resources.pool) as conn:
        found = await _find(call, conn)
    if not found.rejected or found.emptied_at is not None:
        raise ImportNotWaiting
    return Stream(
        operations.rejected_csv(
            call.resources.pool,
            call.resources.keys,
            found=found,
            language=call.language,
            actor=call.visitor.actor,
        ),
        "text/csv; charset=utf-8",
        {"Content-Disposition": 'attachment; filename="rejected.csv"'},
    )


async def _find(call: PageCall, conn: Connection) -> Import:
    return await operations.find_import(
        conn,
        call.resources.keys,
        organiser_id=call.visitor.owner_id,
        import_id=call.path_id("import_id", ImportUnknown),
    )


async def _forecast(call: PageCall, conn: Connection, found: Import) -> Forecast:
    return await operations.forecast(
        conn,
        call.resources.keys,
        call.resources.settings,
        found=found,
        actor=call.visitor.actor,
        today=today(),
    )


def _in_words(forecast: Forecast, language: str) -> list[tuple[int, str]]:
    return [
        (each.row.line, reason(each.error.code, each.error.details, language))
        for each in forecast.rejected[:FAULTS_SHOWN]
    ]


def _waits(found: Import) -> bool:
    """Whether it has not begun, or has stopped for the night."""
    is_due = found.due_at is not None and found.due_at <= datetime.now(UTC)
    return found.state is ImportState.GRANTING and not (found.done and is_due)


def _sending(forecast: Forecast, settings: Settings, quiet_until: datetime | None) -> Sending:
    rate, budget = settings.sms_per_second, settings.sms_parts_per_day
    return Sending(
        minutes=ceil(forecast.texts / rate / 60) if rate and forecast.texts else None,
        is_over_budget=bool(budget) and forecast.texts > budget,
        quiet_until=quiet_until,
    )


PAGES: tuple[PageRoute, ...] = (
    PageRoute("GET", "/desk/import", show_imports, roles=CASEWORK, summary="Decisions from a file", nav=N_("Import")),
    PageRoute(
        "POST",
        "/desk/import",
        take_file,
        roles=CASEWORK,
        summary="Look at a file of decisions",
        form=with_words(show_imports),
        max_bytes=FORM_MAX_BYTES,
        read_timeout_s=UPLOAD_TIMEOUT_S,
    ),
    PageRoute("GET", "/desk/import/{import_id}", show_import, roles=CASEWORK, summary="One file of decisions"),
    PageRoute("GET", "/desk/import/{import_id}/part", show_part, roles=CASEWORK, summary="How far it is"),
    PageRoute(
        "POST", "/desk/import/{import_id}/grant", grant, roles=CASEWORK, summary="Grant its rows", form=show_import
    ),
    PageRoute("POST", "/desk/import/{import_id}/stop", stop, roles=CASEWORK, summary="Stop it", form=show_import),
    PageRoute(
        "GET",
        "/desk/import/{import_id}/rejected.csv",
        download_rejected,
        roles=CASEWORK,
        summary="The rejected rows of a file",
    ),
)
