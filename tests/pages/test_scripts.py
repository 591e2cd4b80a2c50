"""What a page shows while a script of its never comes: everything. The text is painted, and forms can be sent."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import Page, Route, expect

from tests.chromium import IN_CHROMIUM, PATIENCE_MS, open_chromium
from tests.pages.table import VISITS, Visit
from tests.pages.walk import Look, Walk
from tests.pages.world import furnished

pytestmark = IN_CHROMIUM
WITH_SCRIPTS = {
    "provider-code",
    "provider-visits-lookup_id-confirm",
    "provider-history-debit_id",
    "desk-vouchers-voucher_id-delivery",
}


async def painted(page: Page) -> None:
    """Return once text is on the screen; nothing else tells whether somebody sees it."""
    await page.evaluate(
        """() => new Promise((seen) => new PerformanceObserver((list) => list.getEntriesByName(
            "first-contentful-paint").length && seen()).observe({ type: "paint", buffered: true }))"""
    )


@pytest.mark.slow
async def test_a_script_that_never_comes_keeps_no_page_from_being_seen(database_url: str, redis_url: str) -> None:
    asked = asyncio.Event()

    async def never(route: Route) -> None:
        asked.set()

    async with furnished(database_url, redis_url) as world, open_chromium() as browser:
        walk = Walk(browser, world, Look("en"), is_judged=False)
        for visit in [each for each in VISITS if each.name in WITH_SCRIPTS]:
            page = await walk.page_of(visit.who)
            await page.route("**/*.js*", never)
            asked.clear()
            await page.goto(await _address(walk, visit), wait_until="commit")
            await painted(page)
            await expect(page.locator("main h1"), visit.name).to_be_visible()
            try:
                await asyncio.wait_for(asked.wait(), PATIENCE_MS / 1000)
            except TimeoutError:
                pytest.fail(f"{visit.name} has no script any more")
            await page.unroute("**/*.js*")
        await walk.close()


async def _address(walk: Walk, visit: Visit) -> str:
    return await walk.world.address(visit.address, visit.who, walk.look.language)
