"""Decisions in bulk: good rows in, bad rows out with a reason, and never anything twice."""

from __future__ import annotations

import asyncio
import csv
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from service.db import Pool, transaction
from service.vouchers import imports, operations
from service.vouchers.codes import make_code
from service.vouchers.decision_rows import (
    OPTIONAL,
    REQUIRED,
    FileNotOpened,
    FileUnreadable,
    HeaderUnfit,
    QuoteUnclosed,
    read_header,
)
from service.vouchers.imports import ImportReport, import_decisions
from tests.vouchers.worlds import KEYS, ROTATING, Site, World, committed_world, issue, live_code

COLUMNS = REQUIRED + OPTIONAL


def row(number: int, **changes: object) -> dict[str, object]:
    known = {
        "decision_ref": f"KH-{number}",
        "programme": "kotipalvelu",
        "status": "provisional",
        "client_ref": f"perhe-{number}",
        "granted": 720,
        "valid_from": "2099-01-01",
        "valid_to": "2099-03-31",
        "phone": f"040 {1000000 + number}",
        "email": "",
        "language": "fi",
        "initials": "M.V.",
        "municipality": "Järvenranta",
        "weekly_visits": 2,
        "weekly_minutes": "",
    }
    return known | changes


@pytest.fixture(autouse=True)
def in_2099(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files in the repository must not grow too old to import."""
    from datetime import date

    monkeypatch.setattr(imports, "helsinki_day", lambda _now: date(2099, 1, 1))


def write(file: Path, rows: Sequence[dict[str, object]], *, encoding: str = "utf-8", delimiter: str = ",") -> Path:
    with file.open("w", encoding=encoding, newline="") as out:
        writer = csv.DictWriter(out, COLUMNS, delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return file


@pytest.fixture
async def site(pool: Pool) -> AsyncIterator[tuple[Site, World]]:
    async with committed_world(pool) as made:
        yield made


async def run(site: Site, file: Path) -> ImportReport:
    return await import_decisions(site, "jarvenranta", file, created_by="test", language="en")


async def counts(pool: Pool) -> tuple[int, ...]:
    async with transaction(pool) as conn:
        tables = ("decisions", "vouchers", "beneficiaries", "codes", "voucher_codes", "messages")
        return tuple([await conn.fetchval(f"SELECT count(*) FROM {table}") for table in tables])


def rejected(file: Path) -> list[dict[str, str]]:
    with file.with_name(f"{file.stem}.rejected.csv").open(encoding="utf-8-sig", newline="") as lines:
        return list(csv.DictReader(lines))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
async def test_every_row_becomes_a_voucher_with_code_and_message(
    site: tuple[Site, World], tmp_path: Path, encoding: str, delimiter: str
) -> None:
    here, _ = site
    file = write(tmp_path / "d.csv", [row(n) for n in range(30)], encoding=encoding, delimiter=delimiter)
    report = await run(here, file)
    assert (report.issued, report.already_there, report.rejected) == (30, 0, [])
    assert await counts(here.pool) == (30,) * 6
    assert len(here.wakeups.rung) == 1
    async with transaction(here.pool) as conn:
        stored = await conn.fetchrow(
            "SELECT v.*, d.*, b.municipality, m.fields, m.state, m.recipient_hint FROM vouchers v"
            " JOIN decisions d USING (organiser_id, decision_id) JOIN beneficiaries b USING (organiser_id, voucher_id)"
            " JOIN messages m ON m.subject_id = v.voucher_id AND m.secret_id = v.code_id WHERE decision_ref = 'KH-7'"
        )
        assert (stored["granted"], stored["available"], stored["weekly_visits"]) == (720, 720, 2)
        assert (stored["municipality"], stored["recipient_hint"]) == ("Järvenranta", "… 007")
        assert stored["fields"]["amount"] == "12 t"
        assert len(await live_code(conn, stored["voucher_id"])) == 12


async def test_a_row_without_a_weekly_cap_has_the_programmes(site: tuple[Site, World], tmp_path: Path) -> None:
    here, _ = site
    async with transaction(here.pool) as conn:
        await conn.execute("UPDATE programme_rules SET weekly_visits = 3, weekly_minutes = 180")
    rows = [row(0, weekly_visits=""), row(1, weekly_visits="", weekly_minutes=90), row(2)]
    assert (await run(here, write(tmp_path / "d.csv", rows))).issued == 3
    async with transaction(here.pool) as conn:
        stored = await conn.fetch(
            "SELECT v.weekly_visits, v.weekly_minutes, m.fields->>'weekly' AS told FROM vouchers v"
            " JOIN decisions d USING (organiser_id, decision_id) JOIN messages m ON m.subject_id = v.voucher_id"
            " ORDER BY decision_ref"
        )
    assert [(each[0], each[1]) for each in stored] == [(3, 180), (None, 90), (2, None)]
    assert "3" in stored[0]["told"]
    assert "3" not in stored[2]["told"]


async def test_a_row_may_say_which_contact_is_tried_first(site: tuple[Site, World], tmp_path: Path) -> None:
    here, _ = site
    rows = [row(0, email="a@x.example", preferred="email"), row(1, email="a@x.example"), row(2, preferred="fax")]
    report = await run(here, write(tmp_path / "d.csv", rows))
    assert (report.issued, [one.row.line for one in report.rejected]) == (2, [4])
    async with transaction(here.pool) as conn:
        ways = await conn.fetch(
            "SELECT m.channel, m.other_channel, b.preferred"
            " FROM decisions JOIN vouchers v USING (organiser_id, decision_id)"
            " JOIN beneficiaries b USING (organiser_id, voucher_id) JOIN messages m ON m.subject_id = v.voucher_id"
            " ORDER BY decision_ref"
        )
    assert [tuple(way) for way in ways] == [("email", "sms", "email"), ("sms", "email", "sms")]


async def test_a_second_run_repeats_nothing(site: tuple[Site, World], tmp_path: Path) -> None:
    here, _ = site
    file = write(tmp_path / "d.csv", [row(n) for n in range(30)])
    await run(here, file)
    report = await run(here, file)
    assert (report.issued, report.already_there, report.rejected) == (0, 30, [])
    assert await counts(here.pool) == (30,) * 6


async def test_a_decision_posted_before_is_already_there_in_the_file(site: tuple[Site, World], tmp_path: Path) -> None:
    here, world = site
    from datetime import date

    async with transaction(here.pool) as conn:
        await issue(
            conn,
            world,
            decision_ref="KH-5",
            client_ref="perhe-5",
            phone="+358401000005",
            valid_from=date(2099, 1, 1),
            valid_to=date(2099, 3, 31),
            today=date(2099, 1, 1),
        )
    report = await run(here, write(tmp_path / "d.csv", [row(5), row(6)]))
    assert (report.issued, report.already_there) == (1, 1)


BAD = [
    ({"phone": "014 266 3501"}, "phone_not_mobile"),
    ({"phone": ""}, "contact_missing"),
    ({"granted": "12 h"}, "invalid_request"),
    ({"granted": "10" * 20}, "invalid_request"),
    ({"granted": ""}, "invalid_request"),
    ({"granted": 7}, "granted_not_in_steps"),
    ({"weekly_minutes": 7}, "weekly_not_in_steps"),
    ({"valid_to": "31.3.2099"}, "invalid_request"),
    ({"valid_to": "2099-W01-1"}, "invalid_request"),
    ({"valid_to": "2098-12-31"}, "validity_backwards"),
    ({"status": "sure"}, "invalid_request"),
    ({"programme": "unknown"}, "programme_unknown"),
    ({"client_ref": "131052-308T"}, "personal_identity_code"),
    ({"initials": "a\0b"}, "invalid_request"),
]


async def test_bad_rows_are_written_out_with_line_and_reason_and_good_rows_kept(
    site: tuple[Site, World], tmp_path: Path
) -> None:
    here, _ = site
    rows = [row(n, **(BAD[n // 2][0] if n % 2 else {})) for n in range(2 * len(BAD))]
    file = write(tmp_path / "d.csv", rows)
    report = await run(here, file)
    assert (report.issued, len(report.rejected)) == (len(BAD), len(BAD))
    told = rejected(file)
    assert [line["rejected_code"] for line in told] == [code for _, code in BAD]
    assert [int(line["rejected_line"]) for line in told] == [2 * n + 3 for n in range(len(BAD))]
    assert all(line["rejected_reason"] for line in told)
    assert told[0]["phone"] == "014 266 3501"
    assert file.with_name("d.rejected.csv").stat().st_mode & 0o077 == 0


async def test_a_corrected_file_of_rejected_rows_can_be_imported_and_leaves_none(
    site: tuple[Site, World], tmp_path: Path
) -> None:
    here, _ = site
    file = write(tmp_path / "d.csv", [row(1), row(2, phone="014 266 3501")])
    report = await run(here, file)
    assert report.rejected_file is not None
    text = report.rejected_file.read_text("utf-8-sig").replace("014 266 3501", "040 266 3501")
    report.rejected_file.write_text(text, "utf-8-sig")
    assert (await run(here, report.rejected_file)).issued == 1
    file.write_text(file.read_text("utf-8").replace("014 266 3501", "040 266 3501"), "utf-8")
    assert (await run(here, file)).already_there == 2
    assert not report.rejected_file.exists()


async def test_the_first_of_two_rows_with_one_reference_counts(
    site: tuple[Site, World], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports, "CHUNK_ROWS", 2)
    here, _ = site
    rows = [row(1), row(1), row(2), row(3), row(4), row(1, granted=735), row(2), row(9, phone="x"), row(9)]
    file = write(tmp_path / "d.csv", rows)
    report = await run(here, file)
    assert (report.issued, report.already_there) == (5, 2)
    assert [(line["rejected_line"], line["rejected_code"]) for line in rejected(file)] == [
        ("7", "decision_differs"),
        ("9", "phone_not_mobile"),
    ]
    async with transaction(here.pool) as conn:
        assert await conn.fetchval("SELECT granted FROM decisions WHERE decision_ref = 'KH-1'") == 720


async def test_two_imports_of_one_file_at_once_grant_every_decision_once(
    site: tuple[Site, World], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports, "CHUNK_ROWS", 40)
    here, _ = site
    forwards = write(tmp_path / "a.csv", [row(n) for n in range(400)])
    backwards = write(tmp_path / "b.csv", [row(n) for n in reversed(range(400))])
    one, other = await asyncio.gather(run(here, forwards), run(here, backwards))
    assert one.issued + other.issued == one.already_there + other.already_there == 400
    assert not one.rejected
    assert not other.rejected
    assert await counts(here.pool) == (400,) * 6


@pytest.mark.parametrize("keys", [KEYS, ROTATING], ids=["the current key", "the key before it"])
async def test_a_code_that_somebody_has_is_drawn_again(
    site: tuple[Site, World], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keys: object
) -> None:
    here, _ = site
    await run(here, write(tmp_path / "a.csv", [row(0)]))
    async with transaction(here.pool) as conn:
        first = await conn.fetchval("SELECT voucher_id FROM vouchers")
        taken = await live_code(conn, first)
    drawn = iter([taken, make_code(lambda _below: 5), *(make_code(lambda _below, n=n: n) for n in range(10, 20))])
    monkeypatch.setattr("service.vouchers.sealing.make_code", lambda *_: next(drawn))
    report = await run(Site(here.pool, keys=keys), write(tmp_path / "b.csv", [row(1), row(2)]))
    assert report.issued == 2
    async with transaction(here.pool) as conn:
        pairs = [tuple(one) for one in await conn.fetch("SELECT organiser_id, code_id FROM codes")]
        told = await operations.secret_fields(conn, keys, pairs)
        assert len({fields["code"] for fields in told.values()}) == 3


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", HeaderUnfit),
        (b"a,b\n1,2\n", HeaderUnfit),
        (",".join(COLUMNS).encode() + b",surprise\n", HeaderUnfit),
        (",".join([*COLUMNS, "phone"]).encode() + b"\n", HeaderUnfit),
        (",".join(COLUMNS).encode() + b"\nKH-1,\xe4\n", FileUnreadable),
        (",".join(COLUMNS).encode() + b'\nKH-1\n"KH-2,x\nKH-3,x\n', QuoteUnclosed),
        ("\n".join([",".join(COLUMNS), '"' + "x" * 200_000]).encode(), FileUnreadable),
    ],
    ids=[
        "empty",
        "other columns",
        "a column too many",
        "a column twice",
        "Latin-1",
        "an open quote",
        "a quote never closed",
    ],
)
async def test_a_file_that_is_no_such_table_is_refused_before_anything_is_stored(
    site: tuple[Site, World], tmp_path: Path, content: bytes, error: type[Exception]
) -> None:
    here, _ = site
    file = tmp_path / "d.csv"
    file.write_bytes(content)
    with pytest.raises(error):
        await run(here, file)
    assert await counts(here.pool) == (0,) * 6


@pytest.mark.parametrize("block", [1, 2, 3, 7, 1 << 20])
@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"a\nb\n\xe4\nd\n", 3),
        (b"\xe4\n", 1),
        ("ä\n€\n".encode() + b"x\xc3\n", 3),
        ("ä\n".encode() + b"b\nc\xe2\x82", 3),
    ],
)
def test_a_byte_that_is_not_utf_8_is_told_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, line: int, block: int
) -> None:
    monkeypatch.setattr(imports, "READ_BLOCK", block)
    file = tmp_path / "d.csv"
    file.write_bytes(content)
    with pytest.raises(FileUnreadable) as raised:
        imports._check_encoding(file)
    assert raised.value.details["line"] == line


def test_an_unclosed_quote_is_told_with_the_line_of_its_row(tmp_path: Path) -> None:
    file = tmp_path / "d.csv"
    file.write_text(",".join(COLUMNS) + '\nKH-1,"a\nb"\n\n"KH-2,x\nKH-3,x\n')
    with pytest.raises(QuoteUnclosed) as raised:
        imports._count_rows(file)
    assert raised.value.details == {"line": 5}


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotOpened) as raised:
        imports._count_rows(tmp_path)
    assert raised.value.details == {"reason": "Is a directory"}


def test_a_header_error_names_the_columns() -> None:
    with pytest.raises(HeaderUnfit) as refusal:
        read_header("decision_ref;programme;phone;phone;Etunimi\n")
    assert refusal.value.details == {
        "missing": "status, client_ref, granted, valid_from, valid_to",
        "unknown": "etunimi",
        "repeated": "phone",
    }


async def test_a_line_with_too_few_columns_is_rejected_and_the_next_one_kept(
    site: tuple[Site, World], tmp_path: Path
) -> None:
    here, _ = site
    file = write(tmp_path / "d.csv", [row(1)])
    file.write_text("\n".join([*file.read_text().splitlines(), "", "KH-2,kotipalvelu", ""]) + "\n")
    report = await run(here, file)
    assert (report.issued, [one.row.line for one in report.rejected]) == (1, [4])


IMPORT = """
import asyncio, sys
from pathlib import Path
from service.db import open_pool
from service.vouchers import imports
from tests.vouchers.worlds import Site
from datetime import date

imports.helsinki_day = lambda _now: date(2099, 1, 1)
imports.CHUNK_ROWS = 50

async def main():
    pool = await open_pool(sys.argv[1])
    await imports.import_decisions(
        Site(pool), "jarvenranta", Path(sys.argv[2]), created_by="test",
        on_progress=lambda done, total: print(done, flush=True),
    )
    await pool.close()

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("rows", "kills"), [(1_200, (1, 3)), pytest.param(2_000, (1, 3, 8), marks=[pytest.mark.slow, pytest.mark.long])]
)
async def test_killed_at_any_moment_and_run_again_it_repeats_nothing(
    site: tuple[Site, World], database_url: str, tmp_path: Path, rows: int, kills: Sequence[int]
) -> None:
    here, _ = site
    file = write(tmp_path / "d.csv", [row(n) for n in range(rows)])
    for chunks in kills:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", IMPORT, database_url, str(file), stdout=asyncio.subprocess.PIPE, cwd=Path.cwd()
        )
        assert process.stdout is not None
        for _ in range(chunks):
            await process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        await process.wait()
        process.stdout.feed_eof()
    stored = await counts(here.pool)
    assert 0 < stored[0] < rows
    assert set(stored) == {stored[0]}
    report = await run(here, file)
    assert report.issued + report.already_there == rows
    assert await counts(here.pool) == (rows,) * 6
