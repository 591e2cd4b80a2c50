"""What was filled in when the session had ended: it comes back to its person, once and soon, and to nobody else."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from aiohttp import ClientResponse

from service.db import Pool, transaction
from service.people.operations import sessions
from service.web.pages import kept
from tests.browsers import Browser, csrf_of, sign_in_as
from tests.installations import Installation, install, settings_for

FILLED = {
    "programme": "siivousapu",
    "granted": "123,45",
    "valid_to": "2026-12-31",
    "phone": "040 123 4567",
    "decision_ref": "KH-Ä",
    "client_ref": "perhe-7",
    "confirmed": "yes",
}
BACK = "/sign-in?ended=kept&next=%2Fdesk"
LOST = "/sign-in?ended=1&next=%2Fdesk"


@pytest.fixture
async def here(pool: Pool, database_url: str, redis_url: str) -> AsyncIterator[Installation]:
    async with install(settings_for(database_url, redis_url)) as installation:
        yield installation


async def person_of(here: Installation, browser: Browser) -> UUID:
    visitor = await here.resources.visitor(browser.cookie or "")
    assert visitor is not None
    return visitor.person_id


async def time_out(here: Installation) -> None:
    async with here.resources.pool.acquire() as conn:
        await conn.execute("UPDATE sessions SET last_seen_at = now() - interval '300 days'")


async def send_late(here: Installation, browser: Browser, path: str = "/desk/preview", **other: str) -> ClientResponse:
    """Open the form, let the session time out, and send the form."""
    csrf = await csrf_of(await browser.get("/desk"))
    await time_out(here)
    return await browser.post(path, {"csrf": csrf, **FILLED, **other})


async def sign_in_again(here: Installation, browser: Browser, person_id: UUID) -> None:
    async with transaction(here.resources.pool) as conn:
        browser.cookie = await sessions.begin_session(conn, person_id=person_id, stage="full", user_agent="Test")


async def filled_in(browser: Browser, path: str = "/desk") -> dict[str, str]:
    """What stands in the fields of the page."""
    page = await (await browser.get(path)).text()
    fields = re.findall(r'<input id="(\w+)"[^>]*? value="([^"]*)"', page)
    chosen = re.findall(r'<select id="(\w+)"(?:(?!</select>).)*<option value="([^"]*)" selected', page, re.DOTALL)
    ticked = re.findall(r'name="(confirmed)" value="(yes)" checked', page)
    return {name: value for name, value in (*fields, *chosen, *ticked) if name in FILLED and value}


async def test_what_was_filled_in_comes_back_to_its_person_once(here: Installation) -> None:
    browser = await sign_in_as(here, "caseworker")
    person_id = await person_of(here, browser)
    answer = await send_late(here, browser)
    assert (answer.status, answer.headers["Location"]) == (303, BACK)
    [cookie] = answer.headers.getall("Set-Cookie")
    assert re.search(r"^__Host-form=[\w-]+; HttpOnly; Max-Age=900; Path=/; SameSite=Lax; Secure$", cookie), cookie
    assert "123" not in BACK + repr(sorted(answer.headers.keys()))
    assert "what you had filled in is there" in await (await browser.get(BACK)).text()
    await sign_in_again(here, browser, person_id)
    assert await filled_in(browser, "/desk/vouchers") == {}
    page = await browser.get("/desk")
    assert "What you had filled in is here again" in await page.text()
    assert browser.kept_form is None, "a reload begins anew"
    assert await filled_in(browser) == {}
    async with here.resources.pool.acquire() as conn:
        assert await conn.fetchval("SELECT count(*) FROM vouchers") == 0


async def test_every_field_comes_back_as_it_was(here: Installation) -> None:
    browser = await sign_in_as(here, "caseworker")
    person_id = await person_of(here, browser)
    await send_late(here, browser, "/desk/decisions")
    await sign_in_again(here, browser, person_id)
    assert await filled_in(browser) == FILLED


async def test_nobody_else_and_nobody_later_is_shown_it(here: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = await sign_in_as(here, "caseworker")
    person_id = await person_of(here, browser)
    await send_late(here, browser)
    sealed = browser.kept_form
    assert sealed is not None
    other = await sign_in_as(here, "supervisor", name="Bo Berg")
    other.kept_form = sealed
    assert await filled_in(other) == {}
    for broken in (
        sealed[:-2],
        sealed[:40] + ("A" if sealed[40] != "A" else "B") + sealed[41:],
        "x",
        "ä" * 9,
        "A" * 3501,
    ):
        mine = Browser(here, kept_form=broken)
        await sign_in_again(here, mine, person_id)
        assert await filled_in(mine) == {}, broken[:20]
    late = await sign_in_as(here, "caseworker", name="Dan Dahl")
    late_id = await person_of(here, late)
    monkeypatch.setattr(kept, "LIVES", -timedelta(seconds=1))
    await send_late(here, late)
    assert late.kept_form is not None
    await sign_in_again(here, late, late_id)
    assert await filled_in(late) == {}


@pytest.mark.parametrize(
    ("path", "other"),
    [
        ("/desk/preview", {"csrf": "x"}),
        ("/desk/preview", {"client_ref": "131052-308T"}),
        ("/desk/preview", {"municipality": "x" * 3000}),
        ("/desk/vouchers", {}),
    ],
    ids=["not from this session", "an identity code", "too long", "no such form"],
)
async def test_what_may_not_be_kept_is_not(here: Installation, path: str, other: dict[str, str]) -> None:
    browser = await sign_in_as(here, "caseworker")
    answer = await send_late(here, browser, path, **other)
    assert answer.headers["Location"].startswith("/sign-in?ended=1&")
    assert browser.kept_form is None


async def test_a_session_that_somebody_ended_keeps_nothing(here: Installation) -> None:
    browser = await sign_in_as(here, "caseworker")
    csrf = await csrf_of(await browser.get("/desk"))
    async with here.resources.pool.acquire() as conn:
        await conn.execute("DELETE FROM sessions")
    answer = await browser.post("/desk/preview", {"csrf": csrf, **FILLED})
    assert (answer.headers["Location"], browser.kept_form) == (LOST, None)


async def test_a_confirmed_visit_is_found_again_where_it_was_confirmed(here: Installation) -> None:
    browser = await sign_in_as(here, "worker")
    await time_out(here)
    visit = f"/provider/visits/{uuid4()}"
    answer = await browser.post(f"{visit}/charge", {"csrf": "x", "day": "2026-11-28", "hours": "1,5", "tries": "0"})
    assert answer.headers["Location"].endswith(
        f"next={visit.replace('/', '%2F')}%2Fconfirm%3Fhours%3D1%252C5%26day%3D2026-11-28"
    )
