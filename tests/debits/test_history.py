"""What a provider finds again, by every filter: nothing else, nothing twice, and never another's."""

from __future__ import annotations

import asyncio
import csv
import io
import sys
import tracemalloc
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import fields, replace
from datetime import UTC, date, datetime, timedelta
from itertools import combinations, product
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from uuid_utils.compat import uuid4, uuid7

from bench.past import KEY_ID, PROVIDER_ID, RARE_WORKER, Past, write_past
from bench.pgbench import RULED_SET, debit_script
from service.db import MIGRATIONS, Connection, Pool, close_pool, open_pool, snapshot
from service.debits.history import (
    COLUMNS,
    HistoryBusy,
    HistoryFilter,
    HistoryLine,
    HistoryOrder,
    HistoryPlace,
    HistoryTooWide,
    csv_header,
    csv_lines,
    read_cursor,
    write_cursor,
)
from service.debits.operations import LongReads, export_history, history, history_sums
from service.debits.queries import history as queries
from service.money import Unit
from service.sandbox.sample import COUNTY, FAMILY_SERVICES, PROVIDERS
from tests.conftest import Addresses
from tests.debits.rule_worlds import make_database
from tests.installations import Installation, install, settings_for

PROVIDER = UUID(PROVIDER_ID)
OTHER = UUID(PROVIDER_ID[:-1] + "2")
BOTH = (PROVIDER, OTHER)
history_module = sys.modules["service.debits.operations.history"]  # `history` itself is one of its functions
HELSINKI = ZoneInfo("Europe/Helsinki")


READ = "entries, vouchers, decisions, codes, organisers, programmes, settled_entries, disputes, decision_versions"


async def fill(pool: Pool, *, vouchers: int, debits: int) -> None:
    async with pool.acquire() as conn:
        await write_past(conn, Past(vouchers, debits))
        await conn.execute(f"ANALYZE {READ}")


async def walk(pool: Pool, asked: HistoryFilter, *, limit: int = 50, provider_id: UUID = PROVIDER) -> list[HistoryLine]:
    """All pages."""
    found: list[HistoryLine] = []
    after = None
    while True:
        page = await history(pool, provider_id=provider_id, asked=asked, after=after, limit=limit)
        found += page
        if len(page) < limit:
            return found
        after = page[-1].place_in(asked.order)


def entered_on(line: HistoryLine) -> date:
    return line.entered_at.astimezone(HELSINKI).date()


def fits(asked: HistoryFilter, line: HistoryLine) -> bool:
    """The filter, said in Python."""
    return (
        (asked.service_from is None or line.service_date >= asked.service_from)
        and (asked.service_to is None or line.service_date <= asked.service_to)
        and (asked.entered_from is None or entered_on(line) >= asked.entered_from)
        and (asked.entered_to is None or entered_on(line) <= asked.entered_to)
        and (asked.last_four is None or line.code_last_four == asked.last_four)
        and all(
            getattr(asked, name) in (None, getattr(line, name))
            for name in ("programme", "organiser", "worker", "state", "decision_ref")
        )
    )


def newest_first(asked: HistoryFilter) -> Callable[[HistoryLine], tuple[object, ...]]:
    if asked.order is HistoryOrder.SERVED:
        return lambda line: (line.service_date, line.debit_id)
    return lambda line: (line.debit_id,)


