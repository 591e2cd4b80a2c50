"""Many decisions from a file: what came of it, and the rows that were not granted, to be corrected and sent again.

Done while the browser waits: five thousand rows took 1.7 s on a machine with two cores. Nothing of the file is kept
here; the rejected rows go to the browser with the report, and come back from it to be downloaded. Larger files are for
the command line.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from service.db import autocommit
from service.desk.pages.forms import CASEWORK, with_words, wrong
from service.organisers.operations import organiser_by_id
from service.vouchers.decision_rows import OPTIONAL, REQUIRED
from service.vouchers.imports import import_decisions
from service.web.calls import Reply
from service.web.pages import N_, PageCall, PageReply, PageRoute, render

FILE_MAX_BYTES = 1_000_000
FORM_MAX_BYTES = 4 * FILE_MAX_BYTES  # rows come back with their reasons
ROWS_MAX = 5_000


async def show_form(call: PageCall) -> PageReply:
    """Where a file is chosen."""
    return await render(call, "desk/import.html", required=REQUIRED, optional=OPTIONAL, rows_max=ROWS_MAX)


async def take_file(call: PageCall) -> PageReply:
    """Grant what can be granted, and report. The same file again grants nothing twice."""
    content = call.file("file")
    if not content:
        raise wrong("file", call.gettext("Choose a file."))
    if len(content) > FILE_MAX_BYTES or content.count(b"\n") > ROWS_MAX:
        raise wrong("file", call.gettext("The file is too large; split it."))
    async with autocommit(call.resources.pool) as conn:
        organiser = await organiser_by_id(conn, call.visitor.owner_id)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "decisions.csv"
        await asyncio.to_thread(file.write_bytes, content)
        report = await import_decisions(
            call.resources, organiser.slug, file, created_by=call.visitor.actor, language=call.language
        )
        rejected = report.rejected_file.read_text("utf-8-sig") if report.rejected_file else ""
    return await render(
        call,
        "desk/import_report.html",
        report=report,
        rejected_count=len(report.rejected),
        rejected=rejected.replace("\r\n", "\n"),
    )


async def download_rejected(call: PageCall) -> Reply:
    """The rejected rows as a file: what the report's page holds, sent back."""
    rows = call.value("rows", limit=FORM_MAX_BYTES)
    return Reply(
        body=b"\xef\xbb\xbf" + rows.replace("\n", "\r\n").encode() + b"\r\n",
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="rejected.csv"'},
    )


PAGES: tuple[PageRoute, ...] = (
    PageRoute("GET", "/desk/import", show_form, roles=CASEWORK, summary="Decisions from a file", nav=N_("Import")),
    PageRoute(
        "POST",
        "/desk/import",
        take_file,
        roles=CASEWORK,
        summary="Grant the decisions of a file",
        form=with_words(show_form),
        max_bytes=FORM_MAX_BYTES,
    ),
    PageRoute(
        "POST",
        "/desk/import/rejected",
        download_rejected,
        roles=CASEWORK,
        summary="The rejected rows",
        max_bytes=FORM_MAX_BYTES,
    ),
)
