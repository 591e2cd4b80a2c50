"""Files of decisions at the desk: looked at, granted, followed, stopped, and their rejected rows downloaded."""

from __future__ import annotations

from io import BytesIO

import pytest
from aiohttp import FormData

from service.db import transaction
from service.imports.model import FILE_MAX_BYTES
from tests.browsers import HTML, Browser, csrf_of, sign_in_as
from tests.debits.pages.desks import words_in
from tests.desk.files import HEADER, line, upload, work
from tests.installations import COUNTY, PUBLIC_URL, TOWN, Installation


async def shown(browser: Browser, path: str) -> str:
    answer = await browser.get(path)
    assert answer.status == 200, (path, answer.status)
    return words_in(await answer.text())


async def test_a_file_is_looked_at_granted_and_its_faulty_rows_come_back(here: Installation) -> None:
    browser = await sign_in_as(here, "caseworker")
    await here.decide(decision_ref="there")
    status, page = await upload(browser, HEADER + line("I-1") + line("I-2", "014 555 0101") + line("there"))
    assert status == 303, page
    preview = await shown(browser, page)
    assert "3 rows" in preview
    assert "At most 1 text messages and 0 e-mails are sent" in preview
    assert "It begins at once" in preview
    assert "Of the first 3 rows 2 would be rejected" in preview, "another decision has that reference"
    assert "there already" not in preview
    assert "is not a mobile number" in preview or "mobile" in preview
    async with here.resources.pool.acquire() as conn:
        assert await conn.fetchval("SELECT count(*) FROM vouchers") == 1
    assert (await browser.submit(page, f"{page}/grant")).status == 303
    assert "0 of 3 rows" in await shown(browser, page)
    part = await (await browser.get(f"{page}/part")).text()
    assert 'data-ended="no"' in part
    await work(here)
    done = await shown(browser, page)
    assert "The file is done" in done
    assert "Granted and on their way 1 There already 0 Rejected 2" in done, "another decision has that reference"
    assert "Aino Käki" in done
    assert 'data-ended="yes"' in await (await browser.get(f"{page}/part")).text()
    answer = await browser.get(f"{page}/rejected.csv")
    assert answer.headers["Content-Type"].startswith("text/csv")
    assert "attachment" in answer.headers["Content-Disposition"]
    assert answer.headers["Cache-Control"] == "no-store"
    rows = await answer.text()
    assert rows.count("\n") == 3
    assert "3,phone_not_mobile," in rows
    assert "4,decision_differs," in rows
    status, again = await upload(browser, rows.replace("014 555 0101", "040 555 0101"))
    assert status == 303, again
    status, twice = await upload(browser, HEADER + line("I-1") + line("I-3") + line("I-3") + line("I-4"))
    preview = await shown(browser, twice)
    assert "1 decision is there already" in preview
    assert "Of the first 4 rows 1 repeats an earlier one" in preview
    assert "At most 2 text messages" in preview
    assert (await browser.submit(again, f"{again}/grant")).status == 303
    await work(here)
    assert "Granted and on their way 1 There already 0 Rejected 1" in await shown(browser, again)
    async with here.resources.pool.acquire() as conn:
        assert await conn.fetchval("SELECT count(*) FROM vouchers") == 3
        by = await conn.fetchval("SELECT created_by FROM decisions WHERE decision_ref = 'I-1'")
    assert by.startswith("person:")
    listed = await shown(browser, "/desk/import")
    assert listed.count("decisions.csv") == 3
    assert listed.count("Aino Käki") == 3


async def test_reasons_are_in_the_readers_language(here: Installation) -> None:
    browser = await sign_in_as(here, "caseworker", language="fi")
    bad = line("I-1").replace("provisional", "sure") + line("I-2", granted=7) + "a,b\n"
    _, page = await upload(browser, HEADER + bad)
    preview = await shown(browser, page)
    assert "status: provisional tai confirmed" in preview
    assert "line: sarakkeita on 2, otsikossa 8" in preview
    assert "a whole number" not in preview
    await browser.submit(page, f"{page}/grant")
    await work(here)
    rows = await (await browser.get(f"{page}/rejected.csv")).text()
    assert "status: provisional tai confirmed" in rows


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "Choose a file"),
        ("name,age\nx,1\n", "The columns on the first line do not fit"),
        (b"PK\x03\x04" + b"\0" * 99, "This is a workbook"),
        ((HEADER + line("Ä")).encode("cp1252"), "another encoding than UTF-8; line 2 shows it"),
        (HEADER, "no rows below"),
        (HEADER + "x\n" * 100_001, "more than 100000 rows"),
        (b"x" * (FILE_MAX_BYTES + 1), "larger than 20 MB"),
    ],
    ids=["empty", "other columns", "a workbook", "Windows-1252", "no rows", "too many", "too large"],
)
async def test_a_file_that_is_none_is_told_so_on_the_page(here: Installation, content: str | bytes, said: str) -> None:
    browser = await sign_in_as(here, "caseworker")
    status, page = await upload(browser, content)
    assert status == 400, page
    assert said in page
    assert "Look at the file" in page
    async with here.resources.pool.acquire() as conn:
        assert await conn.fetchval("SELECT count(*) FROM imports") == 0


