"""The demo's people: made as real ones are, found again, and made anew when nobody knows their passwords any more."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import aiohttp
import pyotp

from service.crypto import Keys
from service.db import Pool, transaction
from service.people.operations import second_factors, sessions
from service.people.operations.signing_in import Client, sign_in
from service.sandbox.home import Home
from service.sandbox.logins import LOGINS_NAME, DemoLogin, logins_as_text, present_codes
from service.sandbox.people import PEOPLE, load_people
from service.sandbox.sample import load_sample
from tests.sandbox.desk import running_sandbox

KEYS = Keys.from_keyrings(encryption=(("e1", b"e" * 32),), index=(("i1", b"i" * 32),))
BROWSER = Client(user_agent="Test", prefix="test")


async def loaded(pool: Pool, known: Sequence[DemoLogin] = ()) -> Sequence[DemoLogin]:
    async with transaction(pool) as conn:
        await load_sample(conn)
    return await load_people(pool, KEYS, known)


async def signed_in_role(pool: Pool, login: DemoLogin) -> str:
    """Both steps, with the code of this very moment."""
    token = await sign_in(pool, KEYS, email=login.email, password=login.password, client=BROWSER)
    async with transaction(pool) as conn:
        session = await sessions.find_session(conn, token)
    assert session is not None
    code = present_codes(login.totp_secret, time.time()).now
    token = await second_factors.sign_in_with_code(pool, KEYS, session, code, prefix="test")
    async with transaction(pool) as conn:
        session = await sessions.find_session(conn, token)
    assert session is not None
    assert session.stage == "full"
    return session.role


async def test_everybody_can_sign_in_at_once_with_the_present_code(pool: Pool) -> None:
    logins = await loaded(pool)
    assert [await signed_in_role(pool, login) for login in logins] == [person.role for person in PEOPLE]
    assert len({login.password for login in logins}) == len(PEOPLE)


async def test_a_second_start_finds_the_same_people_and_leaves_no_session(pool: Pool) -> None:
    first = await loaded(pool)
    assert await loaded(pool, first) == first
    async with transaction(pool) as conn:
        assert await conn.fetchval("SELECT count(*) FROM people") == len(PEOPLE)
        assert await conn.fetchval("SELECT count(*) FROM sessions") == 0


async def test_forgotten_log_ins_are_made_anew_for_the_same_people(pool: Pool) -> None:
    first = await loaded(pool)
    second = await loaded(pool)
    assert not {login.password for login in first} & {login.password for login in second}
    assert await signed_in_role(pool, second[0]) == "worker"
    async with transaction(pool) as conn:
        assert await conn.fetchval("SELECT count(*) FROM people") == len(PEOPLE)


def test_the_next_code_is_what_the_app_shows_after_this_one() -> None:
    secret, at_s = pyotp.random_base32(), 1_770_000_007.5
    codes = present_codes(secret, at_s)
    assert (codes.now, codes.following) == (pyotp.TOTP(secret).at(at_s), pyotp.TOTP(secret).at(at_s + 30))
    assert present_codes(secret, at_s + codes.seconds_left).now == codes.following


def test_log_ins_are_kept_for_their_owner_alone_and_shown_in_no_traceback(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert home.load_logins() == ()
    login = DemoLogin(
        "provider", "worker", "Leena Lehto", "leena@x.example", "a password", "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
    )
    home.keep_logins([login])
    assert home.load_logins() == (login,)
    assert (home.sandbox / LOGINS_NAME).stat().st_mode & 0o777 == 0o600
    assert "a password" not in repr(login)
    assert "JBSWY" not in repr(login)


async def test_the_sandbox_shows_whoever_signs_in_with_the_codes_of_this_moment(tmp_path: Path) -> None:
    login = DemoLogin(
        "provider", "worker", "Leena <Lehto>", "leena@x.example", "a password", "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
    )
    async with running_sandbox(tmp_path) as sandbox, aiohttp.ClientSession() as session:
        async with session.get(f"{sandbox.url}/people") as nobody:
            assert "Nobody can sign in yet" in await nobody.text()
        (tmp_path / LOGINS_NAME).write_text(logins_as_text([login]))
        codes = {present_codes(login.totp_secret, time.time()).now}
        async with session.get(f"{sandbox.url}/people") as page:
            text = await page.text()
            assert page.headers["Cache-Control"] == "no-store"
        async with session.get(f"{sandbox.url}/people.json") as plain:
            (told,) = await plain.json()
        codes.add(present_codes(login.totp_secret, time.time()).now)
        assert "Leena &lt;Lehto&gt;" in text
        assert any(code in text for code in codes)
        assert told["totp_code"] in codes
        assert told["totp_uri"].startswith("otpauth://totp/Seteli:")


async def test_a_page_elsewhere_whose_name_leads_here_is_not_told_the_passwords(tmp_path: Path) -> None:
    async with running_sandbox(tmp_path) as sandbox, aiohttp.ClientSession() as session:
        for path in ("/people", "/people.json"):
            async with session.get(sandbox.url + path, headers={"Host": "evil.example:80"}) as refused:
                assert refused.status == 403
