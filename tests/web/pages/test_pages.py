"""The foundation of the pages: headers, sessions, forms, errors and languages, over the real application."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from urllib.parse import quote

import pytest
from uuid_utils.compat import uuid7

from service.app import PAGES, PUBLIC_PAGES
from service.errors import DatabaseUnavailable
from service.web.pages import safe_next
from tests.browsers import HTML, Browser, csrf_of, sign_in_as
from tests.debits.pages.desks import form_in
from tests.installations import Installation, install, settings_for


@pytest.fixture
async def installation(database_url: str, redis_url: str) -> AsyncIterator[Installation]:
    async with install(settings_for(database_url, redis_url)) as installation:
        yield installation


async def test_every_page_is_sent_with_the_headers_that_keep_others_out(installation: Installation) -> None:
    browser = await sign_in_as(installation, "organiser_admin")
    token = browser.cookie
    for page in PAGES:
        if page.path.startswith("/assets/"):
            continue
        path = re.sub(r"\{\w+\}", str(uuid7()), page.path)
        for cookie in (None, token):
            visitor = Browser(installation, cookie)
            answer = await (visitor.get(path) if page.method == "GET" else visitor.post(path, {}))
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy, path
            assert "frame-ancestors 'none'" in policy
            assert "unsafe-inline" not in policy
            assert re.search(r"script-src 'self' 'nonce-[\w-]{20,}'", policy)
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Referrer-Policy"] == "no-referrer"
            is_kept = page.for_everybody and answer.status == 200
            assert answer.headers["Cache-Control"] == ("public, max-age=60" if is_kept else "no-store"), path
            assert answer.headers["Strict-Transport-Security"].startswith("max-age=")
            assert "camera=(self), microphone=()" in answer.headers["Permissions-Policy"]
            assert answer.status != 500, (path, await answer.text())
            words = await answer.text()
            assert "<script>" not in words
            assert not re.search(r"<style|<[^>]+\s(style|on[a-z]+)=", words), "the policy refuses what is inline"
            assert all(f'nonce="{_nonce(policy)}"' in script for script in re.findall(r"<script[^>]*>", words))
            for line in answer.headers.getall("Set-Cookie", []):
                assert re.fullmatch(
                    r"__Host-session=[\w-]{43}; HttpOnly; Path=/; SameSite=Lax; Secure", _sorted(line)
                ), (path, line)
                assert "<form" in words, "no cookie on a page without a form"


def _nonce(policy: str) -> str:
    found = re.search(r"'nonce-([\w-]+)'", policy)
    assert found is not None
    return found[1]


def _sorted(cookie: str) -> str:
    name, *attributes = cookie.split("; ")
    return "; ".join([name, *sorted(attributes)])


async def test_over_plain_http_a_browser_is_not_told_to_come_back_over_https(database_url: str, redis_url: str) -> None:
    async with install(settings_for(database_url, redis_url, public_url="http://127.0.0.1:1")) as installation:
        answer = await Browser(installation).get("/sign-in")
        assert "Strict-Transport-Security" not in answer.headers
        assert answer.headers["Set-Cookie"].startswith("session=")


async def test_no_form_of_any_page_is_taken_from_another_site_even_with_the_right_token(
    installation: Installation,
) -> None:
    """Whoever may send it: the session is there, and so is the form's token."""
    tokens: dict[str, tuple[Browser, str]] = {}
    for page in PAGES:
        if page.method != "POST":
            continue
        role = min(page.roles) if page.roles else "worker"
        if role not in tokens:
            browser = await sign_in_as(installation, role)
            tokens[role] = browser, await csrf_of(await browser.get("/account"))
        browser, token = tokens[role]
        path = re.sub(r"\{\w+\}", str(uuid7()), page.path)
        answer = await browser.post(
            path, {"csrf": token}, Origin="https://evil.test", **{"Sec-Fetch-Site": "cross-site"}
        )
        assert answer.status == 403, path
        assert "another site" in await answer.text(), path
        bare = await browser.post(path, {})
        # Of a page that is opened by a link the address is what nobody else knows: this one opens nothing.
        assert bare.status == (404 if page.by_link else 403), path


async def test_a_nonce_is_another_each_time(installation: Installation) -> None:
    browser = await sign_in_as(installation, "worker")
    first, second = [(await browser.get("/account")).headers["Content-Security-Policy"] for _ in range(2)]
    assert first != second


def test_every_page_names_its_roles_or_is_on_the_public_list() -> None:
    from service.people.model import ALL_ROLES

    assert {page.path for page in PAGES if page.roles is None} == PUBLIC_PAGES
    assert len({(page.method, page.path) for page in PAGES}) == len(PAGES)
    for page in PAGES:
        assert page.summary
        assert page.handler.__doc__
        if page.roles is not None:
            assert page.roles
            assert page.roles <= ALL_ROLES