async def test_a_file_can_be_discarded_and_stopped_and_not_granted_after_it(here: Installation) -> None:
    browser = await sign_in_as(here, "caseworker")
    _, page = await upload(browser, HEADER + line("I-1"))
    assert (await browser.submit(page, f"{page}/stop")).status == 303
    assert "The file was stopped" in await shown(browser, page)
    assert (await browser.submit("/desk", f"{page}/grant")).status == 409
    _, other = await upload(browser, HEADER + line("I-2"))
    await browser.submit(other, f"{other}/grant")
    assert (await browser.submit(other, f"{other}/stop")).status == 303
    await work(here)
    async with here.resources.pool.acquire() as conn:
        assert await conn.fetchval("SELECT count(*) FROM vouchers") == 0
    assert (await browser.get(f"{other}/rejected.csv")).status == 409


async def test_a_second_tap_on_grant_these_leads_to_the_same_page(here: Installation) -> None:
    browser = await sign_in_as(here, "caseworker")
    _, page = await upload(browser, HEADER + line("I-1"))
    form = {"csrf": await csrf_of(await browser.get(page))}
    for _ in range(2):
        answer = await browser.post(f"{page}/grant", form)
        assert (answer.status, answer.headers["Location"]) == (303, page)
    await work(here)
    again = await browser.post(f"{page}/grant", form)
    assert (again.status, again.headers["Location"]) == (303, page)
    async with here.resources.pool.acquire() as conn:
        assert await conn.fetchval("SELECT count(*) FROM messages") == 1


async def test_another_organisers_file_is_not_there(here: Installation) -> None:
    browser = await sign_in_as(here, "organiser_admin")
    _, page = await upload(browser, HEADER + line("I-1"))
    stranger = await sign_in_as(here, "organiser_admin")
    async with transaction(here.resources.pool) as conn:
        await conn.execute(
            "UPDATE people SET organiser_id = (SELECT organiser_id FROM organisers WHERE slug = $1)"
            " WHERE person_id = (SELECT max(person_id::text)::uuid FROM people)",
            TOWN,
        )
    assert COUNTY != TOWN
    for path in ("", "/part", "/rejected.csv"):
        assert (await stranger.get(page + path)).status == 404, path
    for path in ("/grant", "/stop"):
        assert (await stranger.submit("/desk", page + path)).status == 404, path
    assert "decisions.csv" not in await shown(stranger, "/desk/import")
    assert "Grant these?" in await shown(browser, page)
    for role in ("worker", "office", "provider_admin"):
        assert (await (await sign_in_as(here, role)).get(page)).status == 403


async def test_a_large_file_is_read_from_nobody_who_may_not_send_one(here: Installation) -> None:
    worker = await sign_in_as(here, "worker")
    for cookie, status in ((None, 303), (worker.cookie, 413)):
        form = FormData()
        form.add_field("file", BytesIO(b"x" * 5_000_000), filename="d.csv", content_type="text/csv")
        headers = {**HTML, "Origin": PUBLIC_URL, **({"Cookie": f"__Host-session={cookie}"} if cookie else {})}
        answer = await here.client.post("/desk/import", data=form, headers=headers, allow_redirects=False)
        assert answer.status == status
    async with here.resources.pool.acquire() as conn:
        assert await conn.fetchval("SELECT count(*) FROM imports") == 0


async def test_the_budget_and_the_rate_are_told(here: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = await sign_in_as(here, "caseworker")
    settings = here.resources.settings.model_copy(update={"sms_per_second": 0.02, "sms_parts_per_day": 1})
    object.__setattr__(here.resources, "settings", settings)
    _, page = await upload(browser, HEADER + line("I-1") + line("I-2"))
    preview = await shown(browser, page)
    assert "about 2 minutes" in preview
    assert "more texts than the budget" in preview
