"""Addresses, passwords and one-time secrets under newer keys. Links and half-set-up apps live briefly and run out."""

from __future__ import annotations

from uuid import UUID

from service.crypto import Keys
from service.db import Pool, transaction
from service.people.addresses import PURPOSE, email_context, open_email, plain_email
from service.people.operations.second_factors import totp_context
from service.people.passwords import password_context
from service.people.queries import accounts as queries

BATCH_ROWS = 500


async def rotate_people(pool: Pool, keys: Keys) -> int:
    """Bring everybody under the newest keys; returns how many had to be moved. Idempotent. Raises SealBroken."""
    after, moved = UUID(int=0), 0
    while True:
        async with transaction(pool) as conn:
            rows = await queries.lock_sealed(conn, after=after, limit=BATCH_ROWS)
            changed = []
            for row in rows:
                person_id = row["person_id"]
                email = open_email(keys, person_id, row["email_sealed"])
                renewed = (
                    person_id,
                    _renew(keys, row["email_sealed"], email_context(person_id)),
                    keys.index.current(PURPOSE, plain_email(email)),
                    _renew(keys, row["password_sealed"], password_context(person_id)),
                    _renew(keys, row["totp_sealed"], totp_context(person_id)),
                )
                if renewed != tuple(row):
                    changed.append(renewed)
            if changed:
                await queries.update_sealed(conn, rows=changed)
        moved += len(changed)
        if len(rows) < BATCH_ROWS:
            return moved
        after = rows[-1]["person_id"]


def _renew(keys: Keys, sealed: bytes | None, context: bytes) -> bytes | None:
    if sealed is None or keys.sealer.is_current(sealed):
        return sealed
    return keys.sealer.seal(keys.sealer.open(sealed, context), context)