async def age(pool: Pool) -> None:
    """Give some debits every state that there is."""
    async with pool.acquire() as conn:
        await conn.execute(
            """
            WITH d AS (
                SELECT e.*, row_number() OVER (ORDER BY entry_id) AS n FROM entries e
                WHERE e.kind = 'debit' AND NOT EXISTS (SELECT FROM entries r WHERE r.reverses = e.entry_id)
            ), settled AS (
                INSERT INTO settled_entries (organiser_id, entry_id)
                SELECT organiser_id, entry_id FROM d WHERE n % 5 = 0
            ), disputed AS (
                INSERT INTO disputes (organiser_id, entry_id, provider_id, raised_by, resolved_at, resolved_by,
                                      resolution)
                SELECT organiser_id, entry_id, provider_id, 'family', CASE WHEN n % 2 = 0 THEN now() END,
                       CASE WHEN n % 2 = 0 THEN 'x' END, CASE WHEN n % 2 = 0 THEN 'x' END
                FROM d WHERE n % 7 = 0
            )
            INSERT INTO entries (organiser_id, entry_id, voucher_id, programme, code_id, provider_id, credential_id,
                                 kind, amount, service_date, worker, reverses, leaves, minutes, pays_cents, own_cents)
            SELECT organiser_id, gen_random_uuid(), voucher_id, programme, code_id, provider_id, credential_id,
                   'reversal', -p, service_date, worker, entry_id, after, -p, -p, 0
            FROM d, (VALUES (3, 12), (4, 8)) AS part (p, after) WHERE n % 11 = 0
            """
        )


async def fill_and_age(pool: Pool) -> None:
    await fill(pool, vouchers=60, debits=600)
    await age(pool)


@pytest.fixture(scope="module")
def past_url(servers: Addresses) -> str:
    """A database of this module's own, filled once: to be read only."""
    url = make_database(servers, "history")

    async def fill_it() -> None:
        pool = await open_pool(url)
        await fill_and_age(pool)
        await close_pool(pool)

    asyncio.run(fill_it())
    return url


@pytest.fixture
async def past(past_url: str) -> AsyncIterator[Pool]:
    pool = await open_pool(past_url, application_name="test")
    yield pool
    await close_pool(pool)


@pytest.fixture
async def past_to_change(pool: Pool) -> Pool:
    """The same, of the test's own."""
    await fill_and_age(pool)
    return pool


