"""Signing in with an organisation's own account, against a real OpenID provider (npm's oidc-provider) on loopback.

Needs node and `npm ci --prefix tests/.node`; skipped without.
"""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urljoin, urlsplit

import aiohttp
import pytest
from pydantic import SecretStr

from service.db import transaction
from service.people.operations import links
from service.sandbox.sample import COUNTY
from tests.browsers import Browser
from tests.installations import PUBLIC_URL, Installation, install, settings_for

FOLDER = Path(__file__).parents[1] / ".node"
BACK = f"{PUBLIC_URL}/sign-in/organisation/back"

pytestmark = [
    pytest.mark.skipif(shutil.which("node") is None, reason="no node on this machine"),
    pytest.mark.skipif(
        not (FOLDER / "node_modules" / "oidc-provider").exists(),
        reason="oidc-provider is not installed: npm ci --prefix tests/.node",
    ),
]


@asynccontextmanager
async def openid_provider(port: int) -> AsyncIterator[str]:
    node = await asyncio.create_subprocess_exec(
        *("node", str(FOLDER / "openid_provider.mjs"), str(port), BACK),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        assert node.stdout is not None
        async with asyncio.timeout(30):
            assert (await node.stdout.readline()).strip() == b"ready"
        yield f"http://127.0.0.1:{port}"
    finally:
        node.kill()
        await node.communicate()


@dataclass
class World:
    installation: Installation
    issuer: str


@pytest.fixture
async def world(database_url: str, redis_url: str, unused_tcp_port: int) -> AsyncIterator[World]:
    async with openid_provider(unused_tcp_port) as issuer:
        settings = settings_for(
            database_url,
            redis_url,
            oidc_issuer=issuer,
            oidc_client_id="seteli",
            oidc_client_secret=SecretStr("a secret & more"),
        )
        async with install(settings) as installation:
            yield World(installation, issuer)


async def begin(browser: Browser) -> str:
    answer = await browser.get("/sign-in/organisation?next=/account")
    assert answer.status == 303, await answer.text()
    return answer.headers["Location"]


async def log_in_there(address: str, name: str) -> str:
    """Go through the provider's own pages; returns the path that the browser is sent back to."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as there:
        form: dict[str, str] | None = None
        for _ in range(12):
            if address.startswith(BACK):
                return address.removeprefix(PUBLIC_URL)
            method = "GET" if form is None else "POST"
            async with there.request(method, address, data=form, allow_redirects=False) as answer:
                page, form = await answer.text(), None
                if answer.status in (302, 303):
                    address = urljoin(address, answer.headers["Location"])
                    continue
                assert answer.status == 200, page
                action = re.search(r'action="([^"]+)"', page)
                prompt = re.search(r'name="prompt" value="(\w+)"', page)
                assert action is not None, page
                assert prompt is not None
                address = urljoin(address, action[1])
                form = {"prompt": prompt[1], "login": name, "password": "any"}
        raise AssertionError("never came back")


async def invite(world: World, name: str, *, role: str = "caseworker") -> None:
    async with transaction(world.installation.resources.pool) as conn:
        table, column = ("organisers", "organiser_id") if role == "caseworker" else ("providers", "provider_id")
        where = "WHERE slug = $1" if role == "caseworker" else "WHERE $1 <> '' LIMIT 1"
        owner_id = await conn.fetchval(f"SELECT {column} FROM {table} {where}", COUNTY)
        await links.invite(
            conn,
            world.installation.resources.keys,
            owner="organiser" if role == "caseworker" else "provider",
            owner_id=owner_id,
            role=role,
            name=name.title(),
            email=f"{name}@seteli.test",
            language="en",
            inviter="K",
            actor="test",
        )


async def test_an_invited_caseworker_signs_in_with_the_work_account_and_comes_where_they_wanted(world: World) -> None:
    await invite(world, "aino")
    assert "work account" in await (await Browser(world.installation).get("/sign-in")).text()
    for _ in range(2):  # the second time by the subject that was linked the first time
        browser = Browser(world.installation)
        address = await begin(browser)
        assert parse_qs(urlsplit(address).query)["code_challenge_method"] == ["S256"]
        before = browser.cookie
        answer = await browser.get(await log_in_there(address, "aino"))
        assert (answer.status, answer.headers["Location"]) == (303, "/account"), await answer.text()
        assert browser.cookie != before
        assert "Aino" in await (await browser.get("/account")).text()
    async with transaction(world.installation.resources.pool) as conn:
        actions = [row["action"] for row in await conn.fetch("SELECT action FROM people_events ORDER BY event_id")]
    assert actions == ["invited", "organisation_linked", *["signed_in_with_organisation"] * 2]


@pytest.mark.parametrize(
    ("invited", "name", "role"),
    [("aino", "stranger", "caseworker"), ("unverified1", "unverified1", "caseworker"), ("veli", "veli", "worker")],
)
async def test_who_was_not_invited_or_is_not_vouched_for_or_is_no_caseworker_gets_nowhere(
    world: World, invited: str, name: str, role: str
) -> None:
    await invite(world, invited, role=role)
    browser = Browser(world.installation)
    answer = await browser.get(await log_in_there(await begin(browser), name))
    assert answer.status == 422
    assert "did not work" in await answer.text()
    assert (await browser.get("/account")).status == 303


async def test_an_address_that_was_linked_to_one_account_is_not_anothers(world: World) -> None:
    await invite(world, "aino")
    async with transaction(world.installation.resources.pool) as conn:
        await conn.execute(
            "INSERT INTO oidc_identities (issuer, subject, person_id)"
            " SELECT $1, 'somebody else', person_id FROM people",
            world.issuer,
        )
    browser = Browser(world.installation)
    answer = await browser.get(await log_in_there(await begin(browser), "aino"))
    assert answer.status == 422


async def test_another_browser_cannot_finish_what_this_one_began(world: World) -> None:
    await invite(world, "aino")
    victim, attacker = Browser(world.installation), Browser(world.installation)
    way_back = await log_in_there(await begin(attacker), "aino")
    await begin(victim)
    assert (await victim.get(way_back)).status == 422
    assert (await Browser(world.installation).get(way_back)).status == 422
    assert (await attacker.get(way_back.replace("state=", "state=x"))).status == 422


async def test_a_token_with_another_nonce_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await invite(world, "aino")
    browser = Browser(world.installation)
    address = await begin(browser)
    forged = re.sub(r"nonce=[^&]+", "nonce=another", address)
    answer = await browser.get(await log_in_there(forged, "aino"))
    assert answer.status == 422


async def test_a_code_works_once_and_only_with_its_verifier(world: World) -> None:
    await invite(world, "aino")
    browser = Browser(world.installation)
    forged = re.sub(r"code_challenge=[^&]+", "code_challenge=" + "A" * 43, await begin(browser))
    assert (await browser.get(await log_in_there(forged, "aino"))).status == 422
    way_back = await log_in_there(await begin(browser), "aino")
    cookie = browser.cookie
    assert (await browser.get(way_back)).status == 303
    assert (await Browser(world.installation, cookie).get(way_back)).status == 422


async def test_a_provider_that_is_away_is_said_to_be_and_the_password_remains(
    database_url: str, redis_url: str, unused_tcp_port: int
) -> None:
    settings = settings_for(
        database_url,
        redis_url,
        oidc_issuer=f"http://127.0.0.1:{unused_tcp_port}",
        oidc_client_id="seteli",
        oidc_client_secret=SecretStr("s"),
    )
    async with install(settings) as installation:
        answer = await Browser(installation).get("/sign-in/organisation")
        assert answer.status == 503
        assert "does not answer" in await answer.text()
