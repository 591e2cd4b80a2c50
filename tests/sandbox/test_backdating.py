"""The planned months in the tables: value adds up, nothing is left to send, and a second loading changes nothing."""

from __future__ import annotations

from datetime import UTC, datetime

from service.db import Connection
from service.organisers.operations import find_organiser
from service.sandbox.backdating import load_organiser
from service.sandbox.months import plan_months
from service.sandbox.neighbours import SHORE_TOWN, load_neighbours
from service.sandbox.sample import load_sample
from service.vouchers.decisions import helsinki_day
from tests.vouchers.worlds import KEYS

UNBALANCED = """
SELECT v.voucher_id FROM vouchers v
  LEFT JOIN (SELECT voucher_id, sum(amount) AS debited FROM entries GROUP BY voucher_id) e USING (voucher_id)
 WHERE v.debited <> COALESCE(e.debited, 0)
    OR v.granted <> v.available + v.held + v.debited + v.expired + v.cancelled
    OR v.expired <> COALESCE((SELECT sum(c.amount) FROM value_changes c WHERE c.voucher_id = v.voucher_id), 0)
"""


async def contents(db: Connection) -> list[object]:
    tables = ("decisions", "vouchers", "codes", "messages", "attempts", "receipts", "entries", "value_changes")
    return [await db.fetch(f"SELECT * FROM {table} ORDER BY 1, 2") for table in tables]


async def test_an_organisers_months_add_up_have_been_sent_and_are_loaded_once(db: Connection) -> None:
    await load_sample(db)
    await load_neighbours(db)
    town, day = await find_organiser(db, SHORE_TOWN), helsinki_day(datetime.now(UTC))
    planned = plan_months(SHORE_TOWN, day)
    await load_organiser(db, KEYS, town, planned, day)

    assert await db.fetch(UNBALANCED) == []
    entries = await db.fetchrow("SELECT count(*) FILTER (WHERE kind = 'debit'), sum(amount) FROM entries")
    assert tuple(entries) == (sum(len(each.visits) for each in planned), sum(each.used for each in planned))
    assert await db.fetchval("SELECT count(*) FROM messages WHERE due_at IS NOT NULL") == 0
    arrived = "SELECT count(*) FROM messages WHERE kind = 'voucher' AND state IN ('delivered', 'sent')"
    assert await db.fetchval(arrived) == len(planned)
    newest = "SELECT max(at) FROM (SELECT created_at AS at FROM decisions UNION ALL SELECT entered_at FROM entries) k"
    assert helsinki_day(await db.fetchval(newest)) < day
    # An id of another week than its entry's would not be counted.
    ages = "SELECT max(abs(extract(epoch FROM uuid_extract_timestamp(entry_id) - entered_at))) FROM entries"
    assert await db.fetchval(ages) < 1
    costs = await db.fetch("SELECT DISTINCT pays_cents * 60 / amount FROM entries WHERE programme = 'kotipalvelu'")
    assert [cost[0] for cost in costs] == [3350]  # nobody has a price of its own here: what the hour is worth

    before = await contents(db)
    await load_neighbours(db)
    await load_organiser(db, KEYS, town, planned, day)
    assert await contents(db) == before