def questions(lines: list[HistoryLine]) -> list[HistoryFilter]:
    """Each filter alone, each with each, with values that some debits have, and such as none has."""
    one = lines[len(lines) // 3]
    days = timedelta(days=100)
    single = [
        {"service_from": one.service_date},
        {"service_to": one.service_date},
        {"service_from": one.service_date - days, "service_to": one.service_date},
        {"entered_from": entered_on(one)},
        {"entered_to": entered_on(one)},
        {"entered_from": entered_on(one) - days, "entered_to": entered_on(one)},
        {"programme": "ruled"},
        {"programme": "rare"},
        {"organiser": one.organiser},
        {"worker": one.worker},
        {"worker": RARE_WORKER},
        {"last_four": one.code_last_four},
        {"decision_ref": one.decision_ref},
        *({"state": state} for state in ("captured", "partly_reversed", "reversed", "disputed", "settled")),
    ]
    nothing = [
        {"programme": "none"},
        {"organiser": "none"},
        {"worker": "'; --"},
        {"last_four": "9999"},
        {"decision_ref": "-"},
    ]
    far = [{"service_from": date.max}, {"entered_to": date.min}, {"entered_from": date.min, "entered_to": date.max}]
    pairs = [a | b for a, b in combinations(single, 2) if not a.keys() & b.keys()]
    return [HistoryFilter(**asked) for asked in ({}, *single, *nothing, *far, *pairs)]  # type: ignore[arg-type]


def of_every_statement(asked: list[HistoryFilter]) -> list[HistoryFilter]:
    """Two for each of the statements, where more would only run the same ones again."""
    by_statement = defaultdict(list)
    for each in asked:
        by_statement[queries.choose_lead(each), each.order].append(each)
    assert set(by_statement) == set(queries.PAGES), "never chosen"
    return [each for some in by_statement.values() for each in (some[0], some[-1])]


async def test_every_filter_finds_what_it_names_and_nothing_else_newest_first(past: Pool) -> None:
    everything = await walk(past, HistoryFilter(), limit=1000)
    assert len(everything) > 250
    assert {line.state for line in everything} == {"captured", "partly_reversed", "reversed", "disputed", "settled"}
    for asked in questions(everything):
        expected = sorted((line for line in everything if fits(asked, line)), key=newest_first(asked), reverse=True)
        assert await walk(past, asked, limit=1000) == expected, asked


async def test_pages_put_together_are_the_whole_in_every_order(past: Pool) -> None:
    everything = await walk(past, HistoryFilter(), limit=1000)
    for asked in of_every_statement(questions(everything)):
        assert await walk(past, asked, limit=23) == await walk(past, asked, limit=1000), asked


async def test_sums_are_what_the_lines_add_up_to(past: Pool) -> None:
    everything = await walk(past, HistoryFilter(), limit=1000)
    for asked in of_every_statement(questions(everything)):
        lines = [line for line in everything if fits(asked, line)]
        found = await history_sums(past, LongReads(), provider_id=PROVIDER, asked=asked)
        of_all = [each for each in found if each.programme is None]
        assert [each.programme for each in found[1:]] == sorted({line.programme for line in lines}), asked
        if not lines:
            assert found == []
            continue
        for total, some in [(of_all[0], lines)] + [
            (each, [line for line in lines if line.programme == each.programme]) for each in found[1:]
        ]:
            assert total.unit is Unit.MINUTES
            assert total.debits == len(some)
            assert total.amount == sum(line.amount for line in some)
            assert total.reversed_amount == sum(line.reversed_amount for line in some)
            assert total.voucher_pays_cents == sum(line.voucher_pays_cents or 0 for line in some)
            assert total.family_pays_cents == sum(line.family_pays_cents or 0 for line in some)


async def test_a_provider_never_sees_anothers_by_any_filter(past: Pool) -> None:
    mine = await walk(past, HistoryFilter(), limit=1000)
    async with past.acquire() as conn:
        theirs = {row[0] for row in await conn.fetch("SELECT entry_id FROM entries WHERE provider_id <> $1", PROVIDER)}
    others = await walk(past, HistoryFilter(), limit=1000, provider_id=OTHER)
    assert {line.debit_id for line in others} <= theirs
    for asked in of_every_statement(questions(mine)):
        found = await walk(past, asked, limit=1000, provider_id=OTHER)
        assert not {line.debit_id for line in found} - {line.debit_id for line in others}, asked
        sums = await history_sums(past, LongReads(), provider_id=OTHER, asked=asked)
        assert sum(each.debits for each in sums if each.programme is None) == len(found), asked
    assert await walk(past, HistoryFilter(), provider_id=uuid4()) == []


async def test_reversals_of_before_are_told_what_they_leave(past_to_change: Pool) -> None:
    """By the migration that brought it; of several at one moment whichever comes last leaves what there is."""
    text = (MIGRATIONS / "0063_history_by_any_filter.sql").read_text()
    statement = text[text.index("UPDATE entries u") : text.index(";", text.index("UPDATE entries u"))]
    count = "SELECT reverses, min(leaves) FROM entries WHERE reverses IS NOT NULL GROUP BY reverses"
    async with past_to_change.acquire() as conn:
        taken = conn.transaction()
        await taken.start()
        expected = dict(await conn.fetch(count))
        await conn.execute("ALTER TABLE entries DROP CONSTRAINT entries_leaves_known; UPDATE entries SET leaves = NULL")
        await conn.execute(statement)
        found = dict(await conn.fetch(count))
        unknown = await conn.fetchval("SELECT count(*) FROM entries WHERE (reverses IS NULL) <> (leaves IS NULL)")
        await taken.rollback()
    assert found == expected
    assert set(found.values()) == {0, 8}
    assert unknown == 0


async def charge_again(pool: Pool, line: HistoryLine, *, entry_id: UUID, entered_at: datetime | None = None) -> None:
    async with pool.acquire() as conn:
        await conn.execute(
            """
            INSERT INTO entries (organiser_id, entry_id, voucher_id, programme, code_id, provider_id, credential_id,
                                 kind, amount, service_date, worker, minutes, entered_at)
            SELECT organiser_id, $2, voucher_id, programme, code_id, provider_id, credential_id, kind, amount,
                   service_date, worker, minutes, coalesce($3, now())
            FROM entries WHERE entry_id = $1
            """,
            line.debit_id,
            entry_id,
            entered_at,
        )


@pytest.mark.parametrize("by_service", [False, True], ids=["by entry", "by service"])
async def test_debits_that_come_while_pages_are_turned_move_nothing(past_to_change: Pool, by_service: bool) -> None:
    asked = HistoryFilter(service_from=date(2000, 1, 1)) if by_service else HistoryFilter()
    before = await walk(past_to_change, asked, limit=1000)
    seen: list[HistoryLine] = []
    after = None
    while True:
        page = await history(past_to_change, provider_id=PROVIDER, asked=asked, after=after, limit=40)
        seen += page
        if len(page) < 40:
            break
        after = page[-1].place_in(asked.order)
        await charge_again(past_to_change, page[0], entry_id=uuid7())  # newer, or between what was seen already
    assert seen == before


async def test_days_are_those_of_helsinki(past_to_change: Pool) -> None:
    (line, *_) = await walk(past_to_change, HistoryFilter())
    late = datetime(2025, 6, 10, 21, 30, tzinfo=UTC)  # half past_to_change midnight in Helsinki
    made = UUID(int=(int((late - timedelta(hours=20)).timestamp() * 1000) << 80) | 7 << 76)  # by a clock that is slow
    await charge_again(past_to_change, line, entry_id=made, entered_at=late)
    for day, is_found in ((date(2025, 6, 10), False), (date(2025, 6, 11), True), (date(2025, 6, 12), False)):
        found = await walk(past_to_change, HistoryFilter(entered_from=day, entered_to=day))
        assert (made in {each.debit_id for each in found}) is is_found


# --- speed


LEADS = {
    "entries_of_provider": [{}, {"state": "captured"}, {"entered_from": 400, "entered_to": 380}],
    "entries_of_provider_by_programme_and_day": [
        {"service_from": 400, "service_to": 380},
        {"service_to": 800},
        {"service_from": 300, "programme": "ruled"},
        {"service_from": 900, "programme": "rare"},
        {"service_to": 100, "organiser": "bench-3"},
        {"service_from": 400, "service_to": 380, "state": "captured"},
        {"service_from": 900, "entered_from": 400, "entered_to": 400},
        {"service_to": 800, "entered_from": 400, "entered_to": 380},
    ],
    "entries_of_provider_by_programme": [
        {"programme": "rare"},
        {"programme": "ruled"},
        {"organiser": "bench-3"},
        {"programme": "ruled", "entered_from": 400, "entered_to": 380},
    ],
    "entries_of_provider_by_worker": [
        {"worker": RARE_WORKER},
        {"worker": "T-12"},
        {"worker": "nobody"},
        {"worker": "T-12", "service_from": 400, "service_to": 380},
        {"worker": "T-12", "service_to": 800},
        {"worker": "T-12", "programme": "rare"},
        {"worker": "T-12", "organiser": "bench-3", "entered_from": 400, "entered_to": 380},
        {"worker": "T-12", "state": "captured", "service_from": 900},
    ],
    "entries_taken_back": [
        {"state": "reversed"},
        {"state": "reversed", "programme": "rare"},
        {"state": "reversed", "worker": "T-12"},
        {"state": "reversed", "entered_from": 400, "entered_to": 380},
        {"state": "partly_reversed"},
    ],
    "entries_taken_back_by_day": [
        {"state": "reversed", "service_from": 400, "service_to": 380},
        {"state": "reversed", "service_to": 800, "organiser": "bench-3"},
        {"state": "partly_reversed", "service_from": 900},
    ],
    "settled_entries_by_entry": [{"state": "settled"}, {"state": "settled", "service_from": 400}],
    "disputes_open_of_provider": [{"state": "disputed"}],
    "codes_by_last_four": [{"last_four": "0042"}, {"last_four": "9999"}],
    "decisions_ref_unique": [
        {"decision_ref": "B-42"},
        {"decision_ref": "none"},
        {"decision_ref": "B-42", "entered_from": 400, "entered_to": 400},
    ],
}
PAGE_BLOCKS_MAX = 6_000
"""What 51 lines may read, of each of 21 programmes first, with all that is told of them; the tables have some more."""


async def plan_of(conn: Connection, asked: HistoryFilter) -> str:
    await queries.settle_for_reading(conn, timeout_ms=10_000)
    if queries.choose_lead(asked) is queries.Lead.PROGRAMME:
        await conn.execute(queries.READ_IN_ORDER)
    rows = await conn.fetch(
        "EXPLAIN (ANALYZE, BUFFERS) " + queries.PAGES[queries.choose_lead(asked), asked.order],
        *queries._arguments(PROVIDER, asked, None, 51),
    )
    return "\n".join(row[0] for row in rows)


async def test_every_filter_goes_through_its_index_and_reads_little(pool: Pool) -> None:
    await fill(pool, vouchers=10_000, debits=60_000)
    async with pool.acquire() as conn:
        await conn.execute(
            "INSERT INTO disputes (organiser_id, entry_id, provider_id, raised_by, resolved_at, resolved_by,"
            " resolution)"
            " SELECT organiser_id, entry_id, provider_id, 'family', d.*"
            " FROM (SELECT *, row_number() OVER () AS n FROM entries WHERE kind = 'debit' LIMIT 4000) e"
            " LEFT JOIN LATERAL (SELECT now(), 'x', 'x' WHERE e.n % 10 > 0) d ON true"
        )
        await conn.execute(
            "INSERT INTO settled_entries (organiser_id, entry_id)"
            " SELECT organiser_id, entry_id FROM entries WHERE kind = 'debit' ORDER BY entry_id LIMIT 5000"
        )
        await conn.execute("ANALYZE disputes; ANALYZE settled_entries")
    today = datetime.now(UTC).date()
    for index, asked_by in LEADS.items():
        for asked in asked_by:
            days = {name: today - timedelta(days=value) for name, value in asked.items() if isinstance(value, int)}
            async with snapshot(pool) as conn:
                plan = await plan_of(conn, HistoryFilter(**asked | days))  # type: ignore[arg-type]
            assert f" {index} " in plan, (asked, plan)
            for table in ("entries", "vouchers", "decisions", "codes"):
                assert f"Seq Scan on {table} " not in plan, (asked, plan)
            read = sum(int(part.split()[0]) for part in plan.partition("Buffers: shared hit=")[2].split(" read=")[:1])
            assert read < PAGE_BLOCKS_MAX, (asked, plan)


HISTORYS_OWN = tuple(name for name in LEADS if name.startswith("entries_of_provider_by_"))


async def test_a_debit_never_looks_through_what_its_provider_charged(pool: Pool) -> None:
    """The search for a double visit knows the provider and the day, too: by these it would read all of that day."""
    await fill(pool, vouchers=2_000, debits=8_000)
    async with pool.acquire() as conn:
        for number in range(12):  # sessions change to plans for all arguments after a few calls
            script = debit_script(
                provider_id=PROVIDER,
                key_id=KEY_ID,
                new_id="gen_random_uuid",
                codes="",
                code_index=f"sha256(convert_to('bench-{2 * number + 1}', 'UTF8'))",
                choice="",
                ruled=True,
            )
            outcome = await conn.fetchval(script.removeprefix(RULED_SET).replace(":second", str(number * 100_000)))
            assert outcome == "ok"
        await conn.execute("SELECT pg_stat_force_next_flush()")
        scans = await conn.fetch(
            "SELECT indexrelname, idx_scan FROM pg_stat_user_indexes WHERE indexrelname = ANY($1)", HISTORYS_OWN
        )
    assert {row["indexrelname"]: row["idx_scan"] for row in scans} == dict.fromkeys(HISTORYS_OWN, 0)


async def test_what_takes_too_long_is_told_to_ask_for_less(
    past_to_change: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_module, "PAGE_TIMEOUT_MS", 50)
    async with past_to_change.acquire() as conn:
        await conn.execute("ALTER TABLE organisers RENAME TO organisers_fast")
        await conn.execute(
            "CREATE VIEW organisers AS SELECT o.* FROM organisers_fast o, LATERAL (SELECT pg_sleep(1), o.slug) s"
        )
    try:
        with pytest.raises(HistoryTooWide):
            await walk(past_to_change, HistoryFilter(organiser="bench-1"))
    finally:
        async with past_to_change.acquire() as conn:
            await conn.execute("DROP VIEW organisers; ALTER TABLE organisers_fast RENAME TO organisers")


def test_every_statement_takes_the_same_arguments() -> None:
    for statement in (*queries.PAGES.values(), *queries.SUMS.values()):
        assert all(f"${number}" in statement for number in range(1, 18))


async def test_every_statement_is_one_that_the_schema_understands(db: Connection) -> None:
    for statement in (*queries.PAGES.values(), *queries.SUMS.values()):
        assert len((await db.prepare(statement)).get_parameters()) == 17


# --- the table


def rows_of(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode(), newline="")))


