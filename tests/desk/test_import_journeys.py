"""A file in a real browser, from choosing it to its rejected rows. Skipped where no Chromium is installed."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import FilePayload, Page, expect

from tests.browsers import sign_in_as
from tests.chromium import IN_CHROMIUM
from tests.debits.pages.windows import DESKTOP, PHONE, open_window, serve
from tests.desk.files import HEADER, line, work
from tests.desk.test_journeys import picture
from tests.installations import Installation

pytestmark = [*IN_CHROMIUM, pytest.mark.slow]


def payload(content: str) -> FilePayload:
    return {"name": "päätökset.csv", "mimeType": "text/csv", "buffer": content.encode()}


async def read(file: Path) -> str:
    return await asyncio.to_thread(file.read_text, "utf-8-sig")


async def choose(page: Page, content: str) -> None:
    await page.goto("/desk/import")
    await page.get_by_label("File").set_input_files(payload(content))
    await page.get_by_role("button", name="Look at the file").click()


@pytest.mark.parametrize("viewport", [pytest.param(PHONE, id="phone"), pytest.param(DESKTOP, id="desktop")])
async def test_a_file_is_followed_to_its_end_and_its_rejected_rows_are_downloaded(
    database_url: str, redis_url: str, viewport: dict[str, int]
) -> None:
    width = viewport["width"]
    async with serve(database_url, redis_url) as here:
        person = await sign_in_as(here, "caseworker")
        async with open_window(here, person, viewport=viewport) as (_, page):
            heading = page.get_by_role("heading", level=1)
            await choose(page, "not,a,table\n1,2,3\n")
            await expect(page.get_by_role("alert")).to_contain_text("The columns on the first line do not fit")
            await choose(page, HEADER + "".join(line(f"I-{n}") for n in range(40)) + line("I-90", "014 555 0101"))
            await expect(heading).to_have_text("Grant these?")
            await expect(page.get_by_role("alert")).to_contain_text("1 would be rejected")
            await picture(page, f"import-preview-{width}")
            await page.get_by_role("button", name="Grant these").click()
            await expect(heading).to_have_text("The file is being granted")
            await picture(page, f"import-begun-{width}")
            await work(here)
            await expect(heading).to_have_text("The file is done", timeout=5_000)
            await expect(page.get_by_role("progressbar")).to_have_attribute("value", "41")
            await picture(page, f"import-done-{width}")
            async with page.expect_download() as download:
                await page.get_by_role("link", name="Download the rejected rows").click()
            kept = await read(await (await download.value).path())
            assert "phone_not_mobile" in kept
            await choose(page, kept.replace("014 555 0101", "040 555 0101"))
            await page.get_by_role("button", name="Grant these").click()
            await work(here)
            await expect(heading).to_have_text("The file is done", timeout=5_000)
            await page.goto("/desk/import")
            await picture(page, f"import-list-{width}")
        async with here.resources.pool.acquire() as conn:
            assert await conn.fetchval("SELECT count(*) FROM vouchers") == 41


async def test_a_file_needs_no_script(database_url: str, redis_url: str) -> None:
    async with serve(database_url, redis_url) as here:
        person = await sign_in_as(here, "caseworker")
        async with open_window(here, person, java_script_enabled=False) as (_, page):
            await choose(page, HEADER + line("I-1"))
            await page.get_by_role("button", name="Grant these").dblclick()
            heading = page.get_by_role("heading", level=1)
            await expect(heading).to_have_text("The file is being granted")
            await work(here)
            await expect(heading).to_have_text("The file is done", timeout=10_000)
        async with here.resources.pool.acquire() as conn:
            assert await conn.fetchval("SELECT count(*) FROM messages") == 1


@asynccontextmanager
async def worker(here: Installation) -> AsyncIterator[asyncio.subprocess.Process]:
    """A worker process like any, which may be killed."""
    settings = here.resources.settings
    told = {
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "REDIS_URL": settings.redis_url.get_secret_value(),
        "PUBLIC_URL": settings.public_url,
        "ENCRYPTION_KEYS": f"e1:{base64.b64encode(b'e' * 32).decode()}",
        "INDEX_KEYS": f"i1:{base64.b64encode(b'i' * 32).decode()}",
        "TWILIO_ACCOUNT_SID": settings.twilio_account_sid,
        "TWILIO_AUTH_TOKEN": settings.twilio_auth_token.get_secret_value(),
        "TWILIO_SENDER": settings.twilio_sender,
        "TWILIO_BASE_URL": settings.twilio_base_url,
        "SMTP_HOST": settings.smtp_host,
        "SMTP_PORT": str(settings.smtp_port),
        "EMAIL_SENDER": settings.email_sender,
        "QUIET_FROM": "0",
        "QUIET_TO": "0",
        "LOG_LEVEL": "error",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "service", "worker", env={**os.environ, **told}, cwd=Path.cwd()
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
            await process.wait()


async def rows_done(page: Page) -> int:
    return int(await page.get_by_role("progressbar").get_attribute("value") or 0)


@pytest.mark.timeout(400)
async def test_workers_killed_in_mid_import_are_not_noticed_but_by_the_clock(database_url: str, redis_url: str) -> None:
    rows = 10_000
    async with serve(database_url, redis_url) as here:
        person = await sign_in_as(here, "caseworker")
        async with open_window(here, person, viewport=DESKTOP) as (_, page):
            await choose(page, HEADER + "".join(line(f"I-{n}", granted=15) for n in range(rows)))
            await expect(page.get_by_text("10,000 rows", exact=True)).to_be_visible()
            await page.get_by_role("button", name="Grant these").click()
            before = 0
            for _ in range(3):
                async with worker(here) as process:
                    async with asyncio.timeout(90):
                        while await rows_done(page) <= before:  # noqa: ASYNC110
                            await asyncio.sleep(0.05)
                    process.send_signal(signal.SIGKILL)
                    await process.wait()
                await asyncio.sleep(1.5)
                before = await rows_done(page)
                assert 0 < before < rows
            async with worker(here):
                await expect(page.get_by_role("heading", level=1)).to_have_text("The file is done", timeout=240_000)
            facts = page.locator("#progress dl")
            await expect(facts).to_contain_text("10,000")
        async with here.resources.pool.acquire() as conn:
            for name in ("decisions", "vouchers", "codes", "messages"):
                assert await conn.fetchval(f"SELECT count(*) FROM {name}") == rows, name
            found = await conn.fetchrow("SELECT granted, already_there, rejected FROM imports")
            assert tuple(found) == (rows, 0, 0)
