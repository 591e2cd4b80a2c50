"""A file comes in, is looked at, and is let go or stopped; what was rejected of it goes out again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol
from uuid import UUID

from asyncpg import Record
from uuid_utils.compat import uuid7

from service import audit
from service.attention.operations import resolve_about_import
from service.crypto import Keys
from service.db import Connection, Pool, autocommit, transaction
from service.imports import queries
from service.imports.files import (
    ReadFile,
    count_messages,
    decision_refs,
    read_file,
    stored_header,
    unpack_rejected,
    unpack_rows,
)
from service.imports.model import (
    CHUNK_ROWS,
    UNFINISHED_MAX,
    Import,
    ImportNotWaiting,
    ImportState,
    ImportsUnfinished,
    ImportUnknown,
)
from service.imports.sealing import open_sealed, seal
from service.organisers.operations import list_programmes, organiser_by_id
from service.quiet_hours import QuietHours
from service.settings import Settings
from service.vouchers.operations.bulk import BULK_PRIORITY
from service.vouchers.operations.rows import Intake, Rejected
from service.vouchers.rejected_rows import csv_head, csv_lines

NAME_MAX = 120
CHECKED_CHUNKS = 4
CHECKED_ROWS = CHECKED_CHUNKS * CHUNK_ROWS
"""Rows that are looked at before anything is granted: a tenth of a second's work."""
UPLOAD_ACTION = "import.upload"
GRANT_ACTION = "import.grant"
CANCEL_ACTION = "import.cancel"
DOWNLOAD_ACTION = "import.download_rejected"


