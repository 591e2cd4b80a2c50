"""What families are told after a debit or its reversal: at once, or once a day in the evening.

The row of a receipt is written by the debit function itself, in the debit's transaction, with what was left then. Here
are its words, which are made when it is sent, and the summaries of those families that hear once a day.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from uuid import UUID

from asyncpg import Record

from service.channels.kinds import NEUTRAL
from service.channels.phrases import format_day
from service.db import Connection, Pool, transaction
from service.debits.queries import receipts as queries
from service.money import Unit, format_amount
from service.quiet_hours import QuietHours

DEBIT_RECEIPT = "debit_receipt"
DEBIT_REVERSED = "debit_reversed"
DAY_RECEIPT = "debit_receipts_day"
KINDS = (DEBIT_RECEIPT, DEBIT_REVERSED, DAY_RECEIPT)
BATCH = 500


async def receipt_fields(conn: Connection, wanted: Sequence[tuple[UUID, UUID]]) -> Mapping[UUID, Mapping[str, str]]:
    """The words of receipts, by entry, for (organiser, entry) pairs: in the language of the message."""
    rows = await queries.select_receipts(
        conn,
        organiser_ids=[organiser_id for organiser_id, _ in wanted],
        entry_ids=[entry_id for _, entry_id in wanted],
    )
    return {row["entry_id"]: _words(row) for row in rows}


def _words(row: Record) -> Mapping[str, str]:
    unit, language, today = Unit(row["unit"]), row["language"], row["today"]
    words = {
        "left": format_amount(int(row["fields"]["available"]), unit, language),
        "help_phone": row["help_phone"],
        "last_four": row["last_four"],
        NEUTRAL: "yes" if row["neutral_texts"] else "",
    }
    if row["message_kind"] == DAY_RECEIPT:
        return words | {
            "amount": _signed(int(row["fields"]["sum"]), unit, language),
            "day": format_day(date.fromisoformat(row["fields"]["on"]), today, language),
        }
    return words | {
        "provider": row["provider"],
        "amount": format_amount(abs(row["amount"]), unit, language),
        "service_date": format_day(row["service_date"], today, language),
    }


def _signed(amount: int, unit: Unit, language: str) -> str:
    """A day on which more was taken back than charged comes to less than nothing."""
    return ("-" if amount < 0 else "") + format_amount(abs(amount), unit, language)


async def queue_day_receipts(pool: Pool, quiet: QuietHours) -> int:
    """Queue the evening's summaries that are due, at most BATCH of them; returns how many families were dealt with.

    Driven by rows: an entry's row goes in the transaction that tells of it, so each is told once, however often this
    runs and on however many machines; after an outage it is told later. At most one summary a day for a voucher. A
    debit that was taken back before anybody heard of it is not told at all.
    """
    async with transaction(pool) as conn:
        if not await queries.lock_day_receipts(conn):
            return 0  # another process is at it
        return await queries.queue_day_receipts(conn, quiet=quiet, limit=BATCH)
