"""A new decision on the desk: preview, warning, grant once, and where its message is."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from service.vouchers.decisions import helsinki_day
from tests.browsers import Browser, sign_in_as
from tests.debits.pages.desks import form_in, words_in
from tests.installations import Installation


def today_plus(days: int) -> str:
    return str(helsinki_day(datetime.now(UTC)) + timedelta(days=days))


def filled_in(**changes: str) -> dict[str, str]:
    known = {
        "programme": "kotipalvelu",
        "granted": "12",
        "weekly_visits": "2",
        "valid_from": today_plus(0),
        "valid_to": today_plus(90),
        "phone": "040 123 4567",
        "language": "fi",
        "decision_ref": "KH-1",
        "client_ref": "perhe-1",
        "initials": "M.V.",
    }
    return known | changes


async def grant(browser: Browser, **changes: str) -> str:
    """From the form through the preview to the address of the delivery."""
    preview = await browser.submit("/desk", "/desk/preview", filled_in(**changes))
    assert preview.status == 200, words_in(await preview.text())
    form = form_in(await preview.text(), "/desk/decisions")
    granted = await browser.post("/desk/decisions", form | ({"another": "yes"} if "another" in changes else {}))
    assert granted.status == 303, words_in(await granted.text())
    return granted.headers["Location"]


async def count(here: Installation, table: str) -> int:
    async with here.resources.pool.acquire() as conn:
        return int(await conn.fetchval(f"SELECT count(*) FROM {table}"))


async def test_a_decision_is_previewed_granted_and_followed(here: Installation) -> None:
    browser = await sign_in_as(here, "caseworker")
    preview = await browser.submit("/desk", "/desk/preview", filled_in())
    shown = words_in(await preview.text())
    assert preview.status == 200, shown
    assert "0000 0000 0000" in shown
    assert "12 t, 2 krt/vko" in shown
    assert "1 part, GSM-7" in shown
    assert await count(here, "vouchers") == 0
    delivery = await grant(browser)
    page = await browser.get(delivery)
    text = await page.text()
    assert page.status == 200
    assert "The code is on its way" in text
    assert '<noscript><meta http-equiv="refresh"' in text
    part = await browser.get(f"{delivery}/part")
    assert 'data-ended="no"' in await part.text()
    assert "<html" not in await part.text()
    async with here.resources.pool.acquire() as conn:
        row = await conn.fetchrow("SELECT created_by, granted, weekly_visits, status FROM decisions")
        assert row is not None
        assert row["created_by"].startswith("person:")
        assert (row["granted"], row["weekly_visits"], row["status"]) == (720, 2, "provisional")
        await conn.execute("UPDATE messages SET state = 'delivered', accepted_at = now(), delivered_at = now()")
    assert "The code has arrived" in await (await browser.get(delivery)).text()


async def test_the_button_pressed_twice_makes_one_voucher(here: Installation) -> None:
    browser = await sign_in_as(here, "caseworker")
    preview = await browser.submit("/desk", "/desk/preview", filled_in())
    form = form_in(await preview.text(), "/desk/decisions")
    first, second = [await browser.post("/desk/decisions", form) for _ in range(2)]
    assert first.headers["Location"] == second.headers["Location"]
    assert (await count(here, "vouchers"), await count(here, "messages")) == (1, 1)


async def test_a_reference_that_is_used_already_is_said_before_the_button(here: Installation) -> None:
    browser = await sign_in_as(here, "caseworker")
    await grant(browser)
    again = await browser.submit("/desk", "/desk/preview", filled_in(phone="040 765 4321", client_ref="perhe-2"))
    page = await again.text()
    assert (again.status, set(re.findall(r'id="(\w+)-error"', page))) == (400, {"decision_ref"})
    assert "has been granted already" in words_in(page)


async def test_what_is_typed_is_read_back_in_the_preview(here: Installation) -> None:
    browser = await sign_in_as(here, "caseworker")
    asked = filled_in(phone="0401234567", initials="M. V.", municipality="Leppälahti")
    shown = words_in(await (await browser.submit("/desk", "/desk/preview", asked)).text())
    assert "+358 40 1234567" in shown
    assert "M. V., Leppälahti" in shown


async def test_the_year_of_a_day_has_four_digits(here: Installation) -> None:
    page = await (await (await sign_in_as(here, "caseworker")).get("/desk")).text()
    days = re.findall(r'<input[^>]* type="date"[^>]*>', page)
    assert len(days) == 2
    assert all('max="9999-12-31"' in day for day in days)


async def test_a_family_with_a_live_voucher_is_warned_of_and_gets_another_only_deliberately(
    here: Installation,
) -> None:
    browser = await sign_in_as(here, "caseworker")
    await grant(browser)
    other = filled_in(decision_ref="KH-2", client_ref="perhe-2")
    preview = await browser.submit("/desk", "/desk/preview", other)
    shown = words_in(await preview.text())
    assert "This family already has 1 voucher" in shown
    assert "KH-1" in shown
    form = form_in(await preview.text(), "/desk/decisions")
    refused = await browser.post("/desk/decisions", form)
    assert refused.status == 422
    assert "Nothing was sent" in words_in(await refused.text())
    assert await count(here, "vouchers") == 1
    assert (await browser.post("/desk/decisions", form | {"another": "yes"})).status == 303
    assert await count(here, "vouchers") == 2


async def test_another_organisers_voucher_of_the_same_family_is_no_warning(here: Installation) -> None:
    await here.decide("leppalahti")
    browser = await sign_in_as(here, "caseworker")
    preview = await browser.submit("/desk", "/desk/preview", filled_in())
    assert "already" not in words_in(await preview.text())


async def test_what_is_wrong_is_said_beside_its_field_and_what_was_filled_in_stays(here: Installation) -> None:
    browser = await sign_in_as(here, "caseworker")
    answer = await browser.submit("/desk", "/desk/preview", filled_in(granted="many", initials="Å.Ä."))
    page = await answer.text()
    assert answer.status == 400
    assert 'id="granted-error"' in page
    assert "Write the hours like this" in page
    assert 'value="Å.Ä."' in page
    answer = await browser.submit("/desk", "/desk/preview", filled_in(phone=""))
    assert answer.status == 400
    assert "note problem" in await answer.text()
    corrected = await browser.submit("/desk", "/desk/correct", filled_in())
    assert 'value="040 123 4567"' in await corrected.text()


async def test_amounts_are_read_in_peoples_words(here: Installation) -> None:
    browser = await sign_in_as(here, "caseworker")
    for ref, granted, minutes in (("A", "1,5", 90), ("B", "2:30", 150), ("C", "3.25 h", 195)):
        await grant(browser, decision_ref=ref, client_ref=ref, granted=granted, another="yes")
        async with here.resources.pool.acquire() as conn:
            assert await conn.fetchval("SELECT granted FROM decisions WHERE decision_ref = $1", ref) == minutes


async def test_a_providers_people_have_no_desk(here: Installation) -> None:
    browser = await sign_in_as(here, "office")
    for path in ("/desk", "/desk/vouchers", "/desk/attention", "/desk/import", "/desk/programmes", "/desk/providers"):
        assert (await browser.get(path)).status == 403


async def test_another_language_keeps_the_decision_that_is_previewed(here: Installation) -> None:
    browser = await sign_in_as(here, "caseworker")
    preview = await (await browser.submit("/desk", "/desk/preview", filled_in())).text()
    chosen = form_in(preview[preview.index("<footer") :], "/desk/preview")
    assert chosen["phone"] == "040 123 4567"
    again = await browser.post("/desk/preview", chosen | {"show_in": "sv"})
    page = await again.text()
    assert (again.status, again.headers["Content-Language"]) == (200, "sv")
    assert form_in(page, "/desk/decisions")["decision_ref"] == "KH-1"
    assert (await browser.get("/desk")).headers["Content-Language"] == "sv"


async def test_another_language_never_grants_what_was_refused(here: Installation) -> None:
    browser = await sign_in_as(here, "caseworker")
    await grant(browser)
    other = filled_in(decision_ref="KH-2", client_ref="perhe-2", another="yes")
    shown = await browser.submit("/desk", "/desk/decisions", other | {"show_in": "fi"})
    assert (shown.status, shown.headers["Content-Language"]) == (200, "fi")
    assert await count(here, "vouchers") == 1


async def test_all_that_is_wrong_is_marked_at_once(here: Installation) -> None:
    browser = await sign_in_as(here, "caseworker")
    form = filled_in(granted="two", phone="014 266 3501", valid_to="2025-03-31", client_ref="131052-308T", initials="")
    answer = await browser.submit("/desk", "/desk/preview", form)
    page = await answer.text()
    assert answer.status == 400
    marked = set(re.findall(r'id="(\w+)-error"', page))
    assert marked == {"granted", "phone", "valid_to", "client_ref"}
    assert "Correct what is marked below" in page
    assert "This is a personal identity code" in page
    assert "client_ref" not in words_in(page)
