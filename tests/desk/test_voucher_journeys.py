"""What a caseworker does to a voucher, in a real browser: by keyboard, in two tabs, and over a bad connection."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest
from playwright.async_api import Page, Route, expect

from tests.browsers import sign_in_as
from tests.chromium import IN_CHROMIUM
from tests.debits.pages.windows import DESKTOP, PHONE, open_window, serve
from tests.desk.test_journeys import fill_in
from tests.installations import Installation

pytestmark = [*IN_CHROMIUM, pytest.mark.slow]


async def count(here: Installation, table: str) -> int:
    async with here.resources.pool.acquire() as conn:
        return int(await conn.fetchval(f"SELECT count(*) FROM {table}"))


async def do(page: Page, action: str, told: str, fields: Mapping[str, str] | None = None) -> None:
    """Open one of the voucher's actions, fill it in, and be told that it is done."""
    await page.get_by_role("link", name=action, exact=True).click()
    await expect(page.get_by_role("heading", level=1)).to_have_text(action)
    for label, value in (fields or {}).items():
        await page.get_by_label(label).first.fill(value)
    await page.get_by_label("Why").fill("asked on the phone")
    if action == "Cancel the voucher":
        await page.get_by_label("Yes, cancel this voucher for good").check()
    await page.get_by_role("button", name=action).click()
    await expect(page.get_by_role("status").first).to_contain_text(told)


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
@pytest.mark.parametrize("viewport", [PHONE, DESKTOP], ids=["phone", "desktop"])
async def test_everything_that_can_be_done_to_a_voucher_is_done(
    database_url: str, redis_url: str, viewport: dict[str, int], scripts: bool
) -> None:
    async with serve(database_url, redis_url) as here:
        made = await here.decide()
        person = await sign_in_as(here, "caseworker")
        async with open_window(here, person, viewport=viewport, java_script_enabled=scripts) as (_, page):
            await page.goto("/desk/vouchers")
            await page.get_by_label("Find a voucher").fill("040 123 4567")
            await page.get_by_role("button", name="Search").click()
            await page.get_by_role("table").get_by_role("link").first.click()
            await expect(page).to_have_url(re.compile(f"{made['voucher_id']}$"))
            await do(page, "Send again", "The code is being sent again.")
            await page.goto(f"/desk/vouchers/{made['voucher_id']}")
            await do(page, "New code", "A new code is being sent.")
            await page.goto(f"/desk/vouchers/{made['voucher_id']}")
            await do(page, "Other contact", "a new code is being sent", {"E-mail": "perhe@posti.example"})
            await page.goto(f"/desk/vouchers/{made['voucher_id']}")
            await do(page, "Stop for now", "The voucher is stopped.")
            await do(page, "Let go on", "The voucher is no longer stopped.")
            await page.goto(f"/desk/vouchers/{made['voucher_id']}")
            await page.get_by_role("button", name="The formal decision is out").click()  # takes no reason
            await expect(page.get_by_role("status").first).to_contain_text("The decision is confirmed.")
            await do(page, "Cancel the voucher", "The voucher is cancelled.")
        assert await count(here, "voucher_codes") == 3


async def test_a_lost_answer_that_is_asked_for_again_grants_one_voucher(database_url: str, redis_url: str) -> None:
    async with serve(database_url, redis_url) as here:
        person = await sign_in_as(here, "caseworker")
        async with open_window(here, person) as (context, page):
            await fill_in(page, "KH-1")

            async def lose_the_answer(route: Route) -> None:
                await route.fetch(max_redirects=0)  # the service has it, and its answer is lost
                await route.abort("connectionreset")

            await context.route("**/desk/decisions", lose_the_answer)
            await page.get_by_role("button", name="Grant and send").click()
            await page.wait_for_url("chrome-error://**")
            assert await count(here, "vouchers") == 1
            await context.unroute("**/desk/decisions")
            await page.reload()  # what the browser's own page about the lost connection offers
            await expect(page.get_by_role("heading", level=1)).to_have_text("The code is on its way")
            assert await count(here, "vouchers") == 1
            assert await count(here, "messages") == 1


