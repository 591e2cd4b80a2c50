"""Signing in through the pages: each step, what is refused, and what nobody can learn or repeat."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import timedelta

import pyotp
import pytest

from service.db import transaction
from service.people.operations import links
from service.sandbox.sample import COUNTY
from tests.browsers import Browser, csrf_of
from tests.installations import Installation, install, settings_for

PASSWORD = "neljä sanaa riittää hyvin"
EMAIL = "Aino.Kaki@seteli.test"


@pytest.fixture
async def installation(database_url: str, redis_url: str) -> AsyncIterator[Installation]:
    async with install(settings_for(database_url, redis_url)) as installation:
        yield installation


async def invited(installation: Installation, *, role: str = "organiser_admin", email: str = EMAIL) -> str:
    """The link's path, as the mail would tell it."""
    async with transaction(installation.resources.pool) as conn:
        owner_id = await conn.fetchval("SELECT organiser_id FROM organisers WHERE slug = $1", COUNTY)
        found = await links.invite(
            conn,
            installation.resources.keys,
            owner="organiser",
            owner_id=owner_id,
            role=role,
            name="Aino Käki",
            email=email,
            language="en",
            inviter="Kuusiranta",
            actor="test",
        )
    return f"/invitation/{found.token}"


async def secret_of(browser: Browser, page: str) -> pyotp.TOTP:
    shown = re.search(r'class="key">([A-Z2-7 ]+)<', await (await browser.get(page)).text())
    assert shown is not None
    return pyotp.TOTP(shown[1].replace(" ", ""))


async def joined(installation: Installation, **changes: str) -> tuple[Browser, pyotp.TOTP, list[str]]:
    """Somebody who has gone all the way: signed in, with an app and recovery codes."""
    browser, link = Browser(installation), await invited(installation, **changes)
    answer = await browser.submit(link, link, {"name": "Aino Käki", "password": PASSWORD})
    assert (answer.status, answer.headers["Location"]) == (303, "/sign-in/set-up"), await answer.text()
    app = await secret_of(browser, "/sign-in/set-up")
    done = await browser.submit("/sign-in/set-up", "/sign-in/set-up", {"code": app.now()})
    codes = re.findall(r"<li>([A-Z0-9]{4}(?:-[A-Z0-9]{4}){3})</li>", await done.text())
    assert len(codes) == 10, await done.text()
    return browser, app, codes


async def first_step(installation: Installation, *, password: str = PASSWORD, email: str = EMAIL) -> Browser:
    browser = Browser(installation)
    answer = await browser.submit("/sign-in", "/sign-in", {"email": email, "password": password})
    assert answer.status == 303, await answer.text()
    return browser


async def forget_used_step(installation: Installation) -> None:
    """As if half a minute had gone by since the app's last code."""
    async with transaction(installation.resources.pool) as conn:
        await conn.execute("UPDATE people SET totp_step = totp_step - 3")


async def test_an_invited_person_chooses_a_password_sets_up_an_app_and_is_signed_in(installation: Installation) -> None:
    browser, _, _ = await joined(installation)
    page = await browser.get("/account")
    assert page.status == 200
    assert "Aino Käki" in await page.text()
    again = await browser.get("/sign-in")
    assert (again.status, again.headers["Location"]) == (303, "/desk")


async def test_signing_in_takes_both_steps_and_makes_a_new_session_at_each(installation: Installation) -> None:
    _, app, _ = await joined(installation)
    await forget_used_step(installation)
    browser = Browser(installation)
    await browser.get("/sign-in?next=/account")
    anonymous = browser.cookie
    answer = await browser.submit("/sign-in", "/sign-in?next=/account", {"email": EMAIL.upper(), "password": PASSWORD})
    assert answer.headers["Location"] == "/sign-in/second-step?next=%2Faccount"
    half = browser.cookie
    assert half != anonymous
    assert (await browser.get("/account")).status == 303, "a password alone opens nothing"
    step = answer.headers["Location"]
    done = await browser.submit(step, step, {"code": f" {app.now()[:3]} {app.now()[3:]}"})
    assert (done.status, done.headers["Location"]) == (303, "/account")
    assert browser.cookie not in (half, anonymous)
    assert (await Browser(installation, half).get("/sign-in/second-step")).status == 422, "the half session is over"
    cookie = done.headers["Set-Cookie"]
    assert cookie.startswith("__Host-session=")
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= {part.strip() for part in cookie.split(";")}
    assert "Domain" not in cookie


