"""A code that a person typed on a page, kept from page to page on our side until a visit is charged with it.

It is kept in a row and not in the form: then the pages between the code and the receipt have addresses of their own,
can be opened again by the back button, and show the same idempotency key whenever they are shown.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal
from uuid import UUID

from uuid_utils.compat import uuid7

from service.crypto import Keys, SealBroken
from service.db import Pool, autocommit
from service.debits.model import LookupUnknown
from service.debits.queries import lookups as queries

KEPT = timedelta(hours=12)
Made = Literal["debit", "hold"]


@dataclass(frozen=True, slots=True)
class Lookup:
    """One code, looked up by one person, for one charge."""

    lookup_id: UUID
    tries: int
    made: Made | None
    answer: Mapping[str, Any] | None
    code: str = field(repr=False)

    def key(self, tries: int) -> str:
        """The idempotency key of what is charged from here: another one only after a refusal, which is final."""
        return f"page:{self.lookup_id}:{tries}"


async def keep_lookup(pool: Pool, keys: Keys, *, person_id: UUID, code: str) -> UUID:
    """Remember a code for its person's next pages; those of everybody that are too old go."""
    lookup_id = uuid7()
    async with autocommit(pool) as conn:
        await queries.insert_lookup(
            conn,
            lookup_id=lookup_id,
            person_id=person_id,
            code_sealed=keys.sealer.seal(code, _context(lookup_id)),
        )
        await queries.delete_old(conn, older_than=KEPT)
    return lookup_id


async def find_lookup(pool: Pool, keys: Keys, *, person_id: UUID, lookup_id: UUID) -> Lookup:
    """Raises LookupUnknown: never was, another person's, or too old."""
    async with autocommit(pool) as conn:
        row = await queries.select_lookup(conn, lookup_id=lookup_id, person_id=person_id, newer_than=KEPT)
    if row is None:
        raise LookupUnknown
    try:
        code = keys.sealer.open(row["code_sealed"], _context(lookup_id))
    except SealBroken:  # its key was taken out in these hours
        raise LookupUnknown from None
    return Lookup(
        lookup_id=lookup_id,
        tries=row["tries"],
        made=row["made"],
        answer=None if row["answer"] is None else json.loads(row["answer"]),
        code=code,
    )


async def count_refused(pool: Pool, *, lookup_id: UUID, tries: int) -> None:
    """After a final refusal the next try has a key of its own. Idempotent for the same `tries`."""
    async with autocommit(pool) as conn:
        await queries.count_refused(conn, lookup_id=lookup_id, tries=tries)


async def remember_made(pool: Pool, *, lookup_id: UUID, made: Made, answer: str) -> None:
    """For the receipt. Idempotent: the first answer stays."""
    async with autocommit(pool) as conn:
        await queries.update_made(conn, lookup_id=lookup_id, made=made, answer=answer)


def _context(lookup_id: UUID) -> bytes:
    return b"lookup" + lookup_id.bytes
