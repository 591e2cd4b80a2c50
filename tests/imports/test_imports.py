"""A file from its upload to its last row, whatever is done to the worker on the way."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest

from service.attention.model import IMPORT_FAILED
from service.attention.operations import list_open, resolve_item
from service.channels.queries.sending import select_due
from service.db import Pool, transaction
from service.imports import operations, queries
from service.imports.model import TRIES_MAX, ImportNotWaiting, ImportState, ImportsUnfinished, ImportUnknown
from service.imports.operations import granting, uploading
from service.quiet_hours import QuietHours
from service.vouchers.operations.rows import Intake
from tests.imports.sending import download, foresee, let_go, look, row, send, stored, table, work
from tests.vouchers.worlds import ROTATED, ROTATING, Site, World, committed_world

WAITING = """
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


@pytest.fixture
async def site(pool: Pool) -> AsyncIterator[tuple[Site, World]]:
    async with committed_world(pool) as made:
        yield made


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.imports.files.CHUNK_ROWS", 10)


async def test_nothing_is_granted_before_somebody_says_so(site: tuple[Site, World]) -> None:
    here, world = site
    import_id = await send(here, world, table([row(1)]))
    await work(here)
    assert await stored(here) == (0,) * 6
    assert (await look(here, world, import_id)).state is ImportState.WAITING


async def test_every_row_is_granted_counted_and_told_once(site: tuple[Site, World]) -> None:
    here, world = site
    rows = [row(n) for n in range(25)] + [row(3), row(4, granted=15), row(90, phone="x"), row(91, granted=7)]
    import_id = await send(here, world, table(rows))
    await let_go(here, world, import_id)
    await work(here)
    found = await look(here, world, import_id)
    assert (found.state, found.rows, found.granted, found.already_there, found.rejected) == (
        ImportState.DONE, 29, 25, 1, 3,
    )  # fmt: skip
    assert await stored(here) == (25,) * 6
    told = await download(here, found, "sv")
    assert [(each["rejected_line"], each["rejected_code"]) for each in told] == [
        ("28", "decision_differs"), ("29", "phone_not_mobile"), ("30", "granted_not_in_steps"),
    ]  # fmt: skip
    assert "telefon" in told[1]["rejected_reason"] or "mobil" in told[1]["rejected_reason"]
    async with transaction(here.pool) as conn:
        assert await conn.fetchval("SELECT count(*) FROM import_chunks") == 0
        actions = await conn.fetch("SELECT action FROM audit WHERE subject_id = $1 ORDER BY audit_id", import_id)
    assert [each["action"] for each in actions] == ["import.upload", "import.grant", "import.download_rejected"]


async def test_a_corrected_file_of_rejected_rows_grants_the_rest_and_nothing_twice(site: tuple[Site, World]) -> None:
    here, world = site
    first = await send(here, world, table([row(1), row(2, phone="014 266 3501", municipality="=1+1")], delimiter=";"))
    await let_go(here, world, first)
    await work(here)
    found = await look(here, world, first)
    parts = [
        part async for part in operations.rejected_csv(here.pool, here.keys, found=found, language="fi", actor="test")
    ]
    text = b"".join(parts).decode("utf-8-sig")
    assert "'=1+1" in text, "nothing that a spreadsheet would run"
    second = await send(here, world, text.replace("014 266 3501", "040 266 3501").encode())
    await let_go(here, world, second)
    await work(here)
    assert (await look(here, world, second)).granted == 1
    again = await send(here, world, table([row(1), row(2, phone="040 266 3501", municipality="=1+1")]))
    assert (await look(here, world, again)).known == 2
    await let_go(here, world, again)
    await work(here)
    found = await look(here, world, again)
    assert (found.granted, found.already_there) == (0, 2), "the apostrophe is no part of the decision"
    assert await stored(here) == (2,) * 6