async def test_a_one_time_code_works_once(installation: Installation) -> None:
    _, app, _ = await joined(installation)
    browser = await first_step(installation)
    answer = await browser.submit("/sign-in/second-step", "/sign-in/second-step", {"code": app.now()})
    assert answer.status == 422, "the code that set up the app has been used"
    await forget_used_step(installation)
    code = app.now()
    assert (await browser.submit("/sign-in/second-step", "/sign-in/second-step", {"code": code})).status == 303
    other = await first_step(installation)
    assert (await other.submit("/sign-in/second-step", "/sign-in/second-step", {"code": code})).status == 422


async def test_two_who_use_one_code_at_once_are_one(installation: Installation) -> None:
    _, app, _ = await joined(installation)
    await forget_used_step(installation)
    browsers = [await first_step(installation) for _ in range(3)]
    tokens = [await csrf_of(await browser.get("/sign-in/second-step")) for browser in browsers]
    code = app.now()
    answers = await asyncio.gather(
        *(
            browser.post("/sign-in/second-step", {"csrf": token, "code": code})
            for browser, token in zip(browsers, tokens, strict=True)
        )
    )
    assert sorted(answer.status for answer in answers) == [303, 422, 422]


async def test_a_recovery_code_works_once_and_however_it_is_typed(installation: Installation) -> None:
    _, _, codes = await joined(installation)
    browser = await first_step(installation)
    typed = codes[0].lower().replace("-", " ")
    answer = await browser.submit("/sign-in/second-step", "/sign-in/recovery-code", {"recovery_code": typed})
    assert answer.headers["Location"] == "/account"
    assert "9 codes are left" in await (await browser.get("/account")).text()
    other = await first_step(installation)
    again = await other.submit("/sign-in/second-step", "/sign-in/recovery-code", {"recovery_code": codes[0]})
    assert again.status == 422


async def test_a_wrong_password_and_an_unknown_address_get_the_same_answer(installation: Installation) -> None:
    await joined(installation)
    answers = []
    for email in (EMAIL, "nobody@seteli.test", "no address"):
        browser = Browser(installation)
        answer = await browser.submit("/sign-in", "/sign-in", {"email": email, "password": "wrong and wrong"})
        page = await answer.text()
        cleaned = re.sub(r'(nonce|value)="[^"]*"', "", page)
        answers.append((answer.status, cleaned))
        assert "wrong and wrong" not in page
    assert len(set(answers)) == 1
    assert answers[0][0] == 422


async def test_wrong_passwords_cost_time_even_at_once_and_even_for_nobody(installation: Installation) -> None:
    await joined(installation)
    for email in (EMAIL, "nobody@seteli.test"):
        browser = Browser(installation)
        token = await csrf_of(await browser.get("/sign-in"))
        form = {"csrf": token, "email": email, "password": "wrong and wrong"}
        answers = await asyncio.gather(*(browser.post("/sign-in", form) for _ in range(12)))
        told = [("too many wrong tries" in await answer.text()) for answer in answers]
        assert told.count(False) == 5, told
    blocked = await Browser(installation).submit("/sign-in", "/sign-in", {"email": EMAIL, "password": PASSWORD})
    assert "too many wrong tries" in await blocked.text(), "the right one has to wait, too"
    async with transaction(installation.resources.pool) as conn:
        await conn.execute("UPDATE login_failures SET open_at = now()")
    await first_step(installation)


async def test_the_second_step_is_throttled_by_person_not_by_session(installation: Installation) -> None:
    await joined(installation)
    for _ in range(5):
        browser = await first_step(installation)
        answer = await browser.submit("/sign-in/second-step", "/sign-in/second-step", {"code": "000000"})
        assert "code is wrong" in await answer.text()
    browser = await first_step(installation)
    answer = await browser.submit("/sign-in/second-step", "/sign-in/second-step", {"code": "000000"})
    assert "too many wrong tries" in await answer.text()


