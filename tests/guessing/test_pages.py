"""The support page as a browser without scripts uses it."""

from __future__ import annotations

import html
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientResponse, encode_basic_auth

from service.db import Pool
from service.sandbox.sample import COUNTY
from tests.guessing.support import PROVIDER, add_support_key, guess, key_id_of, pretend_misses
from tests.installations import PUBLIC_URL, Installation, install, settings_for

COOKIE = {"Cookie": f"__Host-session={'s' * 43}"}  # that of one browser, to which its forms are bound
FROM_OUR_PAGE = {"Origin": PUBLIC_URL, "Sec-Fetch-Site": "same-origin"}


@pytest.fixture
async def here(pool: Pool, database_url: str, redis_url: str) -> AsyncIterator[Installation]:
    async with install(settings_for(database_url, redis_url)) as installation:
        installation.keys["support"] = await add_support_key(installation)
        yield installation


async def look(here: Installation, key: str | None = None, *, language: str = "en", path: str = "/support") -> str:
    answer = await here.client.get(path, headers=signed_in(here, key) | COOKIE | {"Accept-Language": language})
    assert answer.status == 200
    return await answer.text()


def signed_in(here: Installation, key: str | None = None) -> dict[str, str]:
    return {"Authorization": encode_basic_auth("anna", key or here.keys["support"])}


def hidden_fields(page: str) -> list[dict[str, str]]:
    """What each form of the page sends by itself."""
    return [
        {name: html.unescape(value) for name, value in re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form)}
        for form in re.findall(r"<form.*?</form>", page, re.DOTALL)
    ]


async def send(
    here: Installation, fields: dict[str, str], *, key: str | None = None, headers: dict[str, str] | None = None
) -> ClientResponse:
    return await here.client.post(
        "/support",
        data=fields,
        headers={"Accept-Language": "en"}
        | signed_in(here, key)
        | COOKIE
        | (FROM_OUR_PAGE if headers is None else headers),
        allow_redirects=False,
    )


async def audited(here: Installation) -> list[Any]:
    return await here.resources.pool.fetch(
        "SELECT action, actor, reason FROM audit WHERE action IN ('block_lifted', 'breaker_acknowledged')"
    )


async def test_a_block_is_seen_and_lifted_with_a_reason_and_the_page_is_shown_anew(here: Installation) -> None:
    await guess(here, 5)
    page = await look(here)
    assert "Perhepalvelu Pihlajanmarja Oy" in page
    assert "5 in the last hour, 5 in the last 24 hours" in page
    [fields] = hidden_fields(page)

    answer = await send(here, fields | {"reason": "A new worker <b>mistyped</b>"})

    assert (answer.status, answer.headers["Location"]) == (303, "/support?done=lifted")
    page = await look(here, path=answer.headers["Location"])
    assert "They can go on at once" in page
    assert "Nobody is stopped." in page
    assert await guess(here, 1) == ["code_unknown"]
    caller = await here.resources.authenticate(here.keys["support"])
    assert [tuple(row) for row in await audited(here)] == [
        ("block_lifted", f"key:{caller.key_id}", "A new worker <b>mistyped</b>")
    ]


async def test_the_alarm_is_seen_and_acknowledged(here: Installation) -> None:
    assert "No alarm." in await look(here)
    await pretend_misses(here, 49)
    await guess(here, 1)
    page = await look(here)
    assert "The alarm has been on since" in page
    [fields] = [fields for fields in hidden_fields(page) if fields["action"] == "acknowledge"]

    answer = await send(here, fields | {"reason": "A test of a new till"})

    assert answer.headers["Location"] == "/support?done=acknowledged"
    assert "No alarm." in await look(here)
    assert [row["reason"] for row in await audited(here)] == ["A test of a new till"]


async def test_without_a_support_key_the_browser_is_asked_for_one_and_nothing_is_shown(here: Installation) -> None:
    await guess(here, 5)
    for key in (None, "stl_live_nothing", here.keys[COUNTY], here.keys[PROVIDER]):
        for method in ("GET", "POST"):
            headers = FROM_OUR_PAGE | (signed_in(here, key) if key else {})
            if method == "POST":
                headers |= COOKIE
            data = hidden_fields(await look(here))[0] if method == "POST" else None
            answer = await here.client.request(method, "/support", headers=headers, data=data)
            assert answer.status == 401
            assert answer.headers["WWW-Authenticate"].startswith("Basic ")
            assert answer.content_type == "text/html"
            assert "Pysäytetyt avaimet" in await answer.text()
    for broken in ("Basic", "Basic !!!", "Basic /w==", f"Bearer {here.keys['support']}"):
        answer = await here.client.get("/support", headers={"Authorization": broken})
        assert answer.status == 401


