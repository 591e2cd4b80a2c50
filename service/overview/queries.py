"""Every SQL statement of the overview: counting a week into cells, and reading cells back.

A cell's figure, with what its columns are:

decisions  detail new | later; amount: granted by new ones
arrived    value: seconds from a decision to the first arrival of its code; detail: the channel that it came by
waiting    decisions whose code has not arrived
messages   that carry a code; detail channel:arrived | under_way | failed; value 1: after the other channel had failed
used       value: days from a decision to its first visit
unused     decisions without a visit
changes    of value; detail raised | lowered | expired | cancelled; amount
visits     of of_week; value 0; amount, cents: charged less what was taken back; detail visit | no_show
visit_count  the same; value 0, amount: how many visits; whom it is about says `visits`

`families` is how many decisions or messages there are (the column is older than the next one). `whom`: up to WHOM_MAX
of the families, by hashes of the organiser's references to them, the smallest; of visits those of which one stood at
the week's end, and `gone` those that have none any more of what was entered in earlier weeks.

A week begins and ends at midnight in Helsinki, whatever the clocks do in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from uuid import UUID

from asyncpg import Record

from service.db import Connection
from service.ids import CLOCKS_DIFFER, first_id
from service.overview.model import WHOM_MAX

ADD_WEEKS = """
INSERT INTO overview_weeks (organiser_id, week)
SELECT o.organiser_id, w.week::date
  FROM organisers o
 CROSS JOIN LATERAL (SELECT d.created_at FROM decisions d WHERE d.organiser_id = o.organiser_id
                      ORDER BY d.created_at LIMIT 1) first
 CROSS JOIN LATERAL generate_series(
       date_trunc('week', first.created_at AT TIME ZONE 'Europe/Helsinki'),
       date_trunc('week', $1::timestamptz AT TIME ZONE 'Europe/Helsinki'), interval '7 days') w(week)
 WHERE NOT EXISTS (SELECT FROM overview_weeks k WHERE k.organiser_id = o.organiser_id AND k.week = w.week::date)
ON CONFLICT DO NOTHING
"""


async def add_weeks(conn: Connection, *, now: datetime) -> None:
    """Every week from an organiser's first decision to this one: those that no tick came in, too."""
    await conn.execute(ADD_WEEKS, now)


# What is late changes old weeks, the rarer the older they are. What was never tried is first, and of that the newest:
# who looks at the overview, looks at those. Then who has waited longest for its measure, so that none waits for ever
# behind others; and since a try counts like a count, a week that cannot be counted waits like the rest.
TAKE_DUE_WEEK = """
UPDATE overview_weeks SET tried_at = $1
 WHERE (organiser_id, week) = (
       SELECT w.organiser_id, w.week
         FROM overview_weeks w
        CROSS JOIN LATERAL (SELECT GREATEST(w.counted_at, w.tried_at) AS seen_at,
                                   CASE WHEN w.week > $2::date - 14 THEN interval '2 minutes'
                                        WHEN w.counted_at IS NULL THEN interval '10 minutes'
                                        WHEN w.week > $2::date - 56 THEN interval '1 hour'
                                        WHEN w.week > $2::date - 800 THEN interval '1 day'
                                        ELSE interval '30 days' END AS patience) p
        WHERE p.seen_at IS NULL OR p.seen_at < $1::timestamptz - p.patience
        ORDER BY p.seen_at IS NOT NULL, extract(epoch FROM $1 - p.seen_at) / extract(epoch FROM p.patience) DESC,
                 w.week DESC
        LIMIT 1 FOR NO KEY UPDATE OF w SKIP LOCKED)
RETURNING organiser_id, week
"""


async def take_due_week(conn: Connection, *, now: datetime, today: date) -> tuple[UUID, date] | None:
    """The week that is to be counted (again) next. That it was tried is noted: once this is committed, other workers
    leave it alone until its patience is over."""
    row = await conn.fetchrow(TAKE_DUE_WEEK, now, today)
    return (row["organiser_id"], row["week"]) if row else None


CLEAR_WEEK = "DELETE FROM overview_cells WHERE organiser_id = $1 AND week = $2"
NOTE_COUNTED = "UPDATE overview_weeks SET counted_at = $3 WHERE organiser_id = $1 AND week = $2"

