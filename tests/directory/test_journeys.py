"""A family looks for help in a real browser, with scripts and without. Skipped where no Chromium is installed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.chromium import IN_CHROMIUM
from tests.debits.pages.windows import DESKTOP, open_window, serve

pytestmark = [*IN_CHROMIUM, pytest.mark.slow]
PICTURES = os.environ.get("SETELI_PICTURES")
SMALL = {"width": 320, "height": 640}


async def picture(page: Page, name: str) -> None:
    await page.wait_for_load_state()  # with its styles
    if PICTURES:
        await page.screenshot(path=Path(PICTURES) / f"directory-{name}.png", full_page=True)
    too_wide = await page.evaluate("document.documentElement.scrollWidth > innerWidth")
    assert not too_wide, name


@pytest.mark.parametrize(
    ("viewport", "scripts"),
    [pytest.param(SMALL, False, id="small-plain"), pytest.param(DESKTOP, True, id="desktop")],
)
async def test_a_family_finds_compares_and_reads(
    database_url: str, redis_url: str, viewport: dict[str, int], scripts: bool
) -> None:
    async with (
        serve(database_url, redis_url) as here,
        open_window(here, None, viewport=viewport, java_script_enabled=scripts) as (context, page),
    ):
        name = f"{viewport['width']}"
        heading = page.get_by_role("heading", level=1)
        await page.goto("/d")
        await picture(page, f"front-{name}")
        await page.get_by_label("Where do you live?").fill("leppa")
        await page.get_by_role("button", name="Search").click()
        town = page.get_by_role("region", name="Leppälahden kaupunki")
        await town.get_by_role("link", name="Home help").click()
        await expect(heading).to_have_text("Home help: providers")
        await expect(page.get_by_role("status")).to_have_text("2 providers")
        await page.wait_for_load_state()
        if not await page.get_by_label("Municipality").is_visible():
            await page.get_by_text("Search and sort").click()
        await page.get_by_role("link", name="Show all").click()
        await expect(page.get_by_role("status")).to_have_text("3 providers")
        await picture(page, f"list-{name}")
        await page.get_by_text("Search and sort").click()
        await page.get_by_label("When do you need help?").select_option("evening")
        await page.get_by_role("button", name="Search").click()
        await expect(page.get_by_text("The voucher pays").first).to_be_visible()
        await expect(
            page.get_by_text("2 h on a weekday evening: the voucher pays €80.40. You pay €6.60.")
        ).to_be_visible()
        for company in ("Arjen Apu", "Pihlajanmarja"):
            await page.get_by_role("checkbox", name=company).check()
        await page.get_by_role("button", name="Compare those you ticked").click()
        await expect(heading).to_have_text("Compare providers")
        await expect(page.get_by_role("row", name="You pay: 2 h on a Saturday")).to_contain_text("€6.60")
        await picture(page, f"compare-{name}")
        await page.go_back()
        await page.get_by_role("link", name="Perhepalvelu Pihlajanmarja Oy").click()
        await expect(heading).to_have_text("Perhepalvelu Pihlajanmarja Oy")
        await expect(page.get_by_text("The same person comes to you")).to_be_visible()
        await picture(page, f"provider-{name}")
        await page.get_by_role("link", name="How a voucher works").click()
        await expect(page.get_by_role("heading", name="I deleted the message")).to_be_visible()
        await picture(page, f"guide-{name}")
        await page.get_by_role("link", name="Suomi").click()
        await expect(page.get_by_role("heading", name="Poistin viestin")).to_be_visible()
        await page.get_by_role("link", name="Etsi tuottaja").click()
        await expect(heading).to_have_text("Etsi tuottaja")  # a chosen language goes along
        assert await context.cookies() == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_text_of_twice_the_size_fits_the_smallest_phone(database_url: str, redis_url: str, scheme: str) -> None:
    town = "organiser=leppalahti&programme=kotipalvelu"
    async with (
        serve(database_url, redis_url) as here,
        open_window(here, None, viewport=SMALL, color_scheme=scheme) as (_, page),
    ):
        for name, path in (
            ("front", "/directory?lang=fi"),
            ("list", f"/directory?{town}&when=evening&lang=fi"),
            ("provider", "/directory/providers/9000101-4?lang=fi"),
            ("compare", f"/directory/compare?{town}&provider=9000101-4&provider=9000202-5&lang=fi"),
            ("guide", "/how-it-works?lang=fi"),
        ):
            await page.goto(path)
            await page.evaluate("document.documentElement.style.fontSize = '225%'")
            await picture(page, f"{name}-large-{scheme}")