async def test_a_page_with_roles_asks_whoever_is_not_signed_in_to_sign_in_and_brings_them_back(
    installation: Installation,
) -> None:
    answer = await Browser(installation).get("/account?a=1")
    assert answer.status == 303
    assert answer.headers["Location"] == "/sign-in?next=%2Faccount%3Fa%3D1"
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("given", ["", "x", "A" * 43, "ä"])
async def test_a_form_without_its_sessions_token_does_nothing(installation: Installation, given: str) -> None:
    browser = await sign_in_as(installation, "worker")
    answer = await browser.post("/account/language", {"csrf": given, "language": "sv"})
    assert answer.status == 403
    assert "earlier sign-in" in await answer.text()
    assert (await browser.get("/account")).headers["Content-Language"] == "en"


async def test_the_token_of_another_session_does_nothing(installation: Installation) -> None:
    browser = await sign_in_as(installation, "worker")
    other = await sign_in_as(installation, "worker")
    token = await csrf_of(await other.get("/account"))
    answer = await browser.post("/account/language", {"csrf": token, "language": "sv"})
    assert answer.status == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site", "Origin": "null"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.test"},
        {"Origin": "http://seteli.test"},
    ],
)
async def test_a_form_from_another_site_does_nothing_even_with_the_right_token(
    installation: Installation, headers: dict[str, str]
) -> None:
    browser = await sign_in_as(installation, "worker")
    token = await csrf_of(await browser.get("/account"))
    answer = await browser.post("/account/language", {"csrf": token, "language": "sv"}, **headers)
    assert answer.status == 403
    assert "another site" in await answer.text()
    assert (await browser.get("/account")).headers["Content-Language"] == "en"


async def test_a_chosen_language_is_kept_with_the_person_and_beats_the_browsers(installation: Installation) -> None:
    browser = await sign_in_as(installation, "worker")
    token = await csrf_of(await browser.get("/account"))
    answer = await browser.post("/account/language", {"csrf": token, "language": "sv", "next": "/account"})
    assert (answer.status, answer.headers["Location"]) == (303, "/account")
    shown = await browser.get("/account", **{"Accept-Language": "fi"})
    assert shown.headers["Content-Language"] == "sv"
    assert '<html lang="sv" dir="ltr">' in await shown.text()
    assert (await browser.get("/account?lang=fi")).headers["Content-Language"] == "fi"


async def test_an_unknown_address_is_a_page_for_people_and_a_problem_for_programs(installation: Installation) -> None:
    browser = Browser(installation)
    page = await browser.get("/nowhere", **{"Accept-Language": "fi"})
    assert page.status == 404
    assert 'lang="fi"' in await page.text()
    assert "Content-Security-Policy" in page.headers
    problem = await browser.get("/nowhere", Accept="application/json")
    assert problem.content_type == "application/problem+json"
    assert (await browser.get("/v1/nowhere")).content_type == "application/problem+json"


async def test_a_form_that_is_too_large_or_none_is_refused_as_a_page(installation: Installation) -> None:
    browser = await sign_in_as(installation, "worker")
    token = await csrf_of(await browser.get("/account"))
    large = await browser.post("/account/language", {"csrf": token, "language": "sv", "x": "y" * 70_000})
    assert large.status == 413
    other = await browser.installation.client.post(
        "/account/language", json={"csrf": token}, headers={**HTML, "Cookie": f"__Host-session={browser.cookie}"}
    )
    assert other.status == 400
    assert other.content_type == "text/html"


async def test_signing_out_ends_the_session_and_takes_the_cookie_away(installation: Installation) -> None:
    browser = await sign_in_as(installation, "worker")
    old = browser.cookie
    answer = await browser.post("/sign-out", {"csrf": await csrf_of(await browser.get("/account"))})
    assert answer.status == 303
    assert browser.cookie is None
    assert (await Browser(installation, old).get("/account")).status == 303


async def test_an_asset_with_its_digest_is_kept_for_ever_and_without_it_is_not(installation: Installation) -> None:
    browser = await sign_in_as(installation, "worker")
    found = re.search(r'href="(/assets/seteli\.css\?v=\w+)"', await (await browser.get("/account")).text())
    assert found is not None
    kept = await browser.get(found[1])
    assert "immutable" in kept.headers["Cache-Control"]
    assert kept.content_type == "text/css"
    assert (await browser.get("/assets/seteli.css?v=0")).headers["Cache-Control"] == "no-cache"
    again = await browser.get("/assets/seteli.css", **{"If-None-Match": kept.headers["ETag"]})
    assert (again.status, await again.read()) == (304, b"")
    assert (await browser.get("/assets/nothing.css")).status == 404
    assert (await browser.get("/assets/..%2Fpages%2Fbase.html")).status == 404


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("/desk?a=1", "/desk?a=1"),
        ("//evil.test", None),
        ("https://evil.test", None),
        ("/\\evil.test", None),
        ("/a\\b", None),
        ("/\t/evil.test", None),
        ("", None),
        (None, None),
        ("/" + "a" * 600, None),
    ],
)
def test_only_a_path_of_ours_is_gone_on_to_after_signing_in(given: str | None, taken: str | None) -> None:
    assert safe_next(given) == taken


