"""The family's page from the mail's link on: what it shows, what it takes, and to whom it says nothing."""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest

from service.db import Pool, transaction
from service.debits.history import HistoryPlace, write_cursor
from service.family import operations
from service.sandbox.sample import COUNTY, FAMILY_SERVICES
from tests.browsers import Browser
from tests.families import multiply_visits
from tests.installations import PUBLIC_URL, Installation, install, settings_for

PROVIDER = FAMILY_SERVICES.business_id
MAIL = {"beneficiary": {"email": "perhe@posti.example", "language": "en", "initials": "A.H."}}


@pytest.fixture
async def here(pool: Pool, database_url: str, redis_url: str) -> AsyncIterator[Installation]:
    async with install(settings_for(database_url, redis_url)) as installation:
        yield installation


async def link_of(here: Installation, voucher_id: str) -> str:
    """The path of the link as the mail has it, made by what makes it for the mail."""
    async with transaction(here.resources.pool) as conn:
        row = await conn.fetchrow("SELECT organiser_id, code_id FROM vouchers WHERE voucher_id = $1", UUID(voucher_id))
        assert row is not None
        fields = await here.resources.delivery.secret_fields["voucher"](conn, [(row["organiser_id"], row["code_id"])])
    return fields[row["code_id"]]["link"].removeprefix(PUBLIC_URL)


async def granted(here: Installation, **changes: Any) -> tuple[str, str]:
    """(voucher, link)"""
    voucher_id = (await here.decide(**MAIL | changes))["voucher_id"]
    return voucher_id, await link_of(here, voucher_id)


async def charge(here: Installation, voucher_id: str, amount: int = 60) -> str:
    code = await here.code_of(voucher_id)
    answer = await here.call(PROVIDER, "POST", "/v1/debits", {"code": code, "amount": amount}, key=uuid4().hex)
    assert answer.status == 201, await answer.text()
    return str((await answer.json())["debit_id"])


async def act(here: Installation, voucher_id: str, what: str, **body: str) -> None:
    answer = await here.call(COUNTY, "POST", f"/v1/vouchers/{voucher_id}/{what}", {"reason": "test", **body})
    assert answer.status == 200, await answer.text()


async def shown(here: Installation, path: str, status: int = 200, **headers: str) -> str:
    answer = await Browser(here).get(path, **headers)
    assert answer.status == status, await answer.text()
    assert "Set-Cookie" not in answer.headers
    return await answer.text()


async def disputes(here: Installation) -> tuple[int, int, int]:
    """Disputes, items on the list, lines in the audit log."""
    async with transaction(here.resources.pool) as conn:
        return (
            await conn.fetchval("SELECT count(*) FROM disputes"),
            await conn.fetchval("SELECT count(*) FROM attention WHERE reason = 'disputed'"),
            await conn.fetchval("SELECT count(*) FROM audit WHERE action = 'debit.dispute'"),
        )


async def test_the_page_shows_code_value_week_and_visits(here: Installation) -> None:
    voucher_id, link = await granted(here, weekly={"visits": 2, "minutes": 300})
    debit = await charge(here, voucher_id, 90)
    await charge(here, voucher_id)
    page = await shown(here, link)
    for told in (await here.code_of(voucher_id), "9 h 30 min", "12 h", "2 of 2 visits used", "Next possible day"):
        assert told in page
    assert FAMILY_SERVICES.name in page
    assert "data:image/png" in page
    assert f"{link}/visits/{debit}" in page
    assert "A.H." not in page
    assert "perhe@posti" not in page
    assert "csrf" not in page
    answer = await Browser(here).get(link)
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cache-Control"] == "no-store"


async def test_a_visit_is_disputed_once_however_often_the_button_is_pressed(here: Installation) -> None:
    voucher_id, link = await granted(here)
    path = f"{link}/visits/{await charge(here, voucher_id)}"
    for _ in range(3):
        assert "Did this visit not happen?" in await shown(here, path)
    assert await disputes(here) == (0, 0, 0)
    taps = [Browser(here).post(path, {"sentence": "Nobody  came ☹"}) for _ in range(4)]
    for answer in await asyncio.gather(*taps):
        assert (answer.status, answer.headers["Location"]) == (303, path)
        assert "Set-Cookie" not in answer.headers
    assert await disputes(here) == (1, 1, 1)
    assert "What happens now" in await shown(here, path)
    assert "It was said that it did not happen" in await shown(here, link)
    async with transaction(here.resources.pool) as conn:
        row = await conn.fetchrow("SELECT raised_by, reason FROM disputes")
        assert row is not None
        assert tuple(row) == ("family", "Nobody  came ☹")
        assert await conn.fetchval("SELECT reason FROM audit WHERE action = 'debit.dispute'") is None
    history = await (await here.call(PROVIDER, "GET", "/v1/debits")).text()
    assert '"disputed":true' in history.replace(" ", "")
    assert "Nobody" not in history

    debit = path.rsplit("/", 1)[1]
    resolved = await here.call(COUNTY, "POST", f"/v1/debits/{debit}/resolve-dispute", {"resolution": "they did"})
    assert resolved.status == 200
    assert (await Browser(here).post(path, {})).status == 303, "an old tab"
    states = await (await here.call(PROVIDER, "GET", "/v1/debits")).json()
    assert not states["debits"][0]["disputed"], "an old tab has opened it again"
    assert "we have looked into it" in await shown(here, path)