_FROM = "($2::date::timestamp AT TIME ZONE 'Europe/Helsinki')"
_UNTIL = "(($2::date + 7)::timestamp AT TIME ZONE 'Europe/Helsinki')"
_FAMILY = "hashtextextended(d.client_ref, 0)"
_WHOM = f"(array_agg(DISTINCT family ORDER BY family))[:{WHOM_MAX}]"

# Nobody confirms the delivery of an e-mail: it has arrived when the mail server took it, unless it comes back. One
# that came back is 'undelivered' or 'escalated', and has not arrived.
COUNT_DECISIONS = f"""
INSERT INTO overview_cells (organiser_id, week, of_week, programme, figure, detail, value, families, amount, whom)
WITH made AS MATERIALIZED (
    SELECT d.organiser_id, v.voucher_id, d.programme, d.created_at, d.granted, {_FAMILY} AS family,
           (d.created_at AT TIME ZONE 'Europe/Helsinki')::date AS made_on
      FROM decisions d
      JOIN vouchers v ON v.organiser_id = d.organiser_id AND v.decision_id = d.decision_id
     WHERE d.organiser_id = $1 AND d.created_at >= {_FROM} AND d.created_at < {_UNTIL}),
sent AS MATERIALIZED (
    SELECT m.voucher_id, m.programme, m.family, m.created_at AS decided_at, k.channel,
           k.fallback_of IS NOT NULL AS is_other,
           CASE WHEN k.state = 'delivered' THEN k.delivered_at
                WHEN k.channel = 'email' AND k.state = 'sent' THEN k.accepted_at END AS arrived_at,
           k.state IN ('pending', 'sending', 'accepted', 'sent', 'unknown') OR k.due_at IS NOT NULL AS is_under_way
      FROM made m
      JOIN messages k ON k.organiser_id = m.organiser_id AND k.subject_id = m.voucher_id AND k.kind = 'voucher'),
arrived AS (
    SELECT DISTINCT ON (s.voucher_id) s.voucher_id, s.programme, s.family, s.channel,
           GREATEST(0, floor(extract(epoch FROM s.arrived_at - s.decided_at)))::bigint AS seconds
      FROM sent s WHERE s.arrived_at IS NOT NULL ORDER BY s.voucher_id, s.arrived_at),
used AS (
    SELECT m.voucher_id, m.programme, m.family,
           CASE WHEN u.first_on IS NOT NULL THEN GREATEST(0, u.first_on - m.made_on) END AS days
      FROM made m
      LEFT JOIN LATERAL (
           SELECT min(e.service_date) AS first_on FROM entries e
            WHERE e.organiser_id = m.organiser_id AND e.voucher_id = m.voucher_id AND e.kind = 'debit'
              AND e.visit_type = 'visit'
              AND e.amount > -COALESCE((
                   SELECT sum(r.amount) FROM entries r
                    WHERE r.organiser_id = e.organiser_id AND r.reverses = e.entry_id), 0)) u ON true)
SELECT $1::uuid, $2::date, $2::date, f.*
  FROM (SELECT programme, 'decisions', 'new', 0, count(*), sum(granted)::bigint, {_WHOM} FROM made GROUP BY programme
        UNION ALL
        SELECT programme, 'arrived', channel, seconds, count(*), 0, {_WHOM}
          FROM arrived GROUP BY programme, channel, seconds
        UNION ALL
        SELECT m.programme, 'waiting', '', 0, count(*), 0, {_WHOM} FROM made m
         WHERE NOT EXISTS (SELECT FROM arrived a WHERE a.voucher_id = m.voucher_id) GROUP BY m.programme
        UNION ALL
        SELECT programme, 'messages', channel || ':' || CASE WHEN arrived_at IS NOT NULL THEN 'arrived'
                                                             WHEN is_under_way THEN 'under_way' ELSE 'failed' END,
               is_other::int, count(*), 0, {_WHOM} FROM sent GROUP BY 1, 3, 4
        UNION ALL
        SELECT programme, 'used', '', days, count(*), 0, {_WHOM}
          FROM used WHERE days IS NOT NULL GROUP BY programme, days
        UNION ALL
        SELECT programme, 'unused', '', 0, count(*), 0, {_WHOM} FROM used WHERE days IS NULL GROUP BY programme) f
"""