@pytest.mark.parametrize(
    ("role", "first"), [("caseworker", "/desk"), ("organiser_admin", "/desk"), ("worker", "/provider")]
)
async def test_whoever_is_signed_in_is_led_to_the_first_page_of_their_role(
    installation: Installation, role: str, first: str
) -> None:
    browser = await sign_in_as(installation, role)
    led = await browser.get("/")
    assert (led.status, led.headers["Location"]) == (303, first)
    lost = await (await browser.get(f"/desk/vouchers/{uuid7()}")).text()
    assert re.findall(r'class="(?:brand|button second)" href="([^"]+)"', lost) == [first, first]


async def test_anybody_else_is_led_to_the_directory_and_a_program_to_the_api(installation: Installation) -> None:
    led = await Browser(installation).get("/")
    assert (led.status, led.headers["Location"]) == (303, "/directory")
    front = await (await Browser(installation).get("/directory")).text()
    assert 'href="/sign-in"' in front
    assert 'href="/docs"' in front
    program = await Browser(installation).get("/", Accept="*/*")
    assert (program.status, program.headers["Location"]) == (303, "/docs")


async def test_an_address_that_is_none_leads_back_to_where_one_begins(installation: Installation) -> None:
    browser = await sign_in_as(installation, "caseworker")
    lost = await (await browser.get("/nowhere")).text()
    assert re.findall(r'class="(?:brand|button second)" href="([^"]+)"', lost) == ["/", "/"]


@pytest.mark.parametrize(
    ("form", "page"),
    [
        ("/desk/decisions", "/desk"),
        ("/desk/vouchers/{id}/do/suspend", "/desk/vouchers/{id}/do/suspend"),
        ("/provider/visits/{id}/charge", "/provider/visits/{id}"),
        ("/provider/bookings/{id}/cancel", "/provider/bookings/{id}"),
        ("/account/sessions/end-others", "/account"),
    ],
)
async def test_a_form_sent_after_the_session_ended_leads_back_to_its_page(
    installation: Installation, form: str, page: str
) -> None:
    some = str(uuid7())
    answer = await Browser(installation, "A" * 43).post(form.format(id=some), {"csrf": "x", "code": "1"})
    there = quote(page.format(id=some), safe="")
    assert (answer.status, answer.headers["Location"]) == (303, f"/sign-in?ended=1&next={there}")


async def test_another_language_keeps_the_page_of_a_form_that_was_refused(installation: Installation) -> None:
    browser = await sign_in_as(installation, "caseworker")
    refused = await browser.submit("/account", f"/account/sessions/{uuid7()}/end")
    assert refused.status == 404
    assert 'name="next" value="/account"' in await refused.text()
    listed = await (await browser.get("/desk/vouchers?state=live&lang=sv")).text()
    assert 'name="next" value="/desk/vouchers?state=live"' in listed


async def test_a_stranger_finds_a_refused_form_again_in_another_language(installation: Installation) -> None:
    stranger = Browser(installation)
    wrong = await stranger.submit("/sign-in?next=/desk", "/sign-in?next=/desk", {"email": "x", "password": "y"})
    assert 'href="/sign-in?next=/desk&amp;lang=sv"' in await wrong.text()


async def test_while_the_database_is_away_a_button_sends_the_same_form_again(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = await sign_in_as(installation, "caseworker")
    form = form_in(await (await browser.get("/desk")).text(), "/desk/preview") | {"client_ref": "perhe-1"}
    password = {"csrf": form["csrf"], "new_password": "four or five words"}

    async def away(resources: object, token: str) -> None:
        raise DatabaseUnavailable

    monkeypatch.setattr(type(installation.resources), "visitor", away)
    answer = await browser.post("/desk/preview", form)
    page = await answer.text()
    assert answer.status == 503
    assert "Nothing is done twice" in page
    assert "Idempotency-Key" not in page
    assert form_in(page, "/desk/preview") == form
    assert "perhe-1" not in await (await browser.post("/desk/preview", form | {"csrf": "of another page"})).text()
    assert "perhe-1" not in await (await browser.post("/desk/preview", form, Origin="https://other.example")).text()
    assert "five words" not in await (await browser.post("/account/password", password)).text()
    assert 'href="/desk/vouchers?x=1"' in await (await browser.get("/desk/vouchers?x=1")).text()
