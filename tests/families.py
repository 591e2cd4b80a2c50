"""A family with a voucher in a real installation, and what its phone would show."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from uuid import UUID

from service.channels.operations import claim_due
from service.db import Connection, transaction
from service.sandbox.sample import FAMILY_SERVICES
from tests.installations import Installation

PROVIDER = FAMILY_SERVICES.business_id


@dataclass
class Family:
    here: Installation
    voucher_id: UUID
    organiser_id: UUID

    async def debit(self, amount: int, key: str) -> dict[str, Any]:
        code = await self.here.code_of(str(self.voucher_id))
        body = {"code": code, "amount": amount, "reference": f"visit {key}"}
        answer = await self.here.call(PROVIDER, "POST", "/v1/debits", body, key=key)
        assert answer.status == 201, await answer.text()
        return dict(await answer.json())

    async def reverse(self, debit_id: str, key: str) -> None:
        answer = await self.here.call(PROVIDER, "POST", f"/v1/debits/{debit_id}/reverse", {}, key=key)
        assert answer.status == 201, await answer.text()

    async def messages(self, kind: str) -> list[dict[str, Any]]:
        async with self.here.resources.pool.acquire() as conn:
            rows = await conn.fetch(
                "SELECT * FROM messages WHERE subject_id = $1 AND kind = $2 ORDER BY created_at, message_id",
                self.voucher_id,
                kind,
            )
        return [dict(row) for row in rows]

    async def attention(self) -> list[dict[str, Any]]:
        async with self.here.resources.pool.acquire() as conn:
            rows = await conn.fetch(
                "SELECT * FROM attention WHERE subject_id = $1 ORDER BY opened_at, attention_id", self.voucher_id
            )
        return [dict(row) for row in rows]

    async def change(self, statement: str, *values: Any) -> None:
        """Change the past: $1 is the voucher."""
        async with transaction(self.here.resources.pool) as conn:
            await conn.execute(statement, self.voucher_id, *values)

    async def age(self, days: float) -> None:
        """Everything about the voucher happened that many days earlier."""
        by = timedelta(days=days)
        await self.change("UPDATE vouchers SET created_at = created_at - $2::interval WHERE voucher_id = $1", by)
        await self.change(
            "UPDATE vouchers SET valid_from = valid_from - $2::int WHERE voucher_id = $1", -(-by // timedelta(days=1))
        )
        await self.change("UPDATE messages SET created_at = created_at - $2::interval WHERE subject_id = $1", by)

    async def ends_in(self, days: int) -> None:
        await self.change("UPDATE vouchers SET valid_to = helsinki_today() + $2::int WHERE voucher_id = $1", days)

    async def rendered(self, kind: str) -> list[str]:
        """The texts of one kind that are due now or later, as they would be handed over."""
        await self.change("UPDATE messages SET due_at = now() WHERE subject_id = $1 AND state = 'pending'")
        sent = await claim_due(self.here.resources.delivery, limit=100)
        sent = sorted(sent, key=lambda sending: sending.message_id)  # as they were queued; claimed in any order
        return [sending.outgoing.content.text for sending in sent if sending.kind == kind]


async def family(here: Installation, **changes: Any) -> Family:
    made = await here.decide(**changes)
    voucher_id = UUID(made["voucher_id"])
    async with here.resources.pool.acquire() as conn:
        organiser_id = await conn.fetchval("SELECT organiser_id FROM vouchers WHERE voucher_id = $1", voucher_id)
    return Family(here, voucher_id, organiser_id)


def day(text: str) -> date:
    return date.fromisoformat(text)


async def multiply_visits(conn: Connection, voucher_id: UUID, times: int) -> None:
    """Let the only visit of a voucher, and each message about it, be there so many times: two on a day, backwards.

    By the database alone: a test of what is shown for a long life need not live it. The balance stays that of one.
    """
    for table, key, ids, changes in (
        ("entries", "voucher_id", "entry_id", "'service_date', t.service_date - n / 2"),
        ("messages", "subject_id", "message_id", "'created_at', t.created_at - n / 2 * interval '1 day'"),
    ):
        await conn.execute(
            f"INSERT INTO {table} SELECT (jsonb_populate_record(t, jsonb_build_object("
            f"'{ids}', gen_random_uuid(), {changes}))).* FROM {table} t, generate_series(1, $2 - 1) n"
            f" WHERE t.{key} = $1",
            voucher_id,
            times,
        )
        # As the database does by itself within a minute. Until then it takes the tables to be as small as they were,
        # and may choose a plan that is twenty times slower.
        await conn.execute(f"ANALYZE {table}")