COUNT_CHANGES = f"""
INSERT INTO overview_cells (organiser_id, week, of_week, programme, figure, detail, value, families, amount, whom)
WITH changed AS (
    SELECT voucher_id, 'decisions' AS figure, 'later' AS detail, 0 AS amount
      FROM decision_versions WHERE organiser_id = $1 AND created_at >= {_FROM} AND created_at < {_UNTIL}
    UNION ALL
    SELECT voucher_id, 'changes', kind, amount
      FROM value_changes WHERE organiser_id = $1 AND recorded_at >= {_FROM} AND recorded_at < {_UNTIL})
SELECT $1::uuid, $2::date, $2::date, k.programme, k.figure, k.detail, 0, count(*), sum(k.amount)::bigint, {_WHOM}
  FROM (SELECT c.*, v.programme, {_FAMILY} AS family
          FROM changed c
          JOIN vouchers v ON v.organiser_id = $1 AND v.voucher_id = c.voucher_id
          JOIN decisions d ON d.organiser_id = $1 AND d.decision_id = v.decision_id) k
 GROUP BY k.programme, k.figure, k.detail
"""

# $3, $4: ids of a day before and a day after the week, as ids are made by a web process and times by the database.
# Whose a voucher is, and what was entered of it before, is looked up for each by itself: a join may become one of all
# with all. A family of two vouchers may be `gone` with one of them: then it is counted too seldom, never too often.
COUNT_VISITS = f"""
INSERT INTO overview_cells
       (organiser_id, week, of_week, programme, figure, detail, value, families, amount, cents, whom, gone)
WITH entered AS MATERIALIZED (
    SELECT e.voucher_id, e.programme, e.visit_type,
           e.service_date - (extract(isodow FROM e.service_date)::int - 1) AS of_week,
           sum(e.visits) AS visits, sum(e.amount) AS amount, sum(COALESCE(e.pays_cents, 0)) AS cents
      FROM entries e
     WHERE e.organiser_id = $1 AND e.entry_id >= $3 AND e.entry_id < $4
       AND e.entered_at >= {_FROM} AND e.entered_at < {_UNTIL}
     GROUP BY 1, 2, 3, 4),
known AS MATERIALIZED (
    SELECT t.*,
           (SELECT {_FAMILY} FROM vouchers v JOIN decisions d ON d.organiser_id = $1 AND d.decision_id = v.decision_id
             WHERE v.organiser_id = $1 AND v.voucher_id = t.voucher_id) AS family,
           CASE WHEN t.of_week < $2 THEN COALESCE((
                SELECT sum(e.visits) FROM entries e
                 WHERE e.organiser_id = $1 AND e.voucher_id = t.voucher_id AND e.visit_type = t.visit_type
                   AND e.service_date >= t.of_week AND e.service_date < t.of_week + 7
                   AND e.entered_at < {_FROM}), 0) ELSE 0 END AS visits_before
      FROM entered t),
weeks AS MATERIALIZED (
    SELECT of_week, programme, visit_type,
           sum(visits)::bigint AS visits, sum(amount)::bigint AS amount, sum(cents)::bigint AS cents,
           (array_agg(DISTINCT family ORDER BY family) FILTER (WHERE visits_before + visits > 0))[:{WHOM_MAX}] AS whom,
           array_agg(DISTINCT family) FILTER (WHERE visits_before > 0 AND visits_before + visits <= 0) AS gone
      FROM known GROUP BY of_week, programme, visit_type)
SELECT $1::uuid, $2::date, of_week, programme, 'visits', visit_type, 0, 0, amount, cents,
       COALESCE(whom, '{{}}'), COALESCE(gone, '{{}}') FROM weeks
UNION ALL
SELECT $1::uuid, $2::date, of_week, programme, 'visit_count', visit_type, 0, 0, visits, 0, '{{}}', '{{}}' FROM weeks
"""


# A plan that is made for any week expects far more or fewer rows than a week has: it took more than 30 s among 300 000.
PLAN_FOR_THE_WEEK = "SET LOCAL plan_cache_mode = force_custom_plan"


