"""This machine's Chromium: one for all tests of a worker, each of which opens windows of its own in it.

Starting a browser costs seconds of processor time, a window of it (a context, which shares no cookie and no cache with
any other) a fraction of one. A module whose tests need a browser says `pytestmark = [*IN_CHROMIUM, pytest.mark.slow]`:
they are skipped where there is none, and not in `make test`, where one journey is enough. It lives on the loop of the
whole run, as all tests do.

A test opens its windows with `open_context`. What a page shows it asks with `expect`, and also waits with it for the
next page before it looks at that page's address or layout: a click returns before what it leads to is there.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest
from playwright.async_api import Browser, BrowserContext, Playwright, async_playwright, expect

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
PATIENCE_MS = 90_000
"""For whatever a page is waited for: on a machine that does much else, seconds are no sign that it will not come."""
expect.set_options(timeout=PATIENCE_MS)


def find_chromium() -> str | None:
    """The path that SETELI_CHROMIUM names, or the first of the usual names that is installed."""
    named = os.environ.get("SETELI_CHROMIUM")
    if named:
        return named
    return next((found for name in NAMES if (found := shutil.which(name))), None)


IN_CHROMIUM = [
    pytest.mark.skipif(find_chromium() is None, reason="Chromium is not installed"),
    pytest.mark.usefixtures("chromium"),
]
Test = TypeVar("Test", bound=Callable[..., Awaitable[None]])


def in_chromium(test: Test) -> Test:
    """IN_CHROMIUM for one test of a module whose others need no browser."""
    for mark in IN_CHROMIUM:
        test = mark(test)
    return test


@dataclass(frozen=True)
class _Shared:
    playwright: Playwright
    browser: Browser


_shared: list[_Shared] = []  # one, while the fixture `chromium` is in use


async def launch(playwright: Playwright, arguments: Sequence[str] = ()) -> Browser:
    return await playwright.chromium.launch(
        executable_path=find_chromium(), args=[*ARGUMENTS, *arguments], timeout=PATIENCE_MS
    )


async def open_context(browser: Browser, **options: Any) -> BrowserContext:
    """Windows that share their cookies with each other and with nobody else; the caller closes them."""
    context = await browser.new_context(**options)
    context.set_default_timeout(PATIENCE_MS)
    return context


@asynccontextmanager
async def shared_chromium() -> AsyncIterator[Browser]:
    """For the fixture `chromium`: one browser until the end of the session."""
    async with async_playwright() as playwright:
        browser = await launch(playwright)
        _shared.append(_Shared(playwright, browser))
        try:
            yield browser
        finally:
            _shared.clear()
            await browser.close()


@asynccontextmanager
async def open_chromium(*, arguments: Sequence[str] = ()) -> AsyncIterator[Browser]:
    """The worker's browser; one for the block alone where `arguments` are needed, or an earlier test has crashed it."""
    [here] = _shared
    if not arguments and here.browser.is_connected():
        yield here.browser
        return
    browser = await launch(here.playwright, arguments)
    try:
        yield browser
    finally:
        await browser.close()