async def test_a_key_that_may_only_read_sees_no_forms_and_changes_nothing(here: Installation) -> None:
    await guess(here, 5)
    reader = await add_support_key(here, "support:read", name="Reader")
    page = await look(here, reader)
    assert "Stopped since" in page
    assert 'action="/support"' not in page
    [fields] = hidden_fields(await look(here))
    assert (await send(here, fields | {"reason": "x"}, key=reader)).status == 401
    assert await audited(here) == []


@pytest.mark.parametrize(
    ("changes", "headers"),
    [
        ({}, FROM_OUR_PAGE | {"Cookie": f"__Host-session={'t' * 43}"}),
        ({}, {"Origin": "https://evil.test", "Sec-Fetch-Site": "cross-site"}),
        ({}, {"Origin": "null", "Sec-Fetch-Site": "cross-site"}),
        ({"csrf": "0" * 43}, FROM_OUR_PAGE),
        ({"csrf": ""}, FROM_OUR_PAGE),
    ],
    ids=["another browser", "another site", "a sandboxed frame", "another token", "no token"],
)
async def test_a_form_that_another_site_sends_changes_nothing_and_says_so(
    here: Installation, changes: dict[str, str], headers: dict[str, str]
) -> None:
    await guess(here, 5)
    [fields] = hidden_fields(await look(here))
    answer = await send(here, fields | {"reason": "x"} | changes, headers=headers)
    assert answer.status == 403
    assert "note problem" in await answer.text()
    assert await audited(here) == []


async def test_a_form_in_another_shape_than_ours_changes_nothing(here: Installation) -> None:
    await guess(here, 5)
    [fields] = hidden_fields(await look(here))
    assert (await send(here, fields | {"reason": "x", "action": "erase"})).status == 400
    for content_type, data in (
        ("application/json", b"{}"),
        ("text/plain", b"csrf=x"),
        ("application/x-www-form-urlencoded", b"csrf=\xff"),
        ("application/x-www-form-urlencoded", b"reason=" + b"x" * 70_000),
    ):
        headers = FROM_OUR_PAGE | COOKIE | signed_in(here) | {"Content-Type": content_type}
        answer = await here.client.post("/support", data=data, headers=headers)
        assert answer.status in (400, 403, 413), content_type
    assert await audited(here) == []


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        *[(reason, "reason is missing, too long") for reason in ("", "   ", "x" * 501)],
        ("131052-308T did it", "personal identity code"),
    ],
)
async def test_a_reason_that_is_missing_or_unfit_is_told_on_the_page(
    here: Installation, reason: str, told: str
) -> None:
    await guess(here, 5)
    [fields] = hidden_fields(await look(here))
    answer = await send(here, fields | {"reason": reason})
    assert answer.status == 400
    assert told in await answer.text()
    assert await audited(here) == []


async def test_what_does_not_exist_is_told_on_the_page(here: Installation) -> None:
    await guess(here, 5)
    [fields] = hidden_fields(await look(here))
    for credential_id in ("nonsense", str(await key_id_of(here, COUNTY))):
        answer = await send(here, fields | {"reason": "x", "credential_id": credential_id})
        assert answer.status == 404
        assert "never stopped" in await answer.text()


async def test_the_page_may_run_and_load_nothing_and_is_kept_and_framed_nowhere(here: Installation) -> None:
    await guess(here, 5)
    for headers in (signed_in(here), {}):
        answer = await here.client.get("/support", headers=headers)
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["Cache-Control"] == "no-store"
        assert ("Set-Cookie" in answer.headers) == bool(headers), "a page without a form sets no cookie"
        page = await answer.text()
        assert not re.search(r"<script|<style|\sstyle=|\son\w+=", page)
        assert here.keys["support"] not in page


async def test_names_from_outside_are_text_on_the_page(here: Installation) -> None:
    await guess(here, 5)
    await here.resources.pool.execute(
        "UPDATE api_keys SET name = '<script>alert(1)</script>' WHERE provider_id IS NOT NULL"
    )
    page = await look(here)
    assert "&lt;script&gt;alert(1)" in page
    assert "<script" not in page


@pytest.mark.parametrize(
    ("language", "words"), [("fi", "Nyt pysäytetyt"), ("sv", "Spärrade nu"), ("en", "Stopped now")]
)
async def test_the_page_speaks_the_readers_language(here: Installation, language: str, words: str) -> None:
    page = await look(here, language=language)
    assert f'<html lang="{language}" ' in page
    assert words in page


async def test_while_the_database_is_away_a_person_reads_a_sentence(here: Installation) -> None:
    await here.resources.pool.execute("ALTER TABLE code_misses RENAME TO elsewhere")
    try:
        answer = await here.client.get("/support", headers=signed_in(here) | {"Accept-Language": "en"})
        assert answer.status == 503
        assert answer.content_type == "text/html"
    finally:
        await here.resources.pool.execute("ALTER TABLE elsewhere RENAME TO code_misses")
