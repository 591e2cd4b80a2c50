"""From the call to the delivered code in a real browser. Skipped where no Chromium is installed."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from service.vouchers.decisions import helsinki_day
from tests.browsers import sign_in_as
from tests.chromium import IN_CHROMIUM
from tests.debits.pages.desks import today
from tests.debits.pages.windows import DESKTOP, PHONE, open_window, serve, tap_twice
from tests.installations import Installation

pytestmark = [*IN_CHROMIUM, pytest.mark.slow]
PICTURES = os.environ.get("SETELI_PICTURES")


async def fill_in(page: Page, ref: str) -> None:
    await page.goto("/desk")
    await page.get_by_label("How much in all").fill("12")
    await page.get_by_label("Times a week, at most").fill("2")
    await page.get_by_label("Last day").fill(str(helsinki_day(datetime.now(UTC)) + timedelta(days=90)))
    await page.get_by_label("Mobile phone").fill("040 123 4567")
    await page.get_by_label("Decision reference").fill(ref)
    await page.get_by_label("Client reference").fill(f"perhe-{ref}")
    await page.get_by_label("Initials").fill("M.V.")
    await page.get_by_role("button", name="See the text").click()
    await seen_preview(page)


async def seen_preview(page: Page) -> None:
    """The preview is there with its script, which has a say in what the way back from the next page leads to."""
    await expect(page.get_by_role("heading", level=1)).to_have_text("Send this?")
    await page.wait_for_load_state()


async def move(here: Installation, state: str) -> None:
    """What the dispatcher and the gateway's receipts would write."""
    async with here.resources.pool.acquire() as conn:
        await conn.execute(
            "UPDATE messages SET state = $1, accepted_at = now(),"
            " delivered_at = CASE WHEN $1 = 'delivered' THEN now() END",
            state,
        )


async def picture(page: Page, name: str) -> None:
    await page.wait_for_load_state()  # with its styles
    if PICTURES:
        await page.screenshot(path=Path(PICTURES) / f"{name}.png", full_page=True)
    too_wide = await page.evaluate("document.documentElement.scrollWidth > innerWidth")
    assert not too_wide, name


@pytest.mark.parametrize("viewport", [pytest.param(PHONE, id="phone"), pytest.param(DESKTOP, id="desktop")])
async def test_a_decision_arrives_while_the_caseworker_looks_on(
    database_url: str, redis_url: str, viewport: dict[str, int]
) -> None:
    width = viewport["width"]
    async with serve(database_url, redis_url) as here:
        person = await sign_in_as(here, "organiser_admin")
        async with open_window(here, person, viewport=viewport) as (_, page):
            await page.goto("/desk")
            await picture(page, f"decision-{width}")
            await fill_in(page, "KH-1")
            await expect(page.get_by_text("1 part, GSM-7")).to_be_visible()
            await picture(page, f"preview-{width}")
            await page.get_by_role("button", name="Grant and send").click()
            heading = page.get_by_role("heading", level=1)
            await expect(heading).to_have_text("The code is on its way")
            await move(here, "accepted")
            await expect(page.get_by_text("was handed over on")).to_be_visible()
            await picture(page, f"delivery-{width}")
            await move(here, "delivered")
            await expect(heading).to_have_text("The code has arrived")
            await expect(page.get_by_role("link", name="Refresh")).to_have_count(0)
            await page.get_by_role("link", name="Open the voucher").click()
            await expect(heading).to_have_text("Voucher KH-1")
            code = await here.code_of(page.url.rsplit("/", 1)[1])
            for key, amount in (("one", 120), ("two", 90)):
                body = {"code": code, "amount": amount, "reference": key, "service_date": today()}
                answer = await here.call("9000101-4", "POST", "/v1/debits", body, key=key)
                assert answer.status == 201, await answer.text()
            await page.reload()
            await picture(page, f"voucher-{width}")
            await page.get_by_role("link", name="Cancel the voucher").click()
            await expect(heading).to_have_text("Cancel the voucher")
            await picture(page, f"cancel-{width}")
            await fill_in(page, "KH-2")
            await expect(page.get_by_role("alert")).to_contain_text("already has 1 voucher")
            await picture(page, f"warning-{width}")
            for path in ("vouchers", "attention", "import", "programmes/kotipalvelu", "providers"):
                await page.goto(f"/desk/{path}")
                await picture(page, f"{path.replace('/', '-')}-{width}")


async def test_a_decision_needs_no_script(database_url: str, redis_url: str) -> None:
    async with serve(database_url, redis_url) as here:
        person = await sign_in_as(here, "caseworker")
        async with open_window(here, person, java_script_enabled=False) as (_, page):
            await fill_in(page, "KH-1")
            await page.get_by_role("button", name="Correct").click()
            await expect(page.get_by_label("Decision reference")).to_have_value("KH-1")
            await page.get_by_role("button", name="See the text").click()
            await tap_twice(page.get_by_role("button", name="Grant and send"), "**/desk/decisions")
            await expect(page.get_by_role("heading", level=1)).to_have_text("The code is on its way")
            await move(here, "delivered")
            await expect(page.get_by_role("heading", level=1)).to_have_text("The code has arrived")
        async with here.resources.pool.acquire() as conn:
            assert await conn.fetchval("SELECT count(*) FROM vouchers") == 1