async def exported(pool: Pool, asked: HistoryFilter) -> bytes:
    return b"".join([chunk async for chunk in export_history(pool, LongReads(), provider_id=PROVIDER, asked=asked)])


async def test_an_export_has_every_line_once_in_order(past: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_module, "EXPORT_BATCH", 50)
    for asked in (HistoryFilter(), HistoryFilter(service_from=date(2000, 1, 1)), HistoryFilter(programme="ruled")):
        lines = await walk(past, asked, limit=1000)
        rows = rows_of(await exported(past, asked))
        assert [row["debit_id"] for row in rows] == [str(line.debit_id) for line in lines]
        assert sum(int(row["amount_left"]) for row in rows) == sum(line.amount_left for line in lines)


async def test_an_export_of_nothing_is_a_line_of_names(past: Pool) -> None:
    content = await exported(past, HistoryFilter(worker="nobody"))
    assert content == csv_header()
    assert content.decode() == ",".join(COLUMNS) + "\r\n"


async def test_an_export_is_of_one_moment(past_to_change: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_module, "EXPORT_BATCH", 50)
    before = await walk(past_to_change, HistoryFilter(), limit=1000)
    content = b""
    async with aclosing(
        export_history(past_to_change, LongReads(), provider_id=PROVIDER, asked=HistoryFilter())
    ) as chunks:
        async for chunk in chunks:
            content += chunk
            async with past_to_change.acquire() as conn:
                await conn.execute("UPDATE entries SET worker = 'changed' WHERE provider_id = $1", PROVIDER)
    assert [row["worker"] for row in rows_of(content)] == [line.worker for line in before]