async def count_week(conn: Connection, *, organiser_id: UUID, week: date, now: datetime) -> None:
    """Count all facts of a week anew, in a transaction; another one of the same week waits for it. Idempotent."""
    await conn.execute(PLAN_FOR_THE_WEEK)
    await conn.execute(NOTE_COUNTED, organiser_id, week, now)
    await conn.execute(CLEAR_WEEK, organiser_id, week)
    await conn.execute(COUNT_DECISIONS, organiser_id, week)
    await conn.execute(COUNT_CHANGES, organiser_id, week)
    ids = first_id(week - CLOCKS_DIFFER), first_id(week + timedelta(days=7) + CLOCKS_DIFFER)
    await conn.execute(COUNT_VISITS, organiser_id, week, *ids)


# What each week of entry has of a week, in their order. `$4` NULL: every programme.
SELECT_CELLS = """
SELECT c.of_week, c.programme, c.figure, c.detail, c.value, c.families AS number, c.amount, c.cents, c.whom, c.gone
  FROM overview_cells c
 WHERE c.organiser_id = $1 AND c.of_week BETWEEN $2 AND $3 AND ($4::text IS NULL OR c.programme = $4)
 ORDER BY c.week
"""


async def select_cells(
    conn: Connection, *, organiser_id: UUID, first: date, last: date, programme: str | None
) -> Sequence[Record]:
    """What is counted about the weeks from `first` to `last`, Mondays both."""
    return list(await conn.fetch(SELECT_CELLS, organiser_id, first, last, programme))


SELECT_COUNTED = """
SELECT max(counted_at) AS newest, count(*) FILTER (WHERE counted_at IS NULL) AS missing
  FROM overview_weeks WHERE organiser_id = $1 AND week BETWEEN $2 AND $3
"""


async def select_counted(conn: Connection, *, organiser_id: UUID, first: date, last: date) -> Record:
    row = await conn.fetchrow(SELECT_COUNTED, organiser_id, first, last)
    assert row is not None, "sums have a row"
    return row


# Of vouchers that can be used now and end within four weeks.
SELECT_EXPIRING = """
SELECT v.programme, count(DISTINCT d.client_ref) AS families, sum(v.available)::bigint AS amount
  FROM vouchers v JOIN decisions d ON d.organiser_id = v.organiser_id AND d.decision_id = v.decision_id
 WHERE v.state = 'issued' AND LEAST(v.valid_to, v.cancelled_from) BETWEEN $2::date AND $2::date + 27
   AND v.organiser_id = $1 AND v.available > 0 AND ($3::text IS NULL OR v.programme = $3)
 GROUP BY v.programme
"""


async def select_expiring(
    conn: Connection, *, organiser_id: UUID, today: date, programme: str | None
) -> Sequence[Record]:
    return list(await conn.fetch(SELECT_EXPIRING, organiser_id, today, programme))


SELECT_ATTENTION = """
SELECT a.reason, count(*) AS items, min(a.opened_at) AS oldest
  FROM attention a
 WHERE a.organiser_id = $1 AND a.resolved_at IS NULL
   AND ($2::text IS NULL OR EXISTS (SELECT FROM vouchers v WHERE v.organiser_id = a.organiser_id
                                       AND v.voucher_id = a.subject_id AND v.programme = $2))
 GROUP BY a.reason ORDER BY items DESC, a.reason
"""


async def select_attention(conn: Connection, *, organiser_id: UUID, programme: str | None) -> Sequence[Record]:
    return list(await conn.fetch(SELECT_ATTENTION, organiser_id, programme))


# The visits only as they were known four weeks after the block's end ($4), and codes that arrived within two weeks, so
# that a block never changes once it is shown: what is entered later would be the difference between two looks.
_OF_THE_REGION = """
  FROM organisers me
  JOIN organisers o ON o.region_id = me.region_id
  JOIN overview_cells c ON c.organiser_id = o.organiser_id
 WHERE me.organiser_id = $1 AND c.of_week BETWEEN $2 AND $3 AND c.week <= $4
"""

