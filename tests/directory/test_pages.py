"""The directory's pages: for everybody, without cookies, kept by caches for a minute, and unmoved by what is sent."""

from __future__ import annotations

import html
import re
from urllib.parse import quote

import pytest

from service.app import PAGES
from service.channels.languages import KEYWORDS
from service.directory.pages import PUBLIC
from service.people.operations import sessions
from service.sandbox.sample import TOWN
from service.vouchers.operations.replies import RESENDS_PER_DAY
from tests.browsers import Browser, sign_in_as
from tests.debits.pages.desks import form_in, words_in
from tests.installations import Installation

LIST = f"/directory?organiser={TOWN}&programme=kotipalvelu"
COMPARE = f"/directory/compare?organiser={TOWN}&programme=kotipalvelu"
SHOWN = (
    "/directory",
    "/directory?area=Leppälahti",
    LIST,
    "/directory/providers/9000101-4",
    f"{COMPARE}&provider=9000101-4&provider=9000202-5",
    "/how-it-works",
)
FOR_PROGRAMS = (
    "/v1/directory/programmes",
    f"/v1/directory/providers?organiser={TOWN}&programme=kotipalvelu",
)


async def words(here: Installation, path: str, *, status: int = 200, language: str = "en") -> str:
    answer = await Browser(here).get(path, **{"Accept-Language": language})
    assert answer.status == status, await answer.text()
    return words_in(await answer.text())


def test_every_public_page_is_one_for_everybody() -> None:
    public = [page for page in PAGES if page.path in PUBLIC]
    assert len(public) == 6
    assert all(page.for_everybody and page.roles is None for page in public)
    assert {page.path for page in PAGES if page.for_everybody} == PUBLIC


