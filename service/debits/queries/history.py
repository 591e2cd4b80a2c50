"""A provider's debits as it looks them up: one page, or all of them summed, by any of its filters.

Every statement takes the same arguments (`_arguments`), and each filter that is not asked for is left out when it is
planned: a plan is made for each call (`settle_for_reading`), for one that has to suit every filter suits none. What
differs is where the rows are found first (`Lead`), so that a value that is rare among millions is not looked for in all
of them, and the order, which is that of an index.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from enum import StrEnum
from itertools import product
from uuid import UUID

from asyncpg import Record

from service.db import Connection
from service.debits.history import HistoryFilter, HistoryOrder, HistoryPlace
from service.ids import CLOCKS_DIFFER, first_id


class Lead(StrEnum):
    """Where the rows are found first."""

    PROVIDER = "provider"  # in the order of entry
    PROGRAMME = "programme"  # each of them for itself, in either order
    WORKER = "worker"
    CODE = "code"
    DECISION = "decision"
    TAKEN_BACK = "taken_back"
    DISPUTE = "dispute"


# What leads to `e`. A provider has few organisers and programmes: they are found by jumps over the index, and the rows
# of each that fits are read in their order, so that the newest of all are the newest of these. That holds for days of
# service, too, whose index begins with them.
_PAIRS = """(
    WITH RECURSIVE pairs AS (
        (SELECT p.organiser_id, p.programme FROM entries p WHERE p.provider_id = $1 AND p.amount > 0
         ORDER BY p.organiser_id, p.programme LIMIT 1)
        UNION ALL
        SELECT n.organiser_id, n.programme FROM pairs l, LATERAL (
            SELECT p.organiser_id, p.programme FROM entries p
            WHERE p.provider_id = $1 AND p.amount > 0
              AND (p.organiser_id, p.programme) > (l.organiser_id, l.programme)
            ORDER BY p.organiser_id, p.programme LIMIT 1) n
    )
    SELECT k.organiser_id, k.programme FROM pairs k
    WHERE ($9::text IS NULL OR k.programme = $9)
      AND ($10::text IS NULL OR k.organiser_id = (SELECT g.organiser_id FROM organisers g WHERE g.slug = $10)))"""

# What became of a debit, reversals and credits alike.
_LEFT = """(
    SELECT e.amount + COALESCE(sum(r.amount), 0)::bigint AS amount, -COALESCE(sum(r.amount), 0)::bigint AS taken,
           e.pays_cents + COALESCE(sum(r.pays_cents), 0)::bigint AS pays_cents,
           e.own_cents + COALESCE(sum(r.own_cents), 0)::bigint AS own_cents, max(r.entered_at) AS last_at
    FROM entries r WHERE r.organiser_id = e.organiser_id AND r.reverses = e.entry_id) l"""
# Not EXISTS, for that the planner would rather read and hash the whole other table; no comparison, for that it takes
# to be true of one row in 200: of a condition like this it expects nothing, and keeps to the order that is asked for.
_REVERSED = """COALESCE((SELECT true FROM entries r
    WHERE r.organiser_id = e.organiser_id AND r.reverses = e.entry_id LIMIT 1), false)"""
_SETTLED = """COALESCE((SELECT true FROM settled_entries s
    WHERE s.organiser_id = e.organiser_id AND s.entry_id = e.entry_id), false)"""
_DISPUTED = """COALESCE((SELECT true FROM disputes x
    WHERE x.organiser_id = e.organiser_id AND x.entry_id = e.entry_id AND x.resolved_at IS NULL), false)"""
# The one word for where a debit stands. Of several that hold, the first: what stops its payment, what paid it, what was
# taken back. A dispute of what was taken back whole stops nothing.
_STATE = f"""CASE WHEN l.amount > 0 AND {_DISPUTED} THEN 'disputed' WHEN {_SETTLED} THEN 'settled'
    WHEN l.amount = 0 THEN 'reversed' WHEN l.taken > 0 THEN 'partly_reversed' ELSE 'captured' END"""


def _keys(order: HistoryOrder, row: str, entry_id: str) -> Sequence[str]:
    return (entry_id,) if order is HistoryOrder.ENTERED else (f"{row}.service_date", entry_id)


def _sorted(order: HistoryOrder, row: str, entry_id: str = "") -> str:
    return "ORDER BY " + ", ".join(f"{key} DESC" for key in _keys(order, row, entry_id or f"{row}.entry_id"))


def _after(order: HistoryOrder, row: str, entry_id: str = "") -> str:
    entry_id = entry_id or f"{row}.entry_id"
    if order is HistoryOrder.ENTERED:
        return f" AND ($2::uuid IS NULL OR {entry_id} < $2) AND $3::date IS NULL"
    return f" AND ($2::uuid IS NULL OR ({row}.service_date, {entry_id}) < ($3::date, $2))"


# Ids are UUIDv7: the days of entry are a range of them, give or take what clocks differ.
def _in_range(entry_id: str) -> str:
    return f"\n  AND ($15::uuid IS NULL OR {entry_id} >= $15) AND ($16::uuid IS NULL OR {entry_id} < $16)"


# What an index knows of a row: of a debit, or of what takes one back, which has its debit's organiser, programme, day
# and worker. Nothing is settled that is newer than the newest that is: while hardly anything is, or nothing, it is not
# looked for among all.
def _known(row: str, entry_id: str) -> str:
    return f"""{_in_range(entry_id)}
  AND {row}.provider_id = $1
  AND ($5::date IS NULL OR {row}.service_date >= $5) AND ($6::date IS NULL OR {row}.service_date <= $6)
  AND ($9::text IS NULL OR {row}.programme = $9)
  AND ($10::text IS NULL OR {row}.organiser_id = (SELECT g.organiser_id FROM organisers g WHERE g.slug = $10))
  AND ($11::text IS NULL OR {row}.worker = $11)
  AND ($12::text IS DISTINCT FROM 'settled' OR {entry_id} <= (
      SELECT s.entry_id FROM settled_entries s ORDER BY s.entry_id DESC LIMIT 1))"""


_OF_CODE = """
  AND ($13::text IS NULL OR EXISTS (
      SELECT FROM codes c WHERE c.organiser_id = e.organiser_id AND c.code_id = e.code_id AND c.last_four = $13))"""
# The rest. What is a debit its amount tells (CHECK entries_sign), and that the indexes know. The time of entry says
# hardly more than the ids do: the planner, which takes the two for independent, would expect next to nothing, and sort
# all that there is of the days for a page of it; of COALESCE it expects a half.
_REST = f"""
  AND e.provider_id = $1 AND e.amount > 0
  AND COALESCE(($7::date IS NULL OR e.entered_at >= $7::timestamp AT TIME ZONE 'Europe/Helsinki')
           AND ($8::date IS NULL OR e.entered_at < ($8 + 1)::timestamp AT TIME ZONE 'Europe/Helsinki'), false)
  AND ($17::uuid IS NULL OR e.credential_id = $17)
  AND ($14::text IS NULL OR EXISTS (
      SELECT FROM vouchers v JOIN decisions d ON d.organiser_id = v.organiser_id AND d.decision_id = v.decision_id
      WHERE v.organiser_id = e.organiser_id AND v.voucher_id = e.voucher_id
        AND decision_ref_on(e.organiser_id, e.voucher_id, d.decision_ref, e.service_date) = $14))
  AND ($12::text IS DISTINCT FROM 'settled' OR {_SETTLED})
  AND ($12::text IS DISTINCT FROM 'captured' OR NOT ({_SETTLED} OR {_REVERSED} OR {_DISPUTED}))
  AND ($12::text IS NULL OR $12 = 'captured' OR COALESCE((SELECT {_STATE} = $12 FROM {_LEFT}), false))"""
_ALL = _known("e", "e.entry_id") + _REST + _OF_CODE

# Of what a worker charged and of what was taken back the index tells nearly every filter; of disputes there are few. So
# first come the ids, then the row of each until the page is full; OFFSET 0 keeps the planner from looking for the rows
# by something that millions have, too.
_ROW_OF_ID = """LATERAL (
    SELECT o.* FROM entries o WHERE o.organiser_id = k.organiser_id AND o.entry_id = k.entry_id OFFSET 0) e"""


def _ids(lead: Lead, order: HistoryOrder) -> str:
    if lead is Lead.WORKER:
        return f"""
    SELECT w.organiser_id, w.entry_id, w.service_date FROM entries w
    WHERE w.amount > 0 AND w.worker IS NOT NULL{_known("w", "w.entry_id")}{_after(order, "w")} {_sorted(order, "w")}"""
    # What was taken back in parts comes more than once. After the last of them nothing is left of it.
    return f"""
    SELECT DISTINCT ON ({", ".join(_keys(order, "r", "r.reverses"))})
        r.organiser_id, r.reverses AS entry_id, r.service_date
    FROM entries r
    WHERE r.reverses IS NOT NULL AND ($12 <> 'reversed' OR r.leaves = 0) AND ($12 = 'reversed' OR r.leaves > 0)
    {_known("r", "r.reverses")}{_after(order, "r", "r.reverses")} {_sorted(order, "r", "r.reverses")}"""


_FROM: Mapping[Lead, str] = {
    Lead.PROVIDER: f"entries e WHERE true{_ALL}",
    Lead.PROGRAMME: f"{_PAIRS} k JOIN entries e USING (organiser_id, programme) WHERE true{_ALL}",
    Lead.WORKER: f"entries e WHERE true{_ALL}",
    Lead.CODE: f"""(
    SELECT e.* FROM codes k JOIN entries e USING (organiser_id, voucher_id, code_id) WHERE k.last_four = $13 OFFSET 0) e
    WHERE true{_known("e", "e.entry_id")}{_REST}""",
    Lead.DECISION: f"""(
    SELECT e.* FROM (
        SELECT v.organiser_id, v.voucher_id
        FROM organisers g JOIN decisions d ON d.organiser_id = g.organiser_id AND d.decision_ref = $14
        JOIN vouchers v ON v.organiser_id = d.organiser_id AND v.decision_id = d.decision_id
        UNION ALL
        SELECT k.organiser_id, k.voucher_id
        FROM organisers g JOIN decision_versions k ON k.organiser_id = g.organiser_id AND k.decision_ref = $14) w
    JOIN entries e ON e.organiser_id = w.organiser_id AND e.voucher_id = w.voucher_id OFFSET 0) e WHERE true{_ALL}""",
    Lead.TAKEN_BACK: f"({_ids(Lead.TAKEN_BACK, HistoryOrder.ENTERED)}) k, {_ROW_OF_ID} WHERE true{_REST}{_OF_CODE}",
    Lead.DISPUTE: f"""(
    SELECT x.organiser_id, x.entry_id FROM disputes x
    WHERE x.provider_id = $1 AND x.resolved_at IS NULL{_in_range("x.entry_id")} ORDER BY x.entry_id DESC OFFSET 0) k,
    {_ROW_OF_ID} WHERE true{_ALL}""",
}


def _picked(lead: Lead, order: HistoryOrder) -> str:
    """The rows of a page."""
    page = f"{_sorted(order, 'e')} LIMIT $4"
    if lead is Lead.PROGRAMME:
        newest = f"""SELECT e.* FROM {_PAIRS} k, LATERAL (
    SELECT e.organiser_id, e.entry_id, e.service_date FROM entries e
    WHERE e.organiser_id = k.organiser_id AND e.programme = k.programme{_ALL}{_after(order, "e")} {page}) e {page}"""
        return f"SELECT e.* FROM ({newest}) k JOIN entries e USING (organiser_id, entry_id)"
    if lead in (Lead.WORKER, Lead.TAKEN_BACK):
        return f"""SELECT e.* FROM ({_ids(lead, order)} OFFSET 0) k,
    {_ROW_OF_ID} WHERE true{_REST}{_OF_CODE} {_sorted(order, "k")} LIMIT $4"""
    if lead is Lead.DISPUTE and order is HistoryOrder.ENTERED:
        page = f"{_sorted(order, 'k')} LIMIT $4"
    return f"SELECT e.* FROM {_FROM[lead]}{_after(order, 'e')} {page}"


# First the rows, then what is told of them: planned together, one that seems dear to find spoils the joins of the rest.
def _page_statement(lead: Lead, order: HistoryOrder) -> str:
    return f"""
