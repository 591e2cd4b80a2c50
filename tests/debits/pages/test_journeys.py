"""The whole way in a real browser: phone and desktop, without scripts, with a connection that drops, with the back
button. Skipped where no Chromium is installed."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Page, Route, expect

from tests.chromium import IN_CHROMIUM
from tests.debits.pages.desks import entries_of, family, sit_down, today
from tests.debits.pages.windows import DESKTOP, PHONE, open_window, serve, tap_twice
from tests.installations import Installation

WIDEST = """[...document.querySelectorAll("main *, header *")]
    .filter((each) => each.getBoundingClientRect().right > innerWidth)
    .map((each) => `${each.tagName}.${each.className}`).slice(-5)"""
pytestmark = IN_CHROMIUM


@pytest.fixture
async def here(database_url: str, redis_url: str) -> AsyncIterator[Installation]:
    async with serve(database_url, redis_url) as installation:
        yield installation


async def look_up(page: Page, code: str) -> None:
    await page.goto("/provider")
    await page.get_by_label("The family's code").fill(code)
    await page.get_by_role("button", name="Look up").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Home help")


async def to_confirmation(page: Page, code: str) -> None:
    await look_up(page, code)
    await page.get_by_label("Hours").fill("2")
    await page.get_by_role("button", name="Continue").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Charge this visit?")


@pytest.mark.parametrize(
    ("viewport", "scripts"),
    [
        pytest.param(PHONE, True, id="phone, with scripts"),  # the one journey in a browser of `make test`
        pytest.param(PHONE, False, id="phone, without scripts", marks=pytest.mark.slow),
        pytest.param(DESKTOP, True, id="desktop, with scripts", marks=pytest.mark.slow),
        pytest.param(DESKTOP, False, id="desktop, without scripts", marks=pytest.mark.slow),
    ],
)
async def test_from_the_code_to_the_receipt_and_back(
    here: Installation, viewport: dict[str, int], scripts: bool
) -> None:
    voucher_id, code = await family(here)
    person = await sit_down(here)
    async with open_window(here, person.browser, viewport=viewport, java_script_enabled=scripts) as (_, page):
        await to_confirmation(page, code)
        assert code.replace(" ", "") not in page.url
        await page.get_by_role("button", name="Charge 2 h").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("The visit is charged")
        await page.get_by_role("link", name="Visits", exact=True).click()
        await page.get_by_role("link", name=re.compile("^Open")).click()
        await page.get_by_text("Take it back", exact=True).click()
        await page.get_by_label("Why").fill("wrong family")
        await page.get_by_role("button", name="Take back").click()
        await expect(page.get_by_role("status")).to_contain_text("2 h is taken back")
    assert await entries_of(here, voucher_id) == [("debit", 120), ("reversal", -120)]


@pytest.mark.slow
async def test_a_connection_that_drops_in_mid_debit_charges_once(here: Installation) -> None:
    voucher_id, code = await family(here)
    person = await sit_down(here, "worker")
    async with open_window(here, person.browser) as (context, page):
        await to_confirmation(page, code)

        async def lose_the_answer(route: Route) -> None:
            await route.fetch(max_redirects=0)  # the service has it, and its answer is lost
            await route.abort("connectionreset")

        await context.route("**/charge", lose_the_answer)
        button = page.get_by_role("button", name="Charge 2 h")
        await button.click()
        await page.wait_for_url("chrome-error://**")
        assert await entries_of(here, voucher_id) == [("debit", 120)]
        await context.unroute("**/charge")
        await page.go_back()
        await expect(page.get_by_role("heading", level=1)).to_have_text("The visit is charged")
        await expect(page.get_by_role("status").or_(page.get_by_role("alert"))).to_contain_text("Nothing was charged")
    assert await entries_of(here, voucher_id) == [("debit", 120)]


@pytest.mark.slow
async def test_a_second_tap_and_the_back_button_charge_once(here: Installation) -> None:
    voucher_id, code = await family(here)
    person = await sit_down(here, "worker")
    async with open_window(here, person.browser, java_script_enabled=False) as (_, page):
        await to_confirmation(page, code)
        await tap_twice(page.get_by_role("button", name="Charge 2 h"), "**/charge")
        await expect(page.get_by_role("heading", level=1)).to_have_text("The visit is charged")
        await page.go_back()
        await expect(page.get_by_role("heading", level=1)).to_have_text("The visit is charged")
        await expect(page.get_by_role("alert")).to_contain_text("Nothing was charged again")
        await page.go_back()
        await page.get_by_label("Hours").fill("3")
        await page.get_by_role("button", name="Continue").click()
        await expect(page.get_by_role("alert")).to_contain_text("Nothing was charged again")
    assert await entries_of(here, voucher_id) == [("debit", 120)]


@pytest.mark.slow
async def test_two_tabs_charge_two_visits_of_two_families(here: Installation) -> None:
    (one_id, one), (other_id, other) = await family(here), await family(here)
    person = await sit_down(here, "worker")
    async with open_window(here, person.browser) as (context, page):
        second = await context.new_page()
        await to_confirmation(page, one)
        await to_confirmation(second, other)
        await page.get_by_role("button", name="Charge 2 h").click()
        await second.get_by_role("button", name="Charge 2 h").click()
        for tab in (page, second):
            await expect(tab.get_by_role("heading", level=1)).to_have_text("The visit is charged")
    assert await entries_of(here, one_id) == await entries_of(here, other_id) == [("debit", 120)]


@pytest.mark.slow
async def test_a_typing_slip_is_told_while_typing_and_digits_are_grouped(here: Installation) -> None:
    _, code = await family(here)
    digits = code.replace(" ", "")
    wrong = digits[:-1] + str((int(digits[-1]) + 1) % 10)
    person = await sit_down(here, "worker")
    async with open_window(here, person.browser) as (_, page):
        await page.goto("/provider")
        field = page.get_by_label("The family's code")
        await expect(field).to_have_attribute("inputmode", "numeric")
        await field.press_sequentially(wrong)
        await expect(field).to_have_value(re.compile(r"^\d{4} \d{4} \d{4}$"))
        await expect(page.locator("#code-slip")).to_contain_text("typing mistake")
        await field.press("Enter")
        assert page.url.endswith("/provider")
        await field.fill(code)
        await expect(page.locator("#code-slip")).to_have_text("")
        await field.press("Home")
        await field.press("Delete")
        await field.press_sequentially(digits[0])
        await expect(field).to_have_value(code)


@pytest.mark.slow
async def test_the_address_of_the_qr_code_fills_the_field_in_and_leaves_the_code_nowhere(here: Installation) -> None:
    _, code = await family(here)
    digits = code.replace(" ", "")
    asked: list[str] = []
    async with open_window(here, None) as (_, page):
        page.on("request", lambda request: asked.append(request.url.partition("#")[0]))
        await page.goto(f"/provider#{digits}")
        await expect(page.locator("#scanned")).to_have_text(code)
    person = await sit_down(here, "worker")
    async with open_window(here, person.browser) as (_, page):
        await page.goto(f"/provider#{digits}")
        await expect(page.get_by_label("The family's code")).to_have_value(code)
        await expect(page).to_have_url(re.compile("/provider$"))
    assert not any(digits in address for address in asked)


@pytest.mark.slow
@pytest.mark.parametrize(("width", "text"), [(320, 100), (360, 200)])
async def test_no_page_is_wider_than_a_narrow_screen_or_large_text(here: Installation, width: int, text: int) -> None:
    _, code = await family(here)
    person = await sit_down(here)
    await here.call("9000101-4", "POST", "/v1/debits", {"code": code, "amount": 60}, key="one")
    async with open_window(here, person.browser, viewport={"width": width, "height": 700}) as (_, page):
        await look_up(page, code)
        voucher = page.url
        paths = ("", f"/confirm?day={today()}&hours=1", f"/confirm?day={today()}&hours=90", "/book")
        others = ("/provider", "/provider/history", "/provider/bookings", "/provider/workers")
        for address in (*(voucher + path for path in paths), *others):
            await page.goto(address)
            await page.evaluate(f"document.documentElement.style.fontSize = '{1.125 * text}%'")
            wider = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert wider <= 0, (address, wider, await page.evaluate(WIDEST))