SELECT_CONTRIBUTIONS = f"""
SELECT w.organiser_id, w.programme, p.unit, w.figure, w.detail, w.value, w.number, w.amount
  FROM (SELECT c.organiser_id, c.programme, c.figure, c.detail, c.value,
               sum(c.families)::bigint AS number, sum(c.amount)::bigint AS amount
               {_OF_THE_REGION} AND c.figure IN ('decisions', 'arrived', 'visits', 'visit_count')
         GROUP BY c.organiser_id, c.programme, c.figure, c.detail, c.value) w
  JOIN programmes p ON p.organiser_id = w.organiser_id AND p.programme = w.programme
"""


async def select_contributions(
    conn: Connection, *, organiser_id: UUID, first: date, last: date, known_by: date
) -> Sequence[Record]:
    """Of every organiser of the region of this one, which is among them; nothing where it has no region."""
    return list(await conn.fetch(SELECT_CONTRIBUTIONS, organiser_id, first, last, known_by))


# The newest week in which a family was counted, or was no more, says whether it still is.
SELECT_FAMILIES = f"""
SELECT organiser_id, programme, figure, detail, (array_agg(DISTINCT family ORDER BY family))[:{WHOM_MAX}] AS whom
  FROM (SELECT DISTINCT ON (c.organiser_id, c.programme, c.figure, c.detail, c.value, c.of_week, c.family)
               c.organiser_id, c.programme, c.figure, c.detail, c.family, c.is_there
          FROM (SELECT c.*, f.family, f.is_there
                  FROM (SELECT c.* {_OF_THE_REGION} AND c.figure IN ('decisions', 'arrived', 'visits')) c
                 CROSS JOIN LATERAL (SELECT unnest(c.whom) AS family, true AS is_there
                                     UNION ALL SELECT unnest(c.gone), false) f
                 WHERE c.figure <> 'arrived' OR c.value <= $5) c
         ORDER BY c.organiser_id, c.programme, c.figure, c.detail, c.value, c.of_week, c.family, c.week DESC,
                  c.is_there DESC) k
 WHERE is_there GROUP BY organiser_id, programme, figure, detail
"""


async def select_families(
    conn: Connection, *, organiser_id: UUID, first: date, last: date, known_by: date, latest_s: int
) -> Sequence[Record]:
    """Whom the contributions are about; of codes those that arrived within `latest_s`."""
    return list(await conn.fetch(SELECT_FAMILIES, organiser_id, first, last, known_by, latest_s))


# From an organiser's first decision on, each week of the block and until it is told has to be there, and has to have
# been counted after the last of them was over.
SELECT_IS_COUNTED = """
SELECT NOT EXISTS (
       SELECT FROM organisers me
         JOIN organisers o ON o.region_id = me.region_id
        CROSS JOIN LATERAL (SELECT d.created_at FROM decisions d WHERE d.organiser_id = o.organiser_id
                             ORDER BY d.created_at LIMIT 1) first
        CROSS JOIN LATERAL generate_series(
              GREATEST($2::date::timestamp, date_trunc('week', first.created_at AT TIME ZONE 'Europe/Helsinki')),
              $3::date::timestamp, interval '7 days') w(week)
        WHERE me.organiser_id = $1
          AND NOT EXISTS (SELECT FROM overview_weeks k
                           WHERE k.organiser_id = o.organiser_id AND k.week = w.week::date
                             AND k.counted_at >= ($3::date + 7)::timestamp AT TIME ZONE 'Europe/Helsinki'))
"""


async def select_is_counted(conn: Connection, *, organiser_id: UUID, first: date, known_by: date) -> bool:
    """Whether every organiser of the region has all weeks from `first` to `known_by`, counted when they were over."""
    return bool(await conn.fetchval(SELECT_IS_COUNTED, organiser_id, first, known_by))


SELECT_REGION = """
SELECT r.name, (SELECT count(*) FROM organisers k WHERE k.region_id = r.region_id) AS organisers
  FROM organisers o JOIN regions r USING (region_id) WHERE o.organiser_id = $1
"""


async def select_region(conn: Connection, *, organiser_id: UUID) -> Record | None:
    return await conn.fetchrow(SELECT_REGION, organiser_id)