class Tabled(Protocol):
    """An import, or a claim to one: whose it is, and what its columns are."""

    @property
    def organiser_id(self) -> UUID: ...
    @property
    def columns(self) -> tuple[str, ...]: ...
    @property
    def delimiter(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Forecast:
    """What would come of the first rows of a file, and what would be sent for all of it."""

    checked: int
    rejected: Sequence[Rejected]
    repeated: int
    """Of the checked rows: as an earlier row that is granted."""
    known: int
    """Rows of the whole file whose decision is there already, but for those that are seen to say something else."""
    texts: int
    """At most, of the whole file; and `mails`."""
    mails: int


async def upload(pool: Pool, keys: Keys, *, organiser_id: UUID, name: str, content: bytes, actor: str) -> UUID:
    """Keep a file, sealed, until somebody has looked at it; returns the import's id.

    Each upload is another import; grants nothing. Raises what `read_file` raises, and ImportsUnfinished.
    """
    import_id = uuid7()
    found, chunks = await asyncio.to_thread(_prepare, keys, import_id, content)
    async with transaction(pool) as conn:
        if await queries.count_unfinished(conn, organiser_id=organiser_id) >= UNFINISHED_MAX:
            raise ImportsUnfinished(max=UNFINISHED_MAX)
        known = await queries.count_known(conn, organiser_id=organiser_id, decision_refs=found.decision_refs)
        await queries.insert_import(
            conn,
            organiser_id=organiser_id,
            import_id=import_id,
            name_sealed=seal(keys, name[:NAME_MAX], "name", import_id),
            columns=found.header.names,
            delimiter=found.header.delimiter,
            rows=found.rows,
            texts=found.texts,
            mails=found.mails,
            known=known,
            uploaded_by=actor,
            chunks=chunks,
        )
        await _note(conn, organiser_id, import_id, actor, UPLOAD_ACTION)
    return import_id


def _prepare(keys: Keys, import_id: UUID, content: bytes) -> tuple[ReadFile, list[bytes]]:
    found = read_file(content)
    return found, [seal(keys, chunk, "chunk", import_id, place) for place, chunk in enumerate(found.chunks)]


async def find_import(conn: Connection, keys: Keys, *, organiser_id: UUID, import_id: UUID) -> Import:
    """Raises ImportUnknown."""
    row = await queries.select_import(conn, organiser_id=organiser_id, import_id=import_id)
    if row is None:
        raise ImportUnknown
    return _import(keys, row)


async def list_imports(conn: Connection, keys: Keys, *, organiser_id: UUID, limit: int) -> Sequence[Import]:
    """An organiser's imports, newest first."""
    return [_import(keys, row) for row in await queries.select_imports(conn, organiser_id=organiser_id, limit=limit)]


async def forecast(
    conn: Connection, keys: Keys, settings: Settings, *, found: Import, actor: str, today: date
) -> Forecast:
    """What granting a file would do that waits, by the rules of today.

    The first rows are judged as they would be when they are granted. Of the others it is known how they would be told,
    and how many of their decision_refs were there when the file came: as large a part of each is taken off.
    """
    chunks = await queries.select_chunks(
        conn, organiser_id=found.organiser_id, import_id=found.import_id, limit=CHECKED_CHUNKS
    )
    intake = await make_intake(conn, keys, settings, found=found, created_by=actor, today=today)
    rows = [
        row
        for place, sealed in chunks
        for row in unpack_rows(open_sealed(keys, sealed, "chunk", found.import_id, place))
    ]
    seen = await intake.foresee(conn, rows)
    known = await queries.count_known(
        conn, organiser_id=found.organiser_id, decision_refs=decision_refs(rows, intake.header)
    )
    rest, rest_known = found.rows - len(rows), max(found.known - known, 0)
    rest_new = max(rest - rest_known, 0)
    sent, of_all = count_messages(seen.granted, intake.header), count_messages(rows, intake.header)
    return Forecast(
        checked=len(rows),
        rejected=seen.rejected,
        repeated=seen.repeated,
        known=seen.there + rest_known,
        texts=sent[0] + _part(found.texts - of_all[0], rest_new, rest),
        mails=sent[1] + _part(found.mails - of_all[1], rest_new, rest),
    )


def _part(count: int, share: int, whole: int) -> int:
    """`share` of `whole` of them, rounded up."""
    return -(-count * share // whole) if whole else 0


async def quiet_until(conn: Connection, quiet: QuietHours) -> datetime | None:
    """When an import would begin that is let go now, by the rule of `grant`; None: at once."""
    return await queries.select_quiet_until(conn, quiet=(quiet.from_hour, quiet.to_hour))


async def make_intake(
    conn: Connection,
    keys: Keys,
    settings: Settings,
    *,
    found: Tabled,
    created_by: str,
    today: date,
    priority: int = BULK_PRIORITY,
) -> Intake:
    """What rows of this import are read and granted with, as programmes and rules are now."""
    organiser = await organiser_by_id(conn, found.organiser_id)
    programmes = await list_programmes(conn, organiser_slug=organiser.slug)
    return Intake(
        keys=keys,
        organiser=organiser,
        programmes={each.programme: each for each in programmes},
        header=stored_header(found.columns, found.delimiter),
        countries=tuple(settings.sms_countries),
        created_by=created_by,
        today=today,
        code_digits=settings.code_digits,
        priority=priority,
    )


async def grant(
    conn: Connection, *, organiser_id: UUID, import_id: UUID, actor: str, at_once: bool, quiet: QuietHours
) -> datetime:
    """Let the worker grant what is left of it; returns when that begins: now, or when the quiet hours have ended.

    Families are not woken for a file; `at_once` does it all the same. Raises ImportUnknown, ImportNotWaiting.
    """
    due_at = await queries.start(
        conn,
        organiser_id=organiser_id,
        import_id=import_id,
        by=actor,
        at_once=at_once,
        quiet=(quiet.from_hour, quiet.to_hour),
    )
    if due_at is None:
        raise await _why_not(conn, organiser_id, import_id)
    await resolve_about_import(conn, organiser_id=organiser_id, import_id=import_id, actor=actor, resolution="goes_on")
    await _note(conn, organiser_id, import_id, actor, GRANT_ACTION)
    return due_at


async def cancel(conn: Connection, *, organiser_id: UUID, import_id: UUID, actor: str) -> None:
    """Stop it: what is granted stays, a chunk under way is undone, the rest is deleted. Again changes nothing.

    Raises ImportUnknown, ImportNotWaiting for one that is done.
    """
    if await queries.cancel(conn, organiser_id=organiser_id, import_id=import_id):
        await resolve_about_import(
            conn, organiser_id=organiser_id, import_id=import_id, actor=actor, resolution="stopped"
        )
        await _note(conn, organiser_id, import_id, actor, CANCEL_ACTION)
        return
    row = await queries.select_import(conn, organiser_id=organiser_id, import_id=import_id)
    if row is None or row["state"] != ImportState.CANCELLED:
        raise await _why_not(conn, organiser_id, import_id)


async def rejected_csv(
    pool: Pool, keys: Keys, *, found: Import, language: str, actor: str
) -> AsyncGenerator[bytes, None]:
    """The rejected rows as a file, a chunk at a time, with reasons in `language`. That they were read is noted."""
    header = stored_header(found.columns, found.delimiter)
    async with autocommit(pool) as conn:
        await _note(conn, found.organiser_id, found.import_id, actor, DOWNLOAD_ACTION)
    yield csv_head(header).encode()
    place = -1
    while True:
        async with autocommit(pool) as conn:
            rejection = await queries.select_rejection(
                conn, organiser_id=found.organiser_id, import_id=found.import_id, after=place
            )
        if rejection is None:
            return
        place, sealed = rejection
        rows = unpack_rejected(open_sealed(keys, sealed, "rejected", found.import_id, place))
        yield csv_lines(rows, header, language).encode()


async def _why_not(conn: Connection, organiser_id: UUID, import_id: UUID) -> ImportUnknown | ImportNotWaiting:
    row = await queries.select_import(conn, organiser_id=organiser_id, import_id=import_id)
    return ImportUnknown() if row is None else ImportNotWaiting()


async def _note(conn: Connection, organiser_id: UUID, import_id: UUID, actor: str, action: str) -> None:
    await audit.record(conn, organiser_id=organiser_id, actor=actor, action=action, subject_id=import_id, reason=None)


def _import(keys: Keys, row: Record) -> Import:
    fields = dict(row)
    sealed = fields.pop("name_sealed")
    fields["name"] = None if sealed is None else open_sealed(keys, sealed, "name", row["import_id"])
    return Import(**{**fields, "state": ImportState(row["state"]), "columns": tuple(row["columns"])})