async def test_an_export_that_is_left_gives_its_connection_and_its_turn_back(past: Pool) -> None:
    long_reads = LongReads()
    for _ in range(5):
        chunks = export_history(past, long_reads, provider_id=PROVIDER, asked=HistoryFilter())
        await anext(chunks)
        await chunks.aclose()
    assert past.get_idle_size() == past.get_size()
    async with past.acquire() as conn:
        left = await conn.fetchval(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND state LIKE 'idle in transaction%'"
        )
    assert left == 0


async def test_only_so_many_read_much_at_once_and_the_next_is_told_to_wait(
    past: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_module, "LONG_READ_WAIT_S", 0.05)
    monkeypatch.setattr(history_module, "LONG_READS_AT_ONCE", 2)
    long_reads = LongReads()
    under_way = [export_history(past, long_reads, provider_id=owner, asked=HistoryFilter()) for owner in BOTH]
    for chunks in under_way:
        await anext(chunks)
    with pytest.raises(HistoryBusy):
        await history_sums(past, long_reads, provider_id=PROVIDER, asked=HistoryFilter())
    assert await walk(past, HistoryFilter(), limit=1000)  # pages need no turn
    for chunks in under_way:
        await chunks.aclose()
    assert await history_sums(past, long_reads, provider_id=PROVIDER, asked=HistoryFilter())


