"""What a provider has charged, as it looks it up."""

from __future__ import annotations

from uuid import UUID

from asyncpg import Record

from service.db import Pool, autocommit
from service.debits.queries import history as queries


async def history(pool: Pool, *, provider_id: UUID, before: UUID | None, limit: int) -> list[Record]:
    """A page of the provider's debits, newest first, each with what of it was taken back."""
    async with autocommit(pool) as conn:
        return await queries.history(conn, provider_id=provider_id, before=before, limit=limit)
