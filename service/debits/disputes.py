"""What a family means that answers EI: the newest visit that it was told of."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from service.db import Connection
from service.debits.queries import receipts as queries
from service.money import Unit
from service.vouchers.operations.replies import ToldDebit


async def find_told_debit(
    conn: Connection, phone_indexes: Sequence[bytes], vouchers: Sequence[tuple[UUID, UUID]]
) -> ToldDebit | None:
    """The newest charge of these (organiser, voucher) pairs that this number was texted of in the last 14 days.

    One that was taken back since is no matter for a dispute any more.
    """
    row = await queries.select_told_debit(
        conn,
        phone_indexes=phone_indexes,
        organiser_ids=[organiser_id for organiser_id, _ in vouchers],
        voucher_ids=[voucher_id for _, voucher_id in vouchers],
    )
    return None if row is None else ToldDebit(**dict(row) | {"unit": Unit(row["unit"])})