@pytest.mark.parametrize("path", [*SHOWN, *FOR_PROGRAMS, "/d", f"/d/{TOWN}", "/directory/providers/nobody"])
async def test_nobody_gets_a_cookie_and_nobody_is_looked_up(
    here: Installation, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    async def no_look_up(*_: object) -> None:
        pytest.fail("a session was looked up")

    person = await sign_in_as(here, "organiser_admin")
    monkeypatch.setattr(sessions, "find_session", no_look_up)
    for browser in (Browser(here), Browser(here, "x" * 43), person):
        answer = await browser.get(path)
        assert answer.status in (200, 302, 404)
        assert "Set-Cookie" not in answer.headers
        assert "csrf" not in await answer.text()
        assert "Aino" not in await answer.text()


@pytest.mark.parametrize("path", [*SHOWN, *FOR_PROGRAMS])
async def test_a_page_is_kept_for_a_minute_and_then_asked_about(here: Installation, path: str) -> None:
    browser = Browser(here)
    first = await browser.get(path)
    assert first.headers["Cache-Control"] == "public, max-age=60"
    assert first.headers["Vary"] == "Accept-Language"
    tag = first.headers["ETag"]
    again = await browser.get(path, **{"If-None-Match": f'"other", {tag}'})
    assert (again.status, await again.read()) == (304, b"")
    assert (again.headers["ETag"], again.headers["Cache-Control"]) == (tag, "public, max-age=60")
    await here.resources.pool.execute("UPDATE providers SET name = name || '!'")
    await here.resources.pool.execute("UPDATE organisers SET name = name || '!'")
    changed = await browser.get(path, **{"If-None-Match": tag})
    assert changed.status == 200
    assert changed.headers["ETag"] != tag


async def test_another_language_is_another_page(here: Installation) -> None:
    tags = set()
    for language, word in (("fi", "tuottajat"), ("sv", "producenter"), ("en", "providers")):
        by_header = await Browser(here).get(LIST, **{"Accept-Language": language})
        by_link = await Browser(here).get(f"{LIST}&lang={language}", **{"Accept-Language": "de"})
        assert f'lang="{language}"' in await by_header.text()
        assert word in words_in(await by_link.text())
        tags |= {by_header.headers["ETag"]}
    assert len(tags) == 3
    page = html.unescape(await (await Browser(here).get(f"{LIST}&lang=sv")).text())
    assert f'href="/directory/providers/9000202-5?organiser={TOWN}&programme=kotipalvelu&lang=sv"' in page
    assert 'name="lang" value="sv"' in page


async def test_a_family_reads_what_it_would_pay(here: Installation) -> None:
    shown = await words(here, LIST)
    assert "2 h on a weekday: the voucher pays €67.00. You pay €5.00." in shown
    assert "2 h on a weekday: the voucher pays €63.80. You pay nothing." in shown
    evening = await words(here, f"{LIST}&when=evening")
    assert "2 h on a weekday evening: the voucher pays €80.40. You pay €6.60." in evening
    assert "Käpylintu" not in evening  # it has told when it comes, and that is not in the evening
    side_by_side = await words(here, f"{COMPARE}&provider=9000101-4&provider=9000202-5")
    assert "You pay: 2 h on a Saturday €6.60 €0.00" in side_by_side
    therapy = await words(here, "/directory/providers/9000303-6")
    assert "1 session on a weekday: the voucher pays €95.00. You pay €10.00." in therapy


async def test_a_new_approval_price_or_suspension_shows_at_once(here: Installation) -> None:
    pool = here.resources.pool
    assert "Pihlajanmarja" in await words(here, LIST)
    await pool.execute("UPDATE providers SET suspended_at = now() WHERE business_id = '9000101-4'")
    assert "Pihlajanmarja" not in await words(here, LIST)
    await words(here, "/directory/providers/9000101-4", status=404)
    await pool.execute("UPDATE providers SET suspended_at = NULL")
    await pool.execute("UPDATE price_lists SET weekday_cents = 4000 WHERE weekday_cents = 3600")
    assert "You pay €13.00." in await words(here, LIST)
    await pool.execute(
        "INSERT INTO price_lists SELECT gen_random_uuid(), organiser_id, provider_id, programme, helsinki_today() + 9,"
        " 4100, 4100, 4100, 4100, 'test' FROM price_lists WHERE weekday_cents = 4000"
    )
    assert "on the price is another: On weekdays: €41.00 an hour" in await words(
        here, f"/directory/providers/9000101-4?organiser={TOWN}"
    )


HOSTILE = [
    "a" * 6000,
    "\0",
    "%00",
    "\u202e\u0000x",
    "💥" * 300,
    "'; DROP TABLE providers; --",
    "<script>alert(1)</script>",
    "%",
    "\ud800",
]


@pytest.mark.parametrize("text", HOSTILE)
async def test_a_hostile_query_gets_a_clean_answer(here: Installation, text: str) -> None:
    given = quote(text.encode("utf-8", "surrogatepass"))
    for path in (
        f"/directory?area={given}",
        f"/directory?organiser={given}",
        f"{LIST}&name={given}&area={given}&when={given}&language={given}&sort={given}&cursor={given}&new={given}",
        f"/directory?organiser={given}&programme={given}",
        f"/directory/providers/{given[:500]}",
        f"{COMPARE}&provider={given}",
        f"/d/{given[:500]}",
        f"/how-it-works?lang={given}",
        f"/v1/directory/programmes?organiser={given}",
        f"/v1/directory/providers?organiser={given}&programme=x",
        f"/v1/directory/providers?organiser={TOWN}&programme=kotipalvelu&cursor={given}",
    ):
        answer = await here.client.get(_as_is(path), allow_redirects=False, headers={"Accept": "text/html"})
        assert answer.status in (200, 302, 400, 404), path
        shown = await answer.text()
        assert "<script>alert" not in shown
        assert "Set-Cookie" not in answer.headers


def _as_is(path: str) -> object:
    from yarl import URL

    return URL(path, encoded=True)


async def test_an_address_that_is_too_long_is_refused_before_anything_is_read(here: Installation) -> None:
    answer = await here.client.get(f"/directory?area={'x' * 10_000}")
    assert answer.status == 400


async def test_many_of_a_kind_are_cut_to_four(here: Installation) -> None:
    many = "&".join(f"provider={n:07}-0" for n in range(200))
    shown = await words(here, f"{COMPARE}&{many}")
    assert "You ticked more than 4" in shown
    assert "Tick at least two" in shown
    assert "Tick at least two" in await words(here, COMPARE)


async def test_whatever_a_provider_writes_is_text(here: Installation) -> None:
    await here.resources.pool.execute(
        "UPDATE provider_profiles SET descriptions = $1, areas = $2, phone = $3, email = $3, web = $4,"
        " hours = $5, languages = $2",
        {"en": "<img src=x onerror=alert(1)>"},
        ["<b>", "{{ 7 * 7 }}"],
        '"><script>alert(1)</script>',
        'https://x.example/"onclick="alert(1)',
        {"weekday": "<i>"},
    )
    await here.resources.pool.execute("UPDATE providers SET name = '<script>alert(2)</script>'")
    for path in (LIST, "/directory/providers/9000101-4", f"{COMPARE}&provider=9000101-4&provider=9000202-5"):
        shown = await (await Browser(here).get(path)).text()
        assert not re.search(r"<(script|img|b|i)\b|onclick=\"|49", shown), path


async def test_the_short_address_of_texts_leads_to_the_directory(here: Installation) -> None:
    for path, there in (("/d", "/directory"), (f"/d/{TOWN}", f"/directory?organiser={TOWN}")):
        answer = await Browser(here).get(path)
        assert (answer.status, answer.headers["Location"]) == (302, there)


async def test_the_guide_tells_the_words_that_are_understood(here: Installation) -> None:
    for language in ("fi", "sv", "en"):
        shown = await words(here, "/how-it-works", language=language)
        for intent in KEYWORDS[language].values():
            assert intent[0] in shown
        assert "+358457300100" in shown
        assert "014 555 0202" in shown
        assert "12" in shown
    assert RESENDS_PER_DAY == 3, "the guide says how often a code is sent again in a day"
    from service.debits.queries.disputes import SELECT_TOLD_DEBIT

    assert "interval '14 days'" in SELECT_TOLD_DEBIT, "the guide says that a visit is disputed within two weeks"


async def test_a_sender_that_cannot_be_answered_has_no_words_to_answer_with(database_url: str, redis_url: str) -> None:
    from tests.installations import install, settings_for

    async with install(settings_for(database_url, redis_url, twilio_sender="Seteli")) as here:
        shown = await words(here, "/how-it-works", language="fi")
    assert "SALDO" not in shown
    assert "UUDELLEEN" not in shown
    assert "Soita, niin saat saman koodin uudelleen." in shown


async def test_no_page_names_a_worker(here: Installation) -> None:
    await sign_in_as(here, "worker", name="Leena Lehto")
    for path in (*SHOWN, *FOR_PROGRAMS):
        assert "Leena" not in await (await Browser(here).get(path)).text()


async def test_programs_get_the_same_list_and_its_next_page(here: Installation) -> None:
    path = f"/v1/directory/providers?organiser={TOWN}&programme=kotipalvelu&limit=2"
    answer = await here.client.get(path)
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    first = await answer.json()
    assert (first["total"], len(first["providers"])) == (3, 2)
    second = await (await here.client.get(f"{path}&cursor={first['next_cursor']}")).json()
    assert second["next_cursor"] is None
    [last] = second["providers"]
    assert last["name"] == "Perhepalvelu Pihlajanmarja Oy"
    assert last["page"] == "https://seteli.test/directory/providers/9000101-4"
    assert last["prices"] == {"weekday": 3600, "evening": 4350, "saturday": 4800, "sunday": 5950}
    assert last["example"] == {
        "band": "weekday",
        "size": 120,
        "voucher_pays_cents": 6700,
        "family_pays_cents": 500,
        "can_be_charged": True,
    }
    assert list(last["hours"]) == ["weekday", "evening", "saturday", "sunday", "holiday"]
    offered = (await (await here.client.get("/v1/directory/programmes")).json())["programmes"]
    assert len(offered) == 6
    document = await (await here.client.get("/openapi.json")).json()
    assert document["paths"]["/v1/directory/providers"]["get"]["security"] == []
    for wrong in ("organiser=x&programme=y", f"organiser={TOWN}&programme=y"):
        assert (await (await here.client.get(f"/v1/directory/providers?{wrong}")).json())["code"] == "not_listed"


async def office_of(here: Installation, role: str = "office") -> Browser:
    person = await sign_in_as(here, role)
    await here.resources.pool.execute(
        "UPDATE people SET provider_id = (SELECT provider_id FROM providers WHERE business_id = '9000101-4')"
    )
    return person


PROFILE = "/provider/profile"


async def test_the_office_looks_at_what_it_writes_and_keeps_it(here: Installation) -> None:
    person = await office_of(here)
    filled_in = {
        "description_en": "We <help>.",
        "areas": "Vaasa, Mustasaari,",
        "hours": "evening",
        "evening_from": "17",
        "evening_to": "20.30",
        "phone": "014 555 0777",
        "email": "uusi@pihlajanmarja.example",
        "web": "pihlajanmarja.example/uusi",
        "takes_new": "no",
    }
    look = await person.submit(PROFILE, PROFILE, {**filled_in, "do": "look"})
    assert look.status == 200
    shown = words_in(await look.text())
    assert "This is how it will look" in shown
    assert "In the evening 17:00–20:30" in shown
    assert "Nothing is kept yet." in shown
    assert form_in(await look.text(), PROFILE)["phone"] == "014 555 0777"
    assert "014 555 0777" not in await words(here, LIST)
    kept = await person.submit(PROFILE, PROFILE, {**filled_in, "do": "keep"})
    assert (kept.status, kept.headers["Location"]) == (303, PROFILE)
    assert "Families see it from now on" in words_in(await (await person.get(PROFILE)).text())
    page = await (await Browser(here).get(f"{LIST}&area=mustasaari")).text()
    assert "014 555 0777" in page
    page = await (await Browser(here).get("/directory/providers/9000101-4")).text()
    assert '<a href="https://pihlajanmarja.example/uusi" rel="external noopener noreferrer nofollow">' in page
    assert "We &lt;help&gt;." in page
    noted = await here.resources.pool.fetchval("SELECT reason FROM audit WHERE actor LIKE 'person:%'")
    assert noted.startswith("general: descriptions, areas")


async def test_one_service_is_told_of_in_its_own_words(here: Installation) -> None:
    person = await office_of(here, "provider_admin")
    page = await (await person.get(f"{PROFILE}?programme=pariterapia")).text()
    assert "Fill in only what is different" in words_in(page)
    kept = await person.submit(PROFILE, PROFILE, {"programme": "pariterapia", "areas": "Oulu", "do": "keep"})
    assert kept.headers["Location"] == f"{PROFILE}?programme=pariterapia"
    assert "Pihlajanmarja" in await words(here, f"/directory?organiser={TOWN}&programme=pariterapia&area=oulu")
    assert "Pihlajanmarja" not in await words(here, f"{LIST}&area=oulu")
    refused = await person.submit(PROFILE, PROFILE, {"programme": "siivousapu", "areas": "Oulu", "do": "keep"})
    assert refused.status == 404


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("web", "http://apu.example", "Write a web address that begins with https://."),
        ("phone", "soita", "Write a telephone number like 014 555 0101."),
        ("areas", "1; DROP", "Write the names of municipalities"),
        ("description_fi", "x" * 1201, "Write at most 1,200 characters"),
        ("weekday_from", "99", "Write hours like 08:00 and 16:00"),
    ],
)
async def test_what_is_wrong_is_told_at_its_field_and_nothing_is_kept(
    here: Installation, field: str, value: str, told: str
) -> None:
    person = await office_of(here)
    answer = await person.submit(PROFILE, PROFILE, {"hours": "weekday", field: value, "do": "keep"})
    assert answer.status == 400
    shown = words_in(await answer.text())
    assert told in shown
    assert "Correct what is marked below" in shown
    assert value in html.unescape(await answer.text())
    assert await here.resources.pool.fetchval("SELECT count(*) FROM audit WHERE actor LIKE 'person:%'") == 0


async def test_a_worker_writes_nothing_of_the_company(here: Installation) -> None:
    person = await office_of(here, "worker")
    assert (await person.get(PROFILE)).status == 403