async def test_an_invitation_works_once_and_looking_at_it_uses_nothing_up(installation: Installation) -> None:
    link = await invited(installation)
    for _ in range(3):
        assert (await Browser(installation).get(link)).status == 200
    browser = Browser(installation)
    weak = await browser.submit(link, link, {"name": "Aino Käki", "password": "AinoKaki2026!"})
    assert weak.status == 400
    assert "easy to guess" in await weak.text()
    taken = await browser.submit(link, link, {"name": "Aino Käki", "password": PASSWORD})
    assert taken.status == 303
    assert (await Browser(installation).get(link)).status == 404


async def test_an_invitation_ends_after_its_days_and_with_a_newer_one(installation: Installation) -> None:
    first = await invited(installation)
    async with transaction(installation.resources.pool) as conn:
        person_id = await conn.fetchval("SELECT person_id FROM people")
        again = await links.invite_again(
            conn, installation.resources.keys, person_id=person_id, inviter="K", actor="test"
        )
    assert (await Browser(installation).get(first)).status == 404
    second = f"/invitation/{again.token}"
    assert (await Browser(installation).get(second)).status == 200
    async with transaction(installation.resources.pool) as conn:
        await conn.execute("UPDATE mailed_links SET expires_at = now() - $1::interval", timedelta(seconds=1))
    assert (await Browser(installation).get(second)).status == 404


async def test_recovery_answers_the_same_to_everybody_keeps_the_second_step_and_ends_the_sessions(
    installation: Installation,
) -> None:
    inside, app, _ = await joined(installation)
    answers = []
    for email in (EMAIL, "nobody@seteli.test", "no address"):
        answer = await Browser(installation).submit("/sign-in/forgotten", "/sign-in/forgotten", {"email": email})
        answers.append((answer.status, answer.headers["Location"]))
    assert set(answers) == {(303, "/sign-in/forgotten?sent=1")}
    async with transaction(installation.resources.pool) as conn:
        mails = await conn.fetch("SELECT organiser_id, secret_id, fields::text FROM messages WHERE kind = 'recovery'")
        assert len(mails) == 1
        wanted = [(mails[0]["organiser_id"], mails[0]["secret_id"])]
        told = await links.link_fields(installation.resources.keys, "https://seteli.test", conn, wanted)
    link = told[wanted[0][1]]["link"].removeprefix("https://seteli.test")
    assert link.rpartition("/")[2] not in mails[0]["fields"]
    browser = Browser(installation)
    kept = await browser.submit(link, link, {"password": "toinen pitkä salalause"})
    assert kept.headers["Location"] == "/sign-in?changed=1"
    assert (await inside.get("/account")).status == 303, "whoever was inside is out"
    assert (await browser.get(link)).status == 404
    await forget_used_step(installation)
    back = await first_step(installation, password="toinen pitkä salalause")
    assert (await back.get("/account")).status == 303
    done = await back.submit("/sign-in/second-step", "/sign-in/second-step", {"code": app.now()})
    assert done.status == 303


async def test_only_three_recovery_mails_an_hour_go_to_one_person(installation: Installation) -> None:
    await joined(installation)
    for _ in range(5):
        await Browser(installation).submit("/sign-in/forgotten", "/sign-in/forgotten", {"email": EMAIL})
    async with transaction(installation.resources.pool) as conn:
        assert await conn.fetchval("SELECT count(*) FROM messages WHERE kind = 'recovery'") == 3


async def test_changing_the_password_asks_for_the_present_one_and_ends_the_other_sessions(
    installation: Installation,
) -> None:
    browser, app, _ = await joined(installation)
    await forget_used_step(installation)
    other = await first_step(installation)
    await other.submit("/sign-in/second-step", "/sign-in/second-step", {"code": app.now()})
    assert (await other.get("/account")).status == 200
    refused = await browser.submit("/account/password", "/account/password", {"old": "x", "password": "uusi ja pitkä"})
    assert refused.status == 400
    assert "This is not your present password." in await refused.text()
    form = {"old": PASSWORD, "password": "aivan toinen lause"}
    changed = await browser.submit("/account/password", "/account/password", form)
    assert changed.status == 303
    assert (await other.get("/account")).status == 303
    assert "Your password is changed" in await (await browser.get("/account")).text()
    assert "Your password is changed" not in await (await browser.get("/account")).text(), "a note is shown once"


