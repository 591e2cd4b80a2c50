"""How long contents are kept, and that they can be read after the keys have changed."""

from __future__ import annotations

from service.crypto import Keys
from service.db import Pool, transaction
from service.imports import queries
from service.imports.queries import START_PLACE
from service.imports.sealing import Kind, context

FORGOTTEN_HOURS = 24
"""After which a file that nobody said "grant these" to is discarded: it holds contacts."""
BATCH_ROWS = 50  # a row may be a hundred kilobytes
KINDS: tuple[Kind, ...] = ("name", "chunk", "rejected")


async def sweep(pool: Pool, contents_days: int) -> int:
    """Discard forgotten files, and delete names and rejected rows when they are old; the counts stay. Idempotent."""
    async with transaction(pool) as conn:
        await queries.cancel_forgotten(conn, after_hours=FORGOTTEN_HOURS)
        return await queries.empty(conn, after_days=contents_days)


async def rotate_imports(pool: Pool, keys: Keys) -> int:
    """Bring what is sealed under the newest key; returns how many had to be moved. Idempotent. Raises SealBroken."""
    return sum([await _rotate(pool, keys, kind) for kind in KINDS])


async def _rotate(pool: Pool, keys: Keys, kind: Kind) -> int:
    after, moved = (START_PLACE[0], START_PLACE[1], -1 if kind != "name" else 0), 0
    while True:
        async with transaction(pool) as conn:
            rows = await queries.lock_sealed(conn, kind=kind, after=after, limit=BATCH_ROWS)
            renewed = [
                (organiser_id, import_id, place, keys.sealer.seal(keys.sealer.open(sealed, bound), bound))
                for organiser_id, import_id, place, sealed in rows
                if not keys.sealer.is_current(sealed)
                for bound in (context(kind, import_id, place),)
            ]
            await queries.update_sealed(conn, kind=kind, rows=renewed)
        moved += len(renewed)
        if len(rows) < BATCH_ROWS:
            return moved
        after = (rows[-1]["organiser_id"], rows[-1]["import_id"], rows[-1]["place"])