async def test_what_was_taken_back_or_is_old_is_not_asked_for(here: Installation) -> None:
    voucher_id, link = await granted(here)
    old, undone = await charge(here, voucher_id), await charge(here, voucher_id, 90)
    await here.call(PROVIDER, "POST", f"/v1/debits/{undone}/reverse", {"reason": "väärä"}, key="undo")
    async with transaction(here.resources.pool) as conn:
        await conn.execute("UPDATE entries SET entered_at = now() - interval '15 days' WHERE entry_id = $1", UUID(old))
    page = await shown(here, link)
    assert "This visit did not happen" not in page
    assert "nothing was charged" in page
    for debit in (old, undone):
        answer = await Browser(here).post(f"{link}/visits/{debit}", {})
        assert answer.status in (409, 422)
        assert "Seteli" not in await answer.text()
    assert await disputes(here) == (0, 0, 0)


async def test_a_page_of_a_voucher_with_500_visits_is_light_and_all_of_them_can_be_reached(
    here: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    voucher_id, link = await granted(here)
    back = await charge(here, voucher_id, 90)
    answer = await here.call(PROVIDER, "POST", f"/v1/debits/{back}/reverse", {"amount": 30, "reason": "x"}, key="part")
    assert answer.status == 201
    async with transaction(here.resources.pool) as conn:
        await multiply_visits(conn, UUID(voucher_id), 500)
        every = {str(row["entry_id"]) for row in await conn.fetch("SELECT entry_id FROM entries WHERE kind = 'debit'")}
    assert len(every) == 500
    assert len((await shown(here, link)).encode()) < 30_000
    monkeypatch.setattr(operations, "VISITS_SHOWN", 130)  # fewer pages: a test shall not take long
    newest = re.findall(r'id="visits?[^>]*>[^<]*', await shown(here, link))
    found: list[str] = []
    path = link
    while path:
        page = await shown(here, path)
        assert "12 h" in page, "what was granted"
        ids = re.findall(r'id="visit-([0-9a-f-]{36})"', page)
        assert 0 < len(ids) <= 130
        found += ids
        last = path
        onward = re.search(r'href="([^"]+)#visits">Earlier visits', page)
        path = html.unescape(onward.group(1)) if onward else ""
    assert len(found) == 500
    assert set(found) == every
    assert "Taken back" not in page
    assert "Taken back" in await shown(here, link), "with its visit, on its page"
    # Whoever asks about a visit comes back to where it stands.
    asked = re.search(rf'href="({re.escape(link)}/visits/{found[-1]}\?after=[^"]+)"', page)
    assert asked is not None
    question = await shown(here, html.unescape(asked.group(1)))
    assert f'href="{last}#visit-{found[-1]}"' in question
    said = await Browser(here).post(html.unescape(asked.group(1)), {"sentence": "Nobody came."})
    assert (said.status, said.headers["Location"]) == (303, asked.group(1))
    for wrong in ("x", "A" * 40, write_cursor(HistoryPlace(UUID(found[40])))):
        assert re.findall(r'id="visits?[^>]*>[^<]*', await shown(here, f"{link}?after={wrong}")) == newest


async def test_another_familys_visit_cannot_be_touched(here: Installation) -> None:
    mine, link = await granted(here)
    other, _ = await granted(here)
    debit = await charge(here, other)
    dead = await shown(here, "/f/x", 404)
    for path in (f"{link}/visits/{debit}", f"{link}/visits/{uuid4()}", f"{link}/visits/x"):
        assert await shown(here, path, 404) == dead
        answer = await Browser(here).post(path, {})
        assert (answer.status, await answer.text()) == (404, dead)
    assert await disputes(here) == (0, 0, 0)
    assert debit not in await shown(here, link)
    assert mine != other


async def test_every_link_that_does_not_open_gets_the_same_bytes(here: Installation) -> None:
    replaced, old = await granted(here)
    await act(here, replaced, "replace-code")
    moved, gone = await granted(here)
    await act(here, moved, "contact", email="toinen@posti.example")
    closed, ended = await granted(here)
    good = (await granted(here))[1]
    async with transaction(here.resources.pool) as conn:
        await conn.execute(
            "UPDATE vouchers SET state = 'closed', cancelled = available, available = 0 WHERE voucher_id = $1",
            UUID(closed),
        )
    forged = good[:-3] + ("AAA" if good[-3:] != "AAA" else "BBB")
    answers = [await Browser(here).get(path) for path in (old, gone, ended, forged, "/f/x", "/f/" + "A" * 120)]
    bodies = {await answer.read() for answer in answers}
    assert {answer.status for answer in answers} == {404}
    assert len(bodies) == 1
    varies = {"Content-Security-Policy", "Date"}
    heads = {tuple(sorted((k, v) for k, v in answer.headers.items() if k not in varies)) for answer in answers}
    assert len(heads) == 1
    body = bodies.pop().decode()
    assert "does not work any more" in body
    for word in ("Seteli", "voucher", "/sign-in", "Kuusi"):
        assert word not in body
    assert await shown(here, await link_of(here, replaced)) != body


async def test_a_link_is_known_in_no_table_and_looking_is_noted_once(here: Installation) -> None:
    voucher_id, link = await granted(here)
    for _ in range(3):
        await shown(here, link)
    async with transaction(here.resources.pool) as conn:
        views = await conn.fetch("SELECT actor, subject_id FROM audit WHERE action = 'voucher.view_by_link'")
        assert [(row["actor"], str(row["subject_id"])) for row in views] == [("family", voucher_id)]
        tables = await conn.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        for row in tables:
            every = f'SELECT count(*) FROM "{row["tablename"]}" t WHERE t::text LIKE $1'
            found = await conn.fetchval(every, f"%{link.removeprefix('/f/')[:40]}%")
            assert found == 0, row["tablename"]


async def test_nothing_can_be_sent_from_another_site(here: Installation) -> None:
    voucher_id, link = await granted(here)
    path = f"{link}/visits/{await charge(here, voucher_id)}"
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        assert (await Browser(here).post(path, {}, **headers)).status == 403
    assert await disputes(here) == (0, 0, 0)


async def test_a_neutral_programme_names_neither_service_nor_provider(here: Installation) -> None:
    async with transaction(here.resources.pool) as conn:
        await conn.execute("UPDATE programmes SET neutral_texts = true WHERE programme = 'kotipalvelu'")
    voucher_id, link = await granted(here)
    debit = await charge(here, voucher_id)
    for path in (link, f"{link}/visits/{debit}"):
        page = await shown(here, path)
        for word in ("Seteli –", "– Seteli", ">Seteli<", "Home help", "oucher", FAMILY_SERVICES.name):
            assert word not in page, word
    assert "<title>Your code" in await shown(here, link)


@pytest.mark.parametrize("what", ["suspend", "cancel"])
async def test_what_ended_is_said_in_plain_words(here: Installation, what: str) -> None:
    voucher_id, link = await granted(here)
    code = await here.code_of(voucher_id)
    await act(here, voucher_id, what)
    page = await shown(here, link)
    assert ("stopped for now" if what == "suspend" else "has been cancelled") in page
    assert (code in page) == (what == "suspend"), "a code that can pay for nothing any more is not shown"


@pytest.mark.parametrize(
    ("language", "asked", "title"),
    [
        ("fi", "en", "Palvelusetelisi"),
        ("sv", "en", "Din servicesedel"),
        ("ar", "sv", "Din servicesedel"),
        ("ar", "ar", "Palvelusetelisi"),
    ],
)
async def test_the_page_speaks_the_familys_language_or_else_the_browsers(
    here: Installation, language: str, asked: str, title: str
) -> None:
    _, link = await granted(here, beneficiary={"email": "perhe@posti.example", "language": language})
    assert f"<title>{title}" in await shown(here, link, **{"Accept-Language": asked})
    english = await shown(here, f"{link}?lang=en")
    assert "<title>Your voucher" in english
    assert re.search(r'href="\?lang=sv"', english)


async def test_a_personal_identity_code_is_not_kept(here: Installation) -> None:
    voucher_id, link = await granted(here)
    path = f"{link}/visits/{await charge(here, voucher_id)}"
    answer = await Browser(here).post(path, {"sentence": "131052-308T ei käynyt"})
    assert answer.status == 400
    assert await disputes(here) == (0, 0, 0)
    assert "Did this visit not happen?" in await answer.text()