async def test_a_nul_deep_in_a_file_rejects_the_row_that_has_it(site: tuple[Site, World]) -> None:
    here, world = site
    rows = [row(n) for n in range(60)] + [row(98, decision_ref="KH-\0"), row(99, client_ref="perhe-\0")]
    content = table(rows)
    assert content.index(b"\0") > 4096
    import_id = await send(here, world, content)
    await let_go(here, world, import_id)
    await work(here)
    found = await look(here, world, import_id)
    assert (found.state, found.granted, found.rejected) == (ImportState.DONE, 60, 2)
    assert [each["rejected_line"] for each in await download(here, found)] == ["62", "63"]


async def test_the_problems_of_the_first_rows_are_told_before(site: tuple[Site, World]) -> None:
    here, world = site
    import_id = await send(here, world, table([row(1), row(2, valid_to="2020-01-01"), row(3, programme="none")]))
    seen = await foresee(here, world, import_id)
    assert seen.checked == 3
    assert [(each.row.line, each.error.code) for each in seen.rejected] == [
        (3, "validity_backwards"),
        (4, "programme_unknown"),
    ]


async def test_what_is_foreseen_of_repeated_decisions_is_what_comes_of_them(
    site: tuple[Site, World], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, world = site
    monkeypatch.setattr(uploading, "CHECKED_CHUNKS", 7)
    first = await send(here, world, table([row(1), row(2)]))
    await let_go(here, world, first)
    await work(here)
    import_id = await send(
        here,
        world,
        table(
            [
                row(1),  # there
                row(2, granted=240),  # there, and otherwise
                row(2),
                row(3),
                row(3),  # repeated
                row(3, granted=240),  # repeated, and otherwise
                row(4, valid_to="2020-01-01"),
                row(4),  # its decision_ref is free: the one before is rejected
                row(4),
                *(row(number) for number in range(5, 60)),
                row(3),  # in a later chunk
                row(5, client_ref="another"),
            ]
        ),
    )
    seen = await foresee(here, world, import_id)
    assert (seen.checked, seen.known, seen.repeated) == (66, 2, 3)
    assert (seen.texts, seen.mails) == (57, 0)
    await let_go(here, world, import_id)
    await work(here)
    found = await look(here, world, import_id)
    assert (found.granted, found.already_there, found.rejected) == (57, seen.known + seen.repeated, len(seen.rejected))
    assert [(str(each.row.line), each.error.code) for each in seen.rejected] == [
        (each["rejected_line"], each["rejected_code"]) for each in await download(here, found)
    ]


async def test_of_rows_that_are_not_looked_at_what_is_there_sends_nothing(
    site: tuple[Site, World], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, world = site
    monkeypatch.setattr(uploading, "CHECKED_CHUNKS", 1)
    first = await send(here, world, table([row(number) for number in range(20)]))
    await let_go(here, world, first)
    await work(here)
    again = await send(here, world, table([row(number) for number in range(40)]))
    seen = await foresee(here, world, again)
    assert (seen.checked, seen.known, seen.texts) == (10, 20, 20)
    assert [*seen.rejected] == []


WORKER = """
import asyncio, sys
from service.db import open_pool
from service.imports import operations
from service.imports.operations import granting, uploading
from tests.vouchers.worlds import Site

granting.LEASE_S = 0.3

async def main():
    site = Site(await open_pool(sys.argv[1]))
    while True:
        if await operations.grant_next(site.pool, site.keys, site.settings):
            print("a chunk", flush=True)
        else:
            await asyncio.sleep(0.02)

asyncio.run(main())
"""


# After how many chunks, and how long into the next one. A worker is a process, and costs a second before it grants.
TWICE = ((1, 0.003), (3, 0.011))
AGAIN_AND_AGAIN = ((1, 0.0), (2, 0.003), (3, 0.007), (5, 0.011), (8, 0.019))


@pytest.mark.parametrize(
    ("rows", "kills"),
    [(1_200, TWICE), pytest.param(2_000, AGAIN_AND_AGAIN, marks=[pytest.mark.slow, pytest.mark.long])],
)
async def test_workers_killed_again_and_again_grant_every_row_once(
    site: tuple[Site, World],
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    rows: int,
    kills: Sequence[tuple[int, float]],
) -> None:
    here, world = site
    monkeypatch.setattr(granting, "LEASE_S", 0.3)
    import_id = await send(here, world, table([row(n) for n in range(rows)]))
    await let_go(here, world, import_id)
    done = 0
    for chunks, wait_s in kills:
        worker = await asyncio.create_subprocess_exec(
            sys.executable, "-c", WORKER, database_url, stdout=asyncio.subprocess.PIPE, cwd=Path.cwd()
        )
        assert worker.stdout is not None
        for _ in range(chunks):
            await worker.stdout.readline()
        await asyncio.sleep(wait_s)  # into the middle of the next one
        worker.send_signal(signal.SIGKILL)
        await worker.wait()
        worker.stdout.feed_eof()
        found = await look(here, world, import_id)
        assert found.done >= done, "what is done stays done"
        assert (await stored(here))[1] == found.granted, "the count is that of the vouchers, at every moment"
        done = found.done
    assert 0 < done < rows, "the test wants workers that are killed in mid-import"
    async with asyncio.timeout(60):
        while (await look(here, world, import_id)).state is not ImportState.DONE:
            await work(here)
            await asyncio.sleep(0.05)
    found = await look(here, world, import_id)
    assert (found.granted, found.already_there, found.rejected) == (rows, 0, 0)
    assert await stored(here) == (rows,) * 6


async def test_whoever_is_overtaken_in_mid_chunk_undoes_what_it_did(
    site: tuple[Site, World], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, world = site
    import_id = await send(here, world, table([row(n) for n in range(20)]))
    await let_go(here, world, import_id)
    grant = Intake.grant

    async def slowly(*args: Any) -> Any:
        granted = await grant(*args)
        async with transaction(here.pool) as conn:  # the lease has run out, and another worker has come
            await conn.execute("UPDATE imports SET leased_until = now() - interval '1 s'")
            assert await queries.claim(conn, lease_s=0.01, quiet=(0, 0)) is not None
        return granted

    monkeypatch.setattr(Intake, "grant", slowly)
    assert await operations.grant_next(here.pool, here.keys, here.settings) == 1
    assert await stored(here) == (0,) * 6
    assert (await look(here, world, import_id)).done == 0
    monkeypatch.setattr(Intake, "grant", grant)
    await asyncio.sleep(0.02)
    await work(here)
    assert (await look(here, world, import_id)).granted == 20
    assert await stored(here) == (20,) * 6


async def test_stopped_in_mid_chunk_it_keeps_what_was_done_and_undoes_the_chunk(
    site: tuple[Site, World], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, world = site
    import_id = await send(here, world, table([row(n) for n in range(30)] + [row(99, phone="x")]))
    await let_go(here, world, import_id)
    await operations.grant_next(here.pool, here.keys, here.settings)
    grant = Intake.grant

    async def while_somebody_stops_it(*args: Any) -> Any:
        granted = await grant(*args)
        async with transaction(here.pool) as conn:
            for _ in range(2):
                await operations.cancel(
                    conn, organiser_id=world.organiser.organiser_id, import_id=import_id, actor="test"
                )
        return granted

    monkeypatch.setattr(Intake, "grant", while_somebody_stops_it)
    await work(here)
    monkeypatch.setattr(Intake, "grant", grant)
    await work(here)
    found = await look(here, world, import_id)
    assert (found.state, found.granted) == (ImportState.CANCELLED, 10)
    assert await stored(here) == (10,) * 6
    await operations.sweep(here.pool, 30)
    async with transaction(here.pool) as conn:
        assert await conn.fetchval("SELECT count(*) FROM import_chunks") == 0
        with pytest.raises(ImportNotWaiting):
            await operations.grant(
                conn, organiser_id=world.organiser.organiser_id, import_id=import_id, actor="test", at_once=True,
                quiet=QuietHours(),
            )  # fmt: skip


async def test_the_sweep_and_a_chunk_of_a_stopped_file_do_not_wait_for_each_other(site: tuple[Site, World]) -> None:
    here, world = site
    organiser_id = world.organiser.organiser_id
    import_id = await send(here, world, table([row(1)]))
    await let_go(here, world, import_id)
    async with transaction(here.pool) as granting_it:
        assert await queries.take_chunk(granting_it, organiser_id=organiser_id, import_id=import_id)
        async with transaction(here.pool) as conn:
            await operations.cancel(conn, organiser_id=organiser_id, import_id=import_id, actor="test")
        sweep = asyncio.create_task(operations.sweep(here.pool, 30))
        async with asyncio.timeout(10):
            while not await here.pool.fetchval(WAITING):  # noqa: ASYNC110 - nobody tells us
                await asyncio.sleep(0.01)
        await granting_it.execute("SET LOCAL lock_timeout = '100ms'")
        await queries.insert_rejection(
            granting_it, organiser_id=organiser_id, import_id=import_id, place=0, sealed=b"x"
        )
    await sweep
    assert (await look(here, world, import_id)).state is ImportState.CANCELLED


async def test_two_files_take_turns(site: tuple[Site, World]) -> None:
    here, world = site
    long = await send(here, world, table([row(n) for n in range(60)]))
    short = await send(here, world, table([row(n) for n in range(100, 110)]))
    await let_go(here, world, long)
    await let_go(here, world, short)
    await operations.grant_next(here.pool, here.keys, here.settings)
    await operations.grant_next(here.pool, here.keys, here.settings)
    assert (await look(here, world, short)).state is ImportState.DONE
    assert (await look(here, world, long)).done == 10


async def test_many_workers_at_once_share_the_work(site: tuple[Site, World]) -> None:
    here, world = site
    imports = [await send(here, world, table([row(n) for n in range(60)])) for _ in range(3)]
    for import_id in imports:
        await let_go(here, world, import_id)
    await asyncio.gather(*(work(here) for _ in range(5)))
    await work(here)
    found = [await look(here, world, import_id) for import_id in imports]
    assert sum(each.granted for each in found) == 60
    assert sum(each.already_there for each in found) == 120
    assert await stored(here) == (60,) * 6


async def test_what_does_not_get_on_is_left_to_a_person_and_can_go_on(
    site: tuple[Site, World], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, world = site
    monkeypatch.setattr(granting, "LEASE_S", 0.0)
    import_id = await send(here, world, table([row(1)]))
    await let_go(here, world, import_id)
    grant = Intake.grant

    async def broken(*_args: Any) -> Any:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(Intake, "grant", broken)
    for _ in range(TRIES_MAX):
        with pytest.raises(RuntimeError):
            await operations.grant_next(here.pool, here.keys, here.settings)
    assert await operations.grant_next(here.pool, here.keys, here.settings) == 1
    assert (await look(here, world, import_id)).state is ImportState.FAILED
    assert await operations.grant_next(here.pool, here.keys, here.settings) == 0
    async with transaction(here.pool) as conn:
        await conn.execute("UPDATE imports SET ended_at = ended_at - interval '31 days'")
        [item] = await list_open(conn, organiser_id=world.organiser.organiser_id, after=None, limit=9)
    assert (item.reason, item.import_id, item.voucher_id) == (IMPORT_FAILED, import_id, None)
    await operations.sweep(here.pool, 30)
    assert (await look(here, world, import_id)).state is ImportState.FAILED, "decisions that nobody has looked after"
    monkeypatch.setattr(Intake, "grant", grant)
    await let_go(here, world, import_id)
    await work(here)
    assert (await look(here, world, import_id)).granted == 1
    async with transaction(here.pool) as conn:
        assert await list_open(conn, organiser_id=world.organiser.organiser_id, after=None, limit=9) == []


@pytest.mark.parametrize("stopped", [True, False])
async def test_what_failed_goes_when_a_person_has_dealt_with_it(site: tuple[Site, World], stopped: bool) -> None:
    here, world = site
    import_id, organiser_id = await send(here, world, table([row(1)])), world.organiser.organiser_id
    await let_go(here, world, import_id)
    async with transaction(here.pool) as conn:
        await conn.execute("UPDATE imports SET tries = $1", TRIES_MAX)
    await operations.grant_next(here.pool, here.keys, here.settings)
    async with transaction(here.pool) as conn:
        [item] = await list_open(conn, organiser_id=organiser_id, after=None, limit=9)
        if stopped:
            await operations.cancel(conn, organiser_id=organiser_id, import_id=import_id, actor="test")
        else:
            await resolve_item(
                conn, organiser_id=organiser_id, attention_id=item.attention_id, actor="test", resolution="by hand"
            )
        assert await list_open(conn, organiser_id=organiser_id, after=None, limit=9) == []
        await conn.execute("UPDATE imports SET ended_at = now() - interval '31 days'")
        await conn.execute("UPDATE attention SET resolved_at = now() - interval '31 days'")
    await operations.sweep(here.pool, 30)
    found = await look(here, world, import_id)
    assert (found.state, found.name) == (ImportState.CANCELLED, None)


async def test_another_organiser_sees_and_stops_nothing(site: tuple[Site, World]) -> None:
    here, world = site
    import_id = await send(here, world, table([row(1)]))
    other = replace(world, organiser=world.stranger)
    with pytest.raises(ImportUnknown):
        await look(here, other, import_id)
    with pytest.raises(ImportUnknown):
        await let_go(here, other, import_id)
    async with transaction(here.pool) as conn:
        stranger_id = world.stranger.organiser_id
        assert await operations.list_imports(conn, here.keys, organiser_id=stranger_id, limit=9) == []
        with pytest.raises(ImportUnknown):
            await operations.cancel(conn, organiser_id=stranger_id, import_id=import_id, actor="test")
        with pytest.raises(ImportUnknown):
            await operations.find_import(conn, here.keys, organiser_id=world.organiser.organiser_id, import_id=uuid4())
    assert (await look(here, world, import_id)).state is ImportState.WAITING


async def test_a_file_begins_when_families_are_awake_unless_asked(site: tuple[Site, World]) -> None:
    here, world = site
    hour = datetime.now(UTC).astimezone().hour
    quiet = QuietHours((hour - 2) % 24, (hour + 6) % 24)  # in Helsinki it is two or three hours later
    import_id = await send(here, world, table([row(1)]))
    async with transaction(here.pool) as conn:
        until = await operations.quiet_until(conn, quiet)
        assert until is not None
        due_at = await operations.grant(
            conn, organiser_id=world.organiser.organiser_id, import_id=import_id, actor="test", at_once=False,
            quiet=quiet,
        )  # fmt: skip
        assert due_at == until
    await work(here)
    assert (await look(here, world, import_id)).done == 0
    now = await send(here, world, table([row(2)]))
    async with transaction(here.pool) as conn:
        await operations.grant(
            conn, organiser_id=world.organiser.organiser_id, import_id=now, actor="test", at_once=True, quiet=quiet
        )
    await work(here)
    assert (await look(here, world, now)).granted == 1


async def test_a_file_let_go_in_the_evening_stops_for_the_night_with_what_it_has_queued(
    site: tuple[Site, World],
) -> None:
    here, world = site
    hour = datetime.now(UTC).astimezone().hour
    night = SimpleNamespace(
        **vars(here.settings) | {"quiet_hours": QuietHours((hour - 2) % 24, (hour + 6) % 24)}  # in Helsinki it is later
    )
    patient = await send(here, world, table([row(n) for n in range(20)]))
    await let_go(here, world, patient)
    assert await operations.grant_next(here.pool, here.keys, here.settings) == 1
    assert await operations.grant_next(here.pool, here.keys, night) == 0
    found = await look(here, world, patient)
    assert (found.state, found.done) == (ImportState.GRANTING, 10)
    assert found.due_at is not None
    assert found.due_at > datetime.now(UTC), "the page says when it goes on"
    hurried = await send(here, world, table([row(n) for n in range(100, 110)]))
    async with transaction(here.pool) as conn:
        await operations.grant(
            conn, organiser_id=world.organiser.organiser_id, import_id=hurried, actor="test", at_once=True,
            quiet=night.quiet_hours,
        )  # fmt: skip
    assert await operations.grant_next(here.pool, here.keys, night) == 1
    async with transaction(here.pool) as conn:
        due = await select_due(
            conn, channel="sms", gateway="twilio", priority_below=32_767, limit=99, quiet=night.quiet_hours
        )
        assert len(due) == 10, "those of the file that begins at once"
        awake = await select_due(
            conn, channel="sms", gateway="twilio", priority_below=32_767, limit=99, quiet=here.settings.quiet_hours
        )
        assert len(awake) == 20


async def test_contents_go_and_counts_stay(site: tuple[Site, World]) -> None:
    here, world = site
    old = await send(here, world, table([row(1), row(2, phone="x")]))
    await let_go(here, world, old)
    await work(here)
    forgotten = await send(here, world, table([row(3)]))
    await operations.sweep(here.pool, 30)
    assert (await look(here, world, old)).name == "perheet.csv"
    async with transaction(here.pool) as conn:
        await conn.execute("UPDATE imports SET ended_at = ended_at - interval '31 days' WHERE import_id = $1", old)
        await conn.execute(
            "UPDATE imports SET uploaded_at = uploaded_at - interval '25 hours' WHERE import_id = $1", forgotten
        )
    await operations.sweep(here.pool, 30)
    found = await look(here, world, old)
    assert (found.name, found.granted, found.rejected, found.state) == (None, 1, 1, ImportState.DONE)
    assert (await look(here, world, forgotten)).state is ImportState.CANCELLED
    async with transaction(here.pool) as conn:
        for name in ("import_chunks", "import_rejections"):
            assert await conn.fetchval(f"SELECT count(*) FROM {name}") == 0


async def test_nothing_of_a_file_can_be_read_in_the_database(site: tuple[Site, World]) -> None:
    here, world = site
    import_id = await send(here, world, table([row(1), row(2, phone="014 266 3501")]), name="Virtanen.csv")
    await let_go(here, world, import_id)
    async with transaction(here.pool) as conn:
        kept = str([dict(each) for each in await conn.fetch("SELECT * FROM imports, import_chunks")])
    await work(here)
    async with transaction(here.pool) as conn:
        kept += str([dict(each) for each in await conn.fetch("SELECT * FROM imports, import_rejections")])
    assert len(kept) > 1_000
    assert not re.search("Virtanen|1000001|3501|perhe-", kept)


async def test_what_is_kept_moves_to_newer_keys(site: tuple[Site, World]) -> None:
    here, world = site
    done = await send(here, world, table([row(n, phone="x") for n in range(25)]))
    await let_go(here, world, done)
    await work(here)
    waiting = await send(here, world, table([row(n) for n in range(100, 125)]))
    rotating, rotated = Site(here.pool, keys=ROTATING), Site(here.pool, keys=ROTATED)
    assert await operations.rotate_imports(here.pool, rotating.keys) == 2 + 3 + 3
    assert await operations.rotate_imports(here.pool, rotating.keys) == 0
    assert len(await download(rotated, await look(rotated, world, done))) == 25
    await let_go(rotated, world, waiting)
    await work(rotated)
    assert (await look(rotated, world, waiting)).granted == 25


async def test_an_organiser_has_so_many_files_at_once(
    site: tuple[Site, World], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, world = site
    monkeypatch.setattr("service.imports.operations.uploading.UNFINISHED_MAX", 2)
    content = table([row(1)])
    results = await asyncio.gather(*(send(here, world, content) for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(each, UUID) for each in results) == 2
    assert sum(isinstance(each, ImportsUnfinished) for each in results) == 3


async def test_the_last_chunk_ends_it_and_a_later_claim_finds_nothing(site: tuple[Site, World]) -> None:
    here, world = site
    import_id = await send(here, world, table([row(n) for n in range(10)]))
    await let_go(here, world, import_id)
    assert await operations.grant_next(here.pool, here.keys, here.settings) == 1
    found = await look(here, world, import_id)
    assert found.state is ImportState.DONE
    assert found.ended_at is not None
    assert datetime.now(UTC) - found.ended_at < timedelta(minutes=1)
    assert await operations.grant_next(here.pool, here.keys, here.settings) == 0