WITH picked AS MATERIALIZED ({_picked(lead, order)})
SELECT e.entry_id AS debit_id, date_trunc('second', e.entered_at) AS entered_at, e.service_date, e.starts_at, e.ends_at,
       e.visit_type, e.task_type, e.worker, e.reference, o.slug AS organiser, e.programme,
       decision_ref_on(e.organiser_id, e.voucher_id, d.decision_ref, e.service_date) AS decision_ref, e.voucher_id,
       c.last_four AS code_last_four, e.hold_id, v.unit, e.amount, l.amount AS amount_left,
       l.taken AS reversed_amount, date_trunc('second', l.last_at) AS reversed_at,
       l.pays_cents AS voucher_pays_cents, l.own_cents AS family_pays_cents,
       {_STATE} AS state, {_DISPUTED} AS disputed
FROM picked e
JOIN vouchers v ON v.organiser_id = e.organiser_id AND v.voucher_id = e.voucher_id
JOIN decisions d ON d.organiser_id = v.organiser_id AND d.decision_id = v.decision_id
JOIN codes c ON c.organiser_id = e.organiser_id AND c.code_id = e.code_id
JOIN organisers o ON o.organiser_id = e.organiser_id
CROSS JOIN LATERAL {_LEFT}
{_sorted(order, "e")}
"""


# Of many debits what was taken back is read in one go, of few each for itself. $2 to $4 are a page's; not used here.
def _sums_statement(lead: Lead) -> str:
    taken = "-sum(r.amount) AS taken, sum(r.pays_cents) AS pays_cents, sum(r.own_cents) AS own_cents"
    if lead in (Lead.PROVIDER, Lead.PROGRAMME, Lead.WORKER):
        back = f"""(
    SELECT r.organiser_id, r.reverses, {taken}
    FROM entries r WHERE r.provider_id = $1 AND r.reverses IS NOT NULL GROUP BY r.organiser_id, r.reverses
) l ON l.organiser_id = e.organiser_id AND l.reverses = e.entry_id"""
    else:
        back = f"""LATERAL (
    SELECT {taken} FROM entries r WHERE r.organiser_id = e.organiser_id AND r.reverses = e.entry_id
) l ON true"""
    return f"""
