"""A family at its page in a real browser: on a phone, on paper, tapping twice, going back. Skipped without Chromium."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.chromium import IN_CHROMIUM
from tests.debits.pages.windows import DESKTOP, PHONE, open_window, serve, tap_twice
from tests.family.test_pages import charge, disputes, granted

pytestmark = [*IN_CHROMIUM, pytest.mark.slow]
PICTURES = os.environ.get("SETELI_PICTURES")
A4 = {"width": 680, "height": 1009}
"""An A4 page without its margins of 15 mm, at 96 dots an inch."""


async def picture(page: Page, name: str) -> None:
    if PICTURES:
        await page.screenshot(path=Path(PICTURES) / f"family-{name}.png", full_page=True)


@pytest.mark.parametrize(
    ("viewport", "scripts"),
    [
        (PHONE, False),
        (PHONE, True),
        (DESKTOP, True),
    ],
    ids=["phone-plain", "phone", "desktop"],
)
async def test_a_family_says_once_that_a_visit_did_not_happen_whatever_it_taps(
    database_url: str, redis_url: str, viewport: dict[str, int], scripts: bool
) -> None:
    async with (
        serve(database_url, redis_url) as here,
        open_window(here, None, viewport=viewport, java_script_enabled=scripts) as (context, page),
    ):
        voucher_id, link = await granted(here)
        await charge(here, voucher_id, 60)
        await charge(here, voucher_id, 90)
        heading, name = page.get_by_role("heading", level=1), f"{viewport['width']}{'' if scripts else '-plain'}"
        await page.goto(link)
        await expect(heading).to_have_text("Your voucher")
        await expect(page.get_by_text(await here.code_of(voucher_id))).to_be_visible()
        await picture(page, f"page-{name}")
        await page.get_by_role("link", name="This visit did not happen").first.click()
        await page.get_by_label("What was wrong?").fill("Nobody came.")
        await picture(page, f"asked-{name}")
        await tap_twice(page.get_by_role("button", name="Tell that it did not happen"), "**/visits/**")
        await expect(heading).to_have_text("Thank you for telling us")
        await picture(page, f"told-{name}")
        await page.go_back()
        again = page.get_by_role("button", name="Tell that it did not happen")
        if await again.is_visible():  # the browser may show the page as it was
            await again.click()
        await expect(heading).to_have_text("Thank you for telling us")
        assert await disputes(here) == (1, 1, 1)
        await page.get_by_role("link", name="Back to your code").click()
        await expect(page.get_by_text("It was said that it did not happen")).to_have_count(1)
        await expect(page.get_by_role("link", name="This visit did not happen")).to_have_count(1)
        await picture(page, f"after-{name}")
        assert await context.cookies() == []


async def test_the_code_and_its_picture_are_on_one_light_page_of_paper(database_url: str, redis_url: str) -> None:
    async with (
        serve(database_url, redis_url) as here,
        open_window(here, None, viewport=A4, color_scheme="dark") as (_, page),
    ):
        voucher_id, link = await granted(here)
        for minutes in (60, 75, 90):
            await charge(here, voucher_id, minutes)
        await page.goto(link)
        await page.emulate_media(media="print", color_scheme="dark")
        await picture(page, "paper")
        for part in (".family-digits", ".family-code .qr"):
            box = await page.locator(part).bounding_box()
            assert box is not None
            assert box["y"] + box["height"] < A4["height"], part
            assert box["width"] <= A4["width"], part
        papers = "getComputedStyle(document.body).backgroundColor"
        assert await page.evaluate(papers) == "rgb(255, 255, 255)"
        assert not await page.get_by_role("link", name="This visit did not happen").first.is_visible()
        assert not await page.locator(".top").is_visible()