async def test_the_way_back_from_a_granted_decision_is_an_empty_form(database_url: str, redis_url: str) -> None:
    async with serve(database_url, redis_url) as here:
        person = await sign_in_as(here, "caseworker")
        async with open_window(here, person) as (_, page):
            await fill_in(page, "KH-1")
            await page.get_by_role("button", name="Grant and send").click()
            await expect(page.get_by_role("heading", level=1)).to_have_text("The code is on its way")
            await page.go_back()
            await expect(page.get_by_role("heading", level=1)).to_have_text("New decision")
            await expect(page.get_by_label("Decision reference")).to_have_value("")


@pytest.mark.slow
async def test_the_way_back_from_the_preview_keeps_what_was_filled_in(database_url: str, redis_url: str) -> None:
    async with serve(database_url, redis_url) as here:
        person = await sign_in_as(here, "caseworker")
        async with open_window(here, person) as (_, page):
            await fill_in(page, "KH-1")
            phone = page.get_by_label("Mobile phone")
            await page.go_back()
            await expect(page.get_by_label("Decision reference")).to_have_value("KH-1")
            await expect(phone).not_to_have_value("")
            await page.get_by_role("link", name="New decision").click()
            await expect(page.get_by_label("Decision reference")).to_have_value("")
            await expect(phone).to_have_value("")


async def test_two_tabs_with_one_form_send_one_message(database_url: str, redis_url: str) -> None:
    async with serve(database_url, redis_url) as here:
        made = await here.decide()
        person = await sign_in_as(here, "caseworker")
        async with open_window(here, person) as (context, page):
            await page.goto(f"/desk/vouchers/{made['voucher_id']}/do/replace-code")
            before = await count(here, "messages")
            await page.get_by_label("Why").fill("the old one was seen")
            async with context.expect_page() as opened:
                await page.evaluate("document.querySelector('main form').target = '_blank'")
                await page.get_by_role("button", name="New code").click()
            other = await opened.value
            await expect(other.get_by_role("status").first).to_contain_text("A new code is being sent.")
            await page.bring_to_front()
            await page.evaluate("document.querySelector('main form').target = ''")
            await page.get_by_role("button", name="New code").click()
            await expect(page.get_by_role("status").first).to_contain_text("A new code is being sent.")
            assert await count(here, "messages") == before + 1


async def test_a_decision_is_made_by_keyboard_alone_and_the_focus_goes_to_what_is_wrong(
    database_url: str, redis_url: str
) -> None:
    async with serve(database_url, redis_url) as here:
        person = await sign_in_as(here, "caseworker")
        async with open_window(here, person, viewport=DESKTOP) as (_, page):
            await page.goto("/desk")
            await page.keyboard.press("Tab")
            await expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
            await page.keyboard.press("Enter")
            await page.keyboard.press("Tab")
            await expect(page.get_by_label("Programme")).to_be_focused()
            filled = {"How much in all": "much", "Last day": "", "Mobile phone": "040 123 4567"}
            filled |= {"Decision reference": "KH-1", "Client reference": "perhe-1"}
            for label, value in filled.items():
                field = page.get_by_label(label, exact=False).first
                for _ in range(12):
                    if await field.evaluate("each => each === document.activeElement"):
                        break
                    await page.keyboard.press("Tab")
                await expect(field).to_be_focused()
                assert await field.evaluate("each => getComputedStyle(each).outlineStyle") == "solid"
                await page.keyboard.type("12319999" if label == "Last day" else value)
            await page.keyboard.press("Enter")
            problem = page.get_by_role("alert")
            await expect(problem).to_be_focused()
            await expect(page.get_by_label("How much in all")).to_have_attribute("aria-invalid", "true")
            described = await page.get_by_label("How much in all").get_attribute("aria-describedby")
            assert described is not None
            assert "granted-error" in described