SELECT p.unit, e.programme, count(*) AS debits, sum(e.amount)::bigint AS amount,
       COALESCE(sum(l.taken), 0)::bigint AS reversed_amount,
       sum(e.pays_cents + COALESCE(l.pays_cents, 0))::bigint AS voucher_pays_cents,
       sum(e.own_cents + COALESCE(l.own_cents, 0))::bigint AS family_pays_cents
FROM (SELECT e.* FROM {_FROM[lead]} AND $2::uuid IS NULL AND $3::date IS NULL AND $4::int IS NULL) e
JOIN programmes p ON p.organiser_id = e.organiser_id AND p.programme = e.programme
LEFT JOIN {back}
GROUP BY GROUPING SETS ((p.unit), (p.unit, e.programme))
ORDER BY p.unit, e.programme NULLS FIRST
"""


PAGES: Mapping[tuple[Lead, HistoryOrder], str] = {
    (lead, order): _page_statement(lead, order)
    for lead, order in product(Lead, HistoryOrder)
    if (lead, order) != (Lead.PROVIDER, HistoryOrder.SERVED)  # days of service are read programme by programme
}
SUMS: Mapping[Lead, str] = {lead: _sums_statement(lead) for lead in Lead}


def choose_lead(asked: HistoryFilter) -> Lead:
    """The shortest way to the rows: of what leads to few, what leads to the fewest."""
    if asked.decision_ref is not None:
        return Lead.DECISION
    if asked.last_four is not None:
        return Lead.CODE
    if asked.state == "disputed":
        return Lead.DISPUTE
    if asked.state in ("reversed", "partly_reversed"):
        return Lead.TAKEN_BACK
    if asked.worker is not None:
        return Lead.WORKER
    if asked.programme is not None or asked.organiser is not None or asked.order is HistoryOrder.SERVED:
        return Lead.PROGRAMME
    return Lead.PROVIDER


def _arguments(
    provider_id: UUID, asked: HistoryFilter, after: HistoryPlace | None, limit: int | None
) -> Sequence[object]:
    earliest = latest = None
    # No visit is charged before its day (`service_date_in_future`). Where an index begins with the day, that says more.
    service_from = asked.service_from if choose_lead(asked) not in (Lead.PROGRAMME, Lead.TAKEN_BACK) else None
    service_to = asked.service_to
    begin = max(asked.entered_from or date.min, service_from or date.min)
    if begin > date.min:
        earliest = first_id(begin - CLOCKS_DIFFER)
    if asked.entered_to is not None and asked.entered_to < date.max - 2 * CLOCKS_DIFFER:
        latest = first_id(asked.entered_to + 2 * CLOCKS_DIFFER)
        if asked.order is HistoryOrder.SERVED:
            service_to = min(asked.service_to or date.max, asked.entered_to + CLOCKS_DIFFER)
    if asked.debit_id is not None:
        earliest = max(asked.debit_id, earliest or asked.debit_id)
        latest = min(UUID(int=asked.debit_id.int + 1), latest or UUID(int=asked.debit_id.int + 1))
    return (
        provider_id,
        after.entry_id if after else None,
        after.service_date if after else None,
        limit,
        asked.service_from,
        service_to,
        asked.entered_from,
        asked.entered_to,
        asked.programme,
        asked.organiser,
        asked.worker,
        asked.state,
        asked.last_four,
        asked.decision_ref,
        earliest,
        latest,
        asked.credential_id,
    )


def _settle(timeout_ms: int) -> str:
    return f"SET LOCAL plan_cache_mode = force_custom_plan; SET LOCAL statement_timeout = {timeout_ms}"


async def settle_for_reading(conn: Connection, *, timeout_ms: int) -> None:
    """For the rest of the transaction: plans for the filters that are asked for, and an end to what takes too long."""
    await conn.execute(_settle(timeout_ms))


# Of each programme the rows are read in the order of an index. The planner would rather sort all of some days of entry
# where it expects next to nothing, as it does when days of service are asked for, too.
READ_IN_ORDER = "SET LOCAL enable_sort = off"


async def page(
    conn: Connection, *, provider_id: UUID, asked: HistoryFilter, after: HistoryPlace | None, limit: int
) -> Sequence[Record]:
    """At most `limit` debits in the filter's order, from behind a place in it."""
    if choose_lead(asked) is Lead.PROGRAMME:
        await conn.execute(READ_IN_ORDER)
    return await conn.fetch(PAGES[choose_lead(asked), asked.order], *_arguments(provider_id, asked, after, limit))


async def sums(conn: Connection, *, provider_id: UUID, asked: HistoryFilter) -> Sequence[Record]:
    """One row a unit (programme NULL) and one for each of its programmes."""
    return await conn.fetch(SUMS[choose_lead(asked)], *_arguments(provider_id, asked, None, None))


SELECT_NAMES = """
SELECT g.slug AS organiser, g.name AS organiser_name, p.programme, p.names
FROM organisers g JOIN programmes p ON p.organiser_id = g.organiser_id WHERE g.slug = ANY($1)
"""


async def select_names(conn: Connection, *, organisers: Sequence[str]) -> Sequence[Record]:
    """What these organisers and their programmes are called."""
    return await conn.fetch(SELECT_NAMES, organisers)