@pytest.mark.parametrize(
    ("column", "ago", "role"),
    [
        ("last_seen_at", timedelta(minutes=31), "organiser_admin"),
        ("created_at", timedelta(hours=13), "organiser_admin"),
    ],
)
async def test_a_session_ends_by_idleness_and_by_age(
    installation: Installation, column: str, ago: timedelta, role: str
) -> None:
    browser, _, _ = await joined(installation, role=role)
    assert (await browser.get("/account")).status == 200
    async with transaction(installation.resources.pool) as conn:
        await conn.execute(f"UPDATE sessions SET {column} = now() - $1::interval", ago)
    assert (await browser.get("/account")).status == 303


async def test_one_lists_ones_sessions_and_ends_one_or_all_others(installation: Installation) -> None:
    browser, app, _ = await joined(installation)
    others = []
    for _ in range(2):
        await forget_used_step(installation)
        other = await first_step(installation)
        await other.submit("/sign-in/second-step", "/sign-in/second-step", {"code": app.now()})
        others.append(other)
    page = await (await browser.get("/account")).text()
    ends = re.findall(r'action="(/account/sessions/[\w-]{36}/end)"', page)
    assert len(ends) == 2
    await browser.submit("/account", ends[0])
    assert sorted([(await other.get("/account")).status for other in others]) == [200, 303]
    await browser.submit("/account", "/account/sessions/end-others")
    assert [(await other.get("/account")).status for other in others] == [303, 303]
    assert (await browser.get("/account")).status == 200


async def test_the_database_holds_no_address_password_token_or_code_in_the_clear(installation: Installation) -> None:
    browser, app, codes = await joined(installation)
    await Browser(installation).submit("/sign-in/forgotten", "/sign-in/forgotten", {"email": EMAIL})
    held = ""
    async with transaction(installation.resources.pool) as conn:
        for table in (
            "people",
            "sessions",
            "mailed_links",
            "recovery_codes",
            "people_events",
            "messages",
        ):
            rows = await conn.fetch(f"SELECT t::text AS row FROM {table} t")
            held += "".join(row["row"] for row in rows)
        held += bytes.fromhex("".join(re.findall(r"\\x([0-9a-f]{16,})", held))).decode("latin1")
    for secret in (EMAIL, EMAIL.lower(), PASSWORD, app.secret, browser.cookie, *codes, codes[0].replace("-", "")):
        assert secret is not None
        assert secret not in held
    assert "argon2" not in held
    assert "Aino Käki" in held


async def test_keys_are_rotated_under_people_and_they_still_sign_in(
    installation: Installation, database_url: str, redis_url: str
) -> None:
    import base64

    from service.people.operations.rotation import rotate_people

    _, app, _ = await joined(installation)
    old, new = (base64.b64encode(letter * 32).decode() for letter in (b"e", b"f"))
    old_index, new_index = (base64.b64encode(letter * 32).decode() for letter in (b"i", b"j"))
    both = settings_for(
        database_url,
        redis_url,
        encryption_keys=f"e2:{new},e1:{old}",
        index_keys=f"i2:{new_index},i1:{old_index}",
    )
    async with transaction(installation.resources.pool) as conn:
        await conn.execute("DELETE FROM api_keys")  # each installation makes its own
    async with install(both) as rotating:
        await first_step(rotating)
        assert await rotate_people(rotating.resources.pool, rotating.resources.keys) == 1
        assert await rotate_people(rotating.resources.pool, rotating.resources.keys) == 0
        async with transaction(rotating.resources.pool) as conn:
            await conn.execute("DELETE FROM api_keys")
    only = settings_for(database_url, redis_url, encryption_keys=f"e2:{new}", index_keys=f"i2:{new_index}")
    async with install(only) as rotated:
        await forget_used_step(rotated)
        browser = await first_step(rotated)
        done = await browser.submit("/sign-in/second-step", "/sign-in/second-step", {"code": app.now()})
        assert done.status == 303


async def test_the_schema_takes_no_person_without_an_owner_or_with_anothers_role(installation: Installation) -> None:
    import asyncpg

    for role in ("worker", "caseworker"):
        with pytest.raises(asyncpg.CheckViolationError):
            async with transaction(installation.resources.pool) as conn:
                await conn.execute(
                    "INSERT INTO people (person_id, provider_id, organiser_id, role, name, language, created_by)"
                    " SELECT gen_random_uuid(), provider_id, (SELECT organiser_id FROM organisers LIMIT 1),"
                    " $1, 'N', 'fi', 't'"
                    " FROM providers LIMIT 1",
                    role,
                )
