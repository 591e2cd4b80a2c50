"""Every SQL statement on imports: their rows, their sealed chunks, and their sealed rejections."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from asyncpg import Record

from service.db import Connection
from service.imports.model import Claim

# People who upload at the same moment must not get past the limit together: the organiser's row is what they share.
LOCK_ORGANISER = "SELECT FROM organisers WHERE organiser_id = $1 FOR NO KEY UPDATE"
COUNT_UNFINISHED = "SELECT count(*) FROM imports WHERE organiser_id = $1 AND state IN ('waiting', 'granting')"


async def count_unfinished(conn: Connection, *, organiser_id: UUID) -> int:
    """How many wait or are under way; no other begins to wait before the end of the transaction."""
    await conn.execute(LOCK_ORGANISER, organiser_id)
    return int(await conn.fetchval(COUNT_UNFINISHED, organiser_id))


COUNT_KNOWN = """
SELECT count(*) FROM unnest($2::text[]) AS wanted(ref)
 WHERE EXISTS (SELECT FROM decisions d WHERE d.organiser_id = $1 AND d.decision_ref = wanted.ref)
"""


async def count_known(conn: Connection, *, organiser_id: UUID, decision_refs: Sequence[str]) -> int:
    """How many of these decisions are there."""
    return int(await conn.fetchval(COUNT_KNOWN, organiser_id, decision_refs))


INSERT_IMPORT = """
INSERT INTO imports (organiser_id, import_id, name_sealed, columns, delimiter, rows, texts, mails, known, uploaded_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
"""


async def insert_import(
    conn: Connection,
    *,
    organiser_id: UUID,
    import_id: UUID,
    name_sealed: bytes,
    columns: Sequence[str],
    delimiter: str,
    rows: int,
    texts: int,
    mails: int,
    known: int,
    uploaded_by: str,
    chunks: Sequence[bytes],
) -> None:
    """Store an import with its chunks, in their order."""
    await conn.execute(
        INSERT_IMPORT,
        organiser_id,
        import_id,
        name_sealed,
        columns,
        delimiter,
        rows,
        texts,
        mails,
        known,
        uploaded_by,
    )
    await conn.copy_records_to_table(
        "import_chunks",
        columns=("organiser_id", "import_id", "place", "sealed"),
        records=[(organiser_id, import_id, place, sealed) for place, sealed in enumerate(chunks)],
    )


# Of people only this organiser's: another's name is none of its business.
_SHOWN = """
SELECT i.organiser_id, i.import_id, i.state, i.name_sealed, i.columns, i.delimiter, i.rows, i.texts, i.mails, i.known,
       i.granted, i.already_there, i.rejected, coalesce(u.name, i.uploaded_by) AS uploaded_by, i.uploaded_at,
       coalesce(g.name, i.granted_by) AS granted_by, i.granted_at, i.due_at, i.ended_at, i.emptied_at
  FROM imports i
  LEFT JOIN people u ON 'person:' || u.person_id = i.uploaded_by AND u.organiser_id = i.organiser_id
  LEFT JOIN people g ON 'person:' || g.person_id = i.granted_by AND g.organiser_id = i.organiser_id
"""
SELECT_IMPORT = f"{_SHOWN} WHERE i.organiser_id = $1 AND i.import_id = $2"
SELECT_IMPORTS = f"{_SHOWN} WHERE i.organiser_id = $1 ORDER BY i.import_id DESC LIMIT $2"


async def select_import(conn: Connection, *, organiser_id: UUID, import_id: UUID) -> Record | None:
    return await conn.fetchrow(SELECT_IMPORT, organiser_id, import_id)


async def select_imports(conn: Connection, *, organiser_id: UUID, limit: int) -> Sequence[Record]:
    """Newest first."""
    return list(await conn.fetch(SELECT_IMPORTS, organiser_id, limit))


SELECT_CHUNKS = """
SELECT place, sealed FROM import_chunks WHERE organiser_id = $1 AND import_id = $2 ORDER BY place LIMIT $3
"""


async def select_chunks(
    conn: Connection, *, organiser_id: UUID, import_id: UUID, limit: int
) -> Sequence[tuple[int, bytes]]:
    """The first chunks that are not granted yet, with their places."""
    rows = await conn.fetch(SELECT_CHUNKS, organiser_id, import_id, limit)
    return [(row["place"], row["sealed"]) for row in rows]


SELECT_REJECTION = """
SELECT place, sealed FROM import_rejections
 WHERE organiser_id = $1 AND import_id = $2 AND place > $3 ORDER BY place LIMIT 1
"""


async def select_rejection(
    conn: Connection, *, organiser_id: UUID, import_id: UUID, after: int
) -> tuple[int, bytes] | None:
    """The next chunk's rejected rows, behind a place."""
    row = await conn.fetchrow(SELECT_REJECTION, organiser_id, import_id, after)
    return None if row is None else (row["place"], row["sealed"])


SELECT_QUIET_UNTIL = "SELECT nullif(not_in_quiet_hours(now(), $1, $2), now())"


async def select_quiet_until(conn: Connection, *, quiet: tuple[int, int]) -> datetime | None:
    """When the quiet hours end; None when it is not quiet."""
    until: datetime | None = await conn.fetchval(SELECT_QUIET_UNTIL, *quiet)
    return until


START = """
UPDATE imports
   SET state = 'granting', ended_at = NULL, tries = 0, leased_until = NULL, turn_at = now(),
       granted_by = $3, granted_at = now(), at_once = $4,
       due_at = CASE WHEN $4 THEN now() ELSE not_in_quiet_hours(now(), $5, $6) END
 WHERE organiser_id = $1 AND import_id = $2 AND state IN ('waiting', 'failed')
RETURNING due_at
"""


async def start(
    conn: Connection, *, organiser_id: UUID, import_id: UUID, by: str, at_once: bool, quiet: tuple[int, int]
) -> datetime | None:
    """Let it be granted; when that begins. None when it does not wait."""
    due_at: datetime | None = await conn.fetchval(START, organiser_id, import_id, by, at_once, *quiet)
    return due_at


# What it has not granted yet is deleted by the next sweep: a chunk that is being granted now holds its row.
CANCEL = """
UPDATE imports SET state = 'cancelled', ended_at = now(), fence = fence + 1
 WHERE organiser_id = $1 AND import_id = $2 AND state IN ('waiting', 'granting', 'failed')
RETURNING import_id
"""


async def cancel(conn: Connection, *, organiser_id: UUID, import_id: UUID) -> bool:
    """Stop it where it is; False when it has ended."""
    return await conn.fetchval(CANCEL, organiser_id, import_id) is not None


CLAIM = """
WITH due AS (
    SELECT organiser_id, import_id FROM imports
     WHERE state = 'granting' AND due_at <= now() AND (leased_until IS NULL OR leased_until < now())
       AND (at_once OR not_in_quiet_hours(now(), $2, $3) <= now())
     ORDER BY turn_at LIMIT 1 FOR UPDATE SKIP LOCKED
)
UPDATE imports i
   SET fence = fence + 1, tries = tries + 1, turn_at = clock_timestamp(),
       leased_until = clock_timestamp() + make_interval(secs => $1)
  FROM due WHERE i.organiser_id = due.organiser_id AND i.import_id = due.import_id
RETURNING i.organiser_id, i.import_id, i.fence, i.tries, i.columns, i.delimiter, i.granted_by,
    i.at_once
"""


async def claim(conn: Connection, *, lease_s: float, quiet: tuple[int, int]) -> Claim | None:
    """The import whose turn it is, with a new fence; None when there is nothing to do at this hour."""
    row = await conn.fetchrow(CLAIM, lease_s, *quiet)
    return None if row is None else Claim(**{**row, "columns": tuple(row["columns"])})


PUT_OFF = """
UPDATE imports i SET due_at = not_in_quiet_hours(now(), $1, $2)
  FROM (SELECT organiser_id, import_id FROM imports
         WHERE state = 'granting' AND NOT at_once AND due_at <= now() AND not_in_quiet_hours(now(), $1, $2) > now()
           FOR NO KEY UPDATE SKIP LOCKED) AS asleep
 WHERE i.organiser_id = asleep.organiser_id AND i.import_id = asleep.import_id
"""


async def put_off(conn: Connection, *, quiet: tuple[int, int]) -> None:
    """Say of what was under way when the quiet hours began that it goes on when they end."""
    await conn.execute(PUT_OFF, *quiet)


# The row is the chunk's lock: whoever comes second waits here, and finds that it is gone.
TAKE_CHUNK = """
DELETE FROM import_chunks
 WHERE organiser_id = $1 AND import_id = $2
   AND place = (SELECT min(place) FROM import_chunks WHERE organiser_id = $1 AND import_id = $2)
RETURNING place, sealed
"""


async def take_chunk(conn: Connection, *, organiser_id: UUID, import_id: UUID) -> tuple[int, bytes] | None:
    """The next chunk, which is gone if the transaction commits."""
    row = await conn.fetchrow(TAKE_CHUNK, organiser_id, import_id)
    return None if row is None else (row["place"], row["sealed"])


INSERT_REJECTION = """
INSERT INTO import_rejections (organiser_id, import_id, place, sealed) VALUES ($1, $2, $3, $4)
"""


async def insert_rejection(conn: Connection, *, organiser_id: UUID, import_id: UUID, place: int, sealed: bytes) -> None:
    await conn.execute(INSERT_REJECTION, organiser_id, import_id, place, sealed)


RECORD_CHUNK = """
UPDATE imports
   SET granted = granted + $4, already_there = already_there + $5, rejected = rejected + $6,
       tries = 0, leased_until = NULL,
       state = CASE WHEN granted + already_there + rejected + $4 + $5 + $6 = rows THEN 'done' ELSE state END,
       ended_at = CASE WHEN granted + already_there + rejected + $4 + $5 + $6 = rows THEN now() END
 WHERE organiser_id = $1 AND import_id = $2 AND fence = $3 AND state = 'granting'
RETURNING state
"""


async def record_chunk(
    conn: Connection, *, claimed: Claim, granted: int, already_there: int, rejected: int
) -> str | None:
    """Count a chunk; the state after it. None when the claim is no longer good: roll back."""
    state: str | None = await conn.fetchval(
        RECORD_CHUNK, claimed.organiser_id, claimed.import_id, claimed.fence, granted, already_there, rejected
    )
    return state


FAIL = """
UPDATE imports SET state = 'failed', ended_at = now(), leased_until = NULL
 WHERE organiser_id = $1 AND import_id = $2 AND fence = $3 AND state = 'granting'
"""


async def fail(conn: Connection, *, claimed: Claim) -> None:
    """Leave it to a person."""
    await conn.execute(FAIL, claimed.organiser_id, claimed.import_id, claimed.fence)


CANCEL_FORGOTTEN = """
UPDATE imports SET state = 'cancelled', ended_at = now()
 WHERE state = 'waiting' AND uploaded_at < now() - make_interval(hours => $1)
"""


async def cancel_forgotten(conn: Connection, *, after_hours: int) -> None:
    """Discard what nobody said "grant these" to."""
    await conn.execute(CANCEL_FORGOTTEN, after_hours)


# Discarded, or kept long enough. What failed may go on, and keeps what is left of it as long as it is on the list of
# what needs a person, and as long again after somebody took it off: these are decisions that nobody has been told of.
SELECT_TO_EMPTY = """
SELECT organiser_id, import_id, ended_at < now() - make_interval(days => $1) AS is_over
  FROM imports i
 WHERE emptied_at IS NULL AND ended_at IS NOT NULL
   AND (ended_at < now() - make_interval(days => $1)
        AND NOT (state = 'failed' AND EXISTS (
            SELECT FROM attention a
             WHERE a.organiser_id = i.organiser_id AND a.subject_id = i.import_id AND a.reason = 'import_failed'
               AND (a.resolved_at IS NULL OR a.resolved_at > now() - make_interval(days => $1))))
        OR state = 'cancelled' AND EXISTS (SELECT FROM import_chunks c
                                            WHERE c.organiser_id = i.organiser_id AND c.import_id = i.import_id))
 LIMIT 20 FOR NO KEY UPDATE SKIP LOCKED
"""
DELETE_CHUNKS = "DELETE FROM import_chunks WHERE organiser_id = $1 AND import_id = $2"
DELETE_REJECTIONS = "DELETE FROM import_rejections WHERE organiser_id = $1 AND import_id = $2"
UPDATE_EMPTIED = """
UPDATE imports
   SET emptied_at = now(), name_sealed = NULL, state = CASE WHEN state = 'failed' THEN 'cancelled' ELSE state END
 WHERE organiser_id = $1 AND import_id = $2
"""


async def empty(conn: Connection, *, after_days: int) -> int:
    """Delete the contents of some imports that have ended; how many."""
    rows = await conn.fetch(SELECT_TO_EMPTY, after_days)
    for organiser_id, import_id, is_over in rows:
        await conn.execute(DELETE_CHUNKS, organiser_id, import_id)
        if is_over:
            await conn.execute(DELETE_REJECTIONS, organiser_id, import_id)
            await conn.execute(UPDATE_EMPTIED, organiser_id, import_id)
    return len(rows)


# One place for each kind of what is sealed: the rotation of keys is the same for all.
SELECT_NAMES_SEALED = """
SELECT organiser_id, import_id, 0 AS place, name_sealed AS sealed FROM imports
 WHERE name_sealed IS NOT NULL AND (organiser_id, import_id) > ($1, $2) AND $3::int >= 0
 ORDER BY organiser_id, import_id LIMIT $4 FOR UPDATE
"""
SELECT_CHUNKS_SEALED = """
SELECT organiser_id, import_id, place, sealed FROM import_chunks
 WHERE (organiser_id, import_id, place) > ($1, $2, $3::int)
 ORDER BY organiser_id, import_id, place LIMIT $4 FOR UPDATE
"""
SELECT_REJECTIONS_SEALED = """
SELECT organiser_id, import_id, place, sealed FROM import_rejections
 WHERE (organiser_id, import_id, place) > ($1, $2, $3::int)
 ORDER BY organiser_id, import_id, place LIMIT $4 FOR UPDATE
"""
UPDATE_NAME_SEALED = """
UPDATE imports SET name_sealed = $4 WHERE organiser_id = $1 AND import_id = $2 AND $3::int = 0
"""
UPDATE_CHUNK_SEALED = """
UPDATE import_chunks SET sealed = $4 WHERE organiser_id = $1 AND import_id = $2 AND place = $3
"""
UPDATE_REJECTION_SEALED = """
UPDATE import_rejections SET sealed = $4 WHERE organiser_id = $1 AND import_id = $2 AND place = $3
"""
SEALED = {
    "name": (SELECT_NAMES_SEALED, UPDATE_NAME_SEALED),
    "chunk": (SELECT_CHUNKS_SEALED, UPDATE_CHUNK_SEALED),
    "rejected": (SELECT_REJECTIONS_SEALED, UPDATE_REJECTION_SEALED),
}

Place = tuple[UUID, UUID, int]
START_PLACE: Place = (UUID(int=0), UUID(int=0), 0)


async def lock_sealed(conn: Connection, *, kind: str, after: Place, limit: int) -> Sequence[Record]:
    """What is sealed of one kind, behind a place, in order."""
    return list(await conn.fetch(SEALED[kind][0], *after, limit))


async def update_sealed(conn: Connection, *, kind: str, rows: Sequence[tuple[UUID, UUID, int, bytes]]) -> None:
    await conn.executemany(SEALED[kind][1], rows)