async def test_one_provider_exports_once_at_a_time_and_nobodys_sums_wait_for_exports(
    past: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_module, "LONG_READ_WAIT_S", 0.05)
    long_reads = LongReads()

    def export(owner: UUID) -> AsyncGenerator[bytes, None]:
        return export_history(past, long_reads, provider_id=owner, asked=HistoryFilter())

    first, other = export(PROVIDER), export(OTHER)
    await anext(first)
    with pytest.raises(HistoryBusy):
        await anext(export(PROVIDER))
    await anext(other)
    for owner in BOTH:
        await history_sums(past, long_reads, provider_id=owner, asked=HistoryFilter())
    with pytest.raises(HistoryBusy):
        await anext(export(uuid4()))
    await first.aclose()
    again = export(PROVIDER)
    await anext(again)
    for chunks in (again, other):
        await chunks.aclose()


async def test_an_export_may_not_last_for_ever(past: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    from service.errors import DatabaseUnavailable

    monkeypatch.setattr(history_module, "EXPORT_BATCH", 50)
    monkeypatch.setattr(history_module, "EXPORT_MAX_S", 0.1)
    with pytest.raises(DatabaseUnavailable):
        async for _ in export_history(past, LongReads(), provider_id=PROVIDER, asked=HistoryFilter()):
            await asyncio.sleep(0.2)


@pytest.mark.slow
@pytest.mark.long
async def test_twenty_thousand_lines_need_no_more_memory_than_a_few_batches(pool: Pool) -> None:
    await fill(pool, vouchers=2_000, debits=40_000)
    lines = size = 0
    tracemalloc.start()
    try:
        async for chunk in export_history(pool, LongReads(), provider_id=PROVIDER, asked=HistoryFilter()):
            lines += chunk.count(b"\r\n")
            size += len(chunk)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert lines == 20_001 + 1  # every other debit is the first provider's, and so is the one in the middle
    assert size > 3_000_000
    assert peak < 8_000_000


def a_line(**changes: object) -> HistoryLine:
    known: dict[str, object] = {field.name: None for field in fields(HistoryLine)}
    known |= {"debit_id": UUID(int=1), "entered_at": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "disputed": False}
    return replace(HistoryLine(**known), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["=1+1", "+358401234567", "-2", "@SUM(A1)", "\t=1", "\r=1", '=HYPERLINK("x")'])
def test_no_text_is_a_formula_to_a_spreadsheet(text: str) -> None:
    (row,) = rows_of(csv_header() + csv_lines([a_line(reference=text, worker=text)]))
    assert row["reference"] == row["worker"] == f"'{text}"


@pytest.mark.parametrize("text", ["a,b", 'he said "no"', "two\r\nlines", "Käyntikerta 1–2", "a=b", "1-2", ""])
def test_texts_come_out_as_they_went_in(text: str) -> None:
    (row,) = rows_of(csv_header() + csv_lines([a_line(reference=text)]))
    assert row["reference"] == text


def test_numbers_times_and_nothing_are_plain() -> None:
    (row,) = rows_of(csv_header() + csv_lines([a_line(amount=15, voucher_pays_cents=-3, disputed=True)]))
    assert (row["amount"], row["voucher_pays_cents"], row["disputed"]) == ("15", "-3", "true")
    assert (row["entered_at"], row["worker"]) == ("2026-01-02T03:04:05Z", "")


# --- cursors


@pytest.mark.parametrize("day", [None, date(1, 1, 1), date(2026, 11, 21), date.max])
def test_a_cursor_is_read_as_it_was_written(day: date | None) -> None:
    place = HistoryPlace(uuid7(), day)
    assert read_cursor(write_cursor(place)) == place


@pytest.mark.parametrize("text", ["", "x", "AAAA", "A" * 27, "ä" * 22, "=" * 22, "!" * 22, "_" * 27, "A" * 40, "\0"])
def test_what_is_no_cursor_is_none(text: str) -> None:
    assert read_cursor(text) is None


# --- over HTTP


CLEANERS = PROVIDERS[4].business_id
FAMILY = FAMILY_SERVICES.business_id
PATHS = ("/v1/debits", "/v1/debits/sums", "/v1/debits.csv")


@pytest.fixture
async def here(pool: Pool, database_url: str, redis_url: str) -> AsyncIterator[Installation]:
    async with install(settings_for(database_url, redis_url)) as installation:
        code = await installation.code_of((await installation.decide())["voucher_id"])
        for number, worker in enumerate(["Aino", "Aino", "=cmd()"]):
            body = {"code": code, "amount": 60, "worker": worker, "reference": f"r{number}"}
            assert (await installation.call(FAMILY, "POST", "/v1/debits", body, key=str(number))).status == 201
        yield installation


async def asked_of(here: Installation, path: str, owner: str = FAMILY) -> Any:
    answer = await here.call(owner, "GET", path)
    assert answer.status == 200, await answer.text()
    return await answer.json()


async def test_a_line_tells_all_of_the_visit(here: Installation) -> None:
    (line,) = (await asked_of(here, "/v1/debits?worker=%3Dcmd()"))["debits"]
    assert set(line) == set(COLUMNS)
    assert (line["amount"], line["amount_left"], line["reversed_amount"], line["reversed_at"]) == (60, 60, 0, None)
    assert (line["worker"], line["reference"], line["visit_type"]) == ("=cmd()", "r2", "visit")
    assert (line["state"], line["disputed"], line["hold_id"]) == ("captured", False, None)
    body = {"amount": 15}
    await here.call(FAMILY, "POST", f"/v1/debits/{line['debit_id']}/reverse", body, key="back")
    (line,) = (await asked_of(here, "/v1/debits?state=partly_reversed"))["debits"]
    assert (line["amount"], line["amount_left"], line["reversed_amount"]) == (60, 45, 15)
    assert line["reversed_at"] is not None


async def test_a_page_goes_on_where_its_cursor_says_and_only_in_its_own_order(here: Installation) -> None:
    first = await asked_of(here, "/v1/debits?limit=2")
    rest = await asked_of(here, f"/v1/debits?limit=2&cursor={first['next_cursor']}")
    assert [line["reference"] for line in first["debits"] + rest["debits"]] == ["r2", "r1", "r0"]
    assert rest["next_cursor"] is None
    narrowed = await asked_of(here, f"/v1/debits?worker=Aino&cursor={first['next_cursor']}")
    assert [line["reference"] for line in narrowed["debits"]] == ["r0"]
    for cursor in (first["next_cursor"] + "&service_from=2026-01-01", "x", "A" * 22 + "AAAAAA"):
        answer = await here.call(FAMILY, "GET", f"/v1/debits?cursor={cursor}")
        assert (answer.status, (await answer.json())["code"]) == (400, "invalid_request")


async def test_a_filter_that_makes_no_sense_is_told_so(here: Installation) -> None:
    limits = ("limit=201", "limit=0")
    values = ("state=paid", "last_four=12", "last_four=12a4", "service_from=yesterday", "worker=", "worker=a%00", "x=1")
    for path, query in product(PATHS, (*limits, *values)):
        answer = await here.call(FAMILY, "GET", f"{path}?{query}")
        assert (answer.status, (await answer.json())["code"]) == (400, "invalid_request"), (path, query)


async def test_sums_are_told_by_unit_and_by_programme(here: Installation) -> None:
    sums = await asked_of(here, "/v1/debits/sums?worker=Aino")
    (unit,) = sums["by_unit"]
    assert (unit["unit"], unit["debits"], unit["amount"], unit["reversed_amount"]) == ("minutes", 2, 120, 0)
    assert sums["by_programme"] == [unit | {"programme": "kotipalvelu"}]


async def test_a_table_is_fetched_whole_and_no_name_in_it_is_a_formula(here: Installation) -> None:
    answer = await here.call(FAMILY, "GET", "/v1/debits.csv")
    assert (answer.status, answer.content_type, answer.charset) == (200, "text/csv", "utf-8")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="debits.csv"'
    rows = rows_of(await answer.read())
    assert [row["worker"] for row in rows] == ["'=cmd()", "Aino", "Aino"]


async def test_head_is_answered_as_get_and_another_provider_has_nothing(here: Installation) -> None:
    for path in PATHS:
        head = await here.call(FAMILY, "HEAD", path)
        assert (head.status, await head.read()) == (200, b""), path
        got = await here.call(CLEANERS, "GET", path)
        assert (got.status, "r0" in await got.text()) == (200, False), path
        assert (await here.call(COUNTY, "GET", path)).status == 403, path
        assert (await here.client.get(path)).status == 401, path
