"""Workers' phones and PINs under newer keys. A question lives for minutes and is left to run out."""

from __future__ import annotations

from uuid import UUID

from service.channels.suppressions import PURPOSE
from service.crypto import Keys
from service.db import Pool, transaction
from service.staff import queries
from service.staff.pins import phone_context, pin_context

BATCH_ROWS = 500


async def rotate_workers(pool: Pool, keys: Keys) -> int:
    """Bring every worker under the newest keys; returns how many had to be moved. Idempotent. Raises SealBroken."""
    after, moved = UUID(int=0), 0
    while True:
        async with transaction(pool) as conn:
            rows = await queries.lock_sealed(conn, after=after, limit=BATCH_ROWS)
            changed = []
            for row in rows:
                worker_id = row["worker_id"]
                phone = keys.sealer.open(row["phone_sealed"], phone_context(worker_id))
                renewed = (
                    worker_id,
                    _renew(keys, row["phone_sealed"], phone_context(worker_id)),
                    keys.index.current(PURPOSE["sms"], phone),
                    _renew(keys, row["pin_sealed"], pin_context(worker_id)),
                )
                if renewed != tuple(row):
                    changed.append(renewed)
            if changed:
                await queries.update_sealed(conn, rows=changed)
        moved += len(changed)
        if len(rows) < BATCH_ROWS:
            return moved
        after = rows[-1]["worker_id"]


def _renew(keys: Keys, sealed: bytes, context: bytes) -> bytes:
    return sealed if keys.sealer.is_current(sealed) else keys.sealer.seal(keys.sealer.open(sealed, context), context)
