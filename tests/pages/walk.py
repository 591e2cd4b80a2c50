"""From page to page in one browser: each is opened, done with what the table says, and judged.

A judgement is a sentence; an empty list is a page with which nothing is wrong. With SETELI_PICTURES=folder each page is
photographed, too.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from playwright.async_api import Browser, BrowserContext, CDPSession, Page

from service.web.pages.assets import THIRD_PARTY
from tests.chromium import open_context
from tests.pages.table import Visit
from tests.pages.world import World

PICTURES = os.environ.get("SETELI_PICTURES")
AXE = THIRD_PARTY / "axe-core" / "axe.min.js"
# Everything that WCAG 2.2 asks at A and AA, as far as a program can judge it, and what axe-core advises besides.
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa", "best-practice"]
JUDGE = f"axe.run(document, {{runOnly: {json.dumps(TAGS)}, resultTypes: ['violations']}})"
WEIGHT_MAX = 100_000  # bytes transferred for a page with all it needs, nothing of it known yet
TOO_WIDE = """[...document.querySelectorAll("main *, header *, footer *")]
    .filter((each) => each.getBoundingClientRect().right > innerWidth + 1 && !each.closest(".hidden, thead"))
    .map((each) => `${each.tagName}.${each.className}`).slice(-3)"""
BLOCKING = "[...document.querySelectorAll('script')].filter((s) => !s.src || !(s.type === 'module' || s.defer)).length"


@dataclass(frozen=True, slots=True)
class Look:
    """How a page is looked at. `text` is the size of the text in percent."""

    language: str = "fi"
    width: int = 360
    scheme: Literal["light", "dark"] = "light"
    contrast: Literal["more", "no-preference"] = "no-preference"
    forced: Literal["active", "none"] = "none"
    text: int = 100
    scripts: bool = True

    @property
    def name(self) -> str:
        extra = [self.contrast if self.contrast == "more" else "", "forced" if self.forced == "active" else ""]
        extra += [f"{self.text}%" if self.text != 100 else "", "" if self.scripts else "no-scripts"]
        return "-".join(filter(None, [self.language, str(self.width), self.scheme, *extra]))


@cache
def axe_source() -> str:
    return AXE.read_text("utf-8")


async def judge(page: Page) -> list[str]:
    """What axe-core finds wrong with a page as it stands."""
    await page.evaluate(axe_source())
    found: dict[str, Any] = await page.evaluate(JUDGE)
    return [
        f"{one['id']}: {one['help']}: {node['target']} {node['html'][:200]} {node['failureSummary'][:200]}"
        for one in found["violations"]
        for node in one["nodes"][:3]
    ]


class Walk:
    """One browser that goes through the pages, with a window for everybody who looks."""

    def __init__(self, browser: Browser, world: World, look: Look, *, is_judged: bool = True) -> None:
        self.browser, self.world, self.look, self.is_judged = browser, world, look, is_judged
        self.windows: dict[str | None, tuple[BrowserContext, Page, CDPSession]] = {}
        self.weight = 0
        self.said: list[str] = []

    async def go(self, visits: Iterable[Visit]) -> list[str]:
        """What is wrong, a line each, with the page's name before it."""
        faults: list[str] = []
        for visit in visits:
            try:
                found = await self.see(visit)
            except Exception as error:  # noqa: BLE001 - the rest is looked at all the same
                found = [f"{type(error).__name__}: {str(error)[:300]}"]
            faults += [f"{visit.name} ({self.look.name}): {fault}" for fault in found]
        await self.close()
        return faults

    async def close(self) -> None:
        for context, _, _ in self.windows.values():
            await context.close()

    async def see(self, visit: Visit) -> list[str]:
        context, page, _ = await self._window(visit.who)
        address = await self.world.address(visit.address, visit.who, self.look.language)
        if visit.who is None:
            await context.clear_cookies()
        self.weight, self.said = 0, []
        answer = await page.goto(address)
        assert answer is not None
        faults = [] if answer.status == visit.status else [f"answered {answer.status}: {await page.inner_text('main')}"]
        faults += self._weighed()
        if visit.who is None and await page.locator("form[method=post]").count() == 0 and await context.cookies():
            faults.append("sets a cookie without having a form")
        if visit.act is not None:
            await visit.act(page)
        return faults + await self._judge(page, visit)

    async def page_of(self, who: str | None) -> Page:
        """The window of somebody, as it stands."""
        _, page, _ = await self._window(who)
        return page

    async def _judge(self, page: Page, visit: Visit) -> list[str]:
        await page.wait_for_load_state()
        faults = [f"said: {text}" for text in self.said]
        if await page.get_attribute("html", "lang") != self.look.language:
            faults.append("is in another language")
        if await page.evaluate(BLOCKING):
            faults.append("has a script that the page waits for")
        if self.look.text != 100:
            await page.evaluate(f"document.documentElement.style.fontSize = '{1.125 * self.look.text}%'")
        too_wide = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
        if too_wide > 0:
            faults.append(f"is {too_wide} px too wide: {await page.evaluate(TOO_WIDE)}")
        if PICTURES:
            await page.screenshot(path=Path(PICTURES) / f"{visit.name}.{self.look.name}.png", full_page=True)
        return faults + (await judge(page) if self.is_judged else [])

    def _weighed(self) -> list[str]:
        return [f"weighs {self.weight} bytes"] if self.weight > WEIGHT_MAX else []

    async def _window(self, who: str | None) -> tuple[BrowserContext, Page, CDPSession]:
        if who not in self.windows:
            self.windows[who] = await self._open(who)
        return self.windows[who]

    async def _open(self, who: str | None) -> tuple[BrowserContext, Page, CDPSession]:
        look = self.look
        passwords = {"support": self.world.support_key, "stranger": "stl_live_none"}
        context = await open_context(
            self.browser,
            viewport={"width": look.width, "height": 800},
            locale={"fi": "fi-FI", "sv": "sv-FI", "en": "en-GB"}[look.language],
            color_scheme=look.scheme,
            contrast=look.contrast,
            forced_colors=look.forced,
            java_script_enabled=look.scripts,
            http_credentials={"username": "x", "password": passwords[who]} if who in passwords else None,
        )
        if who is not None and who not in passwords:
            cookie = await self.world.cookie(who, look.language)
            await context.add_cookies([{"name": "session", "value": cookie, "url": self.world.home}])
        page = await context.new_page()
        page.on("console", lambda message: self._hear(message.type, message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        network = await context.new_cdp_session(page)
        await network.send("Network.enable")
        await network.send("Network.setCacheDisabled", {"cacheDisabled": True})
        network.on("Network.loadingFinished", lambda done: self._weigh(done["encodedDataLength"]))
        return context, page, network

    def _hear(self, kind: str, text: str) -> None:
        # Chromium reports an answer that is an error as one of the console's; what the policy refuses is one, too.
        if kind == "error" and "Failed to load resource" not in text:
            self.said.append(text)

    def _weigh(self, size: float) -> None:
        self.weight += int(size)
