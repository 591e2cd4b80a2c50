"""A file in a real browser, from choosing it to its rejected rows. Skipped where no Chromium is installed."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import FilePayload, Page, expect

from service.imports.model import CHUNK_ROWS
from tests.browsers import sign_in_as
from tests.chromium import IN_CHROMIUM
from tests.debits.pages.windows import DESKTOP, PHONE, open_window, serve, tap_twice
from tests.desk.files import HEADER, line, work
from tests.desk.test_journeys import picture
from tests.installations import Installation

pytestmark = [*IN_CHROMIUM, pytest.mark.slow]


def payload(content: str) -> FilePayload:
    return {"name": "päätökset.csv", "mimeType": "text/csv", "buffer": content.encode()}


async def read(file: Path) -> str:
    return await asyncio.to_thread(file.read_text, "utf-8-sig")


async def seen_done(page: Page) -> None:
    """The page says that the file is done, and is there anew: what can be done then stands around what has changed."""
    await expect(page.get_by_role("heading", level=1)).to_have_text("The file is done")
    await expect(page.locator("[data-source]")).to_have_count(0)


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
            await seen_done(page)
            await expect(page.get_by_role("progressbar")).to_have_attribute("value", "41")
            await picture(page, f"import-done-{width}")
            async with page.expect_download() as download:
                await page.get_by_role("link", name="Download the rejected rows").click()
            kept = await read(await (await download.value).path())
            assert "phone_not_mobile" in kept
            await choose(page, kept.replace("014 555 0101", "040 555 0101"))
            await page.get_by_role("button", name="Grant these").click()
            await expect(heading).to_have_text("The file is being granted")
            await work(here)
            await seen_done(page)
            await page.goto("/desk/import")
            await picture(page, f"import-list-{width}")
        async with here.resources.pool.acquire() as conn:
            assert await conn.fetchval("SELECT count(*) FROM vouchers") == 41


async def test_a_file_needs_no_script(database_url: str, redis_url: str) -> None:
    async with serve(database_url, redis_url) as here:
        person = await sign_in_as(here, "caseworker")
        async with open_window(here, person, java_script_enabled=False) as (_, page):
            await choose(page, HEADER + line("I-1"))
            await tap_twice(page.get_by_role("button", name="Grant these"), "**/grant")
            heading = page.get_by_role("heading", level=1)
            await expect(heading).to_have_text("The file is being granted")
            await work(here)
            await seen_done(page)
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


GIVES_UP_AFTER_S = 240.0
# A chunk's rows are granted in one transaction: it deletes the chunk first, and queues the messages almost last.
PATIENTLY = "SET LOCAL lock_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0"
KEEP_CHUNK = """
SELECT FROM import_chunks WHERE place = (SELECT place FROM import_chunks ORDER BY place OFFSET $1 LIMIT 1) FOR UPDATE
"""
KEEP_MESSAGES = "LOCK TABLE messages IN SHARE MODE"
WAITS_FOR = """
SELECT EXISTS (SELECT FROM pg_stat_activity
                WHERE datname = current_database() AND wait_event_type = 'Lock' AND position($1 IN query) > 0)
"""


@asynccontextmanager
async def keeping(here: Installation, lock: str, *arguments: int) -> AsyncIterator[None]:
    # Not by `transaction`, which hangs up on whoever is silent for too long.
    async with here.resources.pool.acquire() as conn, conn.transaction():
        await conn.execute(PATIENTLY)
        await conn.execute(lock, *arguments)
        yield


async def until_held_up(here: Installation, statement: str) -> None:
    """Return once a statement with these words waits for what is locked; a worker waits anew, lease after lease."""
    async with asyncio.timeout(GIVES_UP_AFTER_S), here.resources.pool.acquire() as conn:
        while not await conn.fetchval(WAITS_FOR, statement):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.05)


async def kill_in_mid_chunk(here: Installation, page: Page, chunks: int) -> None:
    """Let a worker go on until so many chunks are done, and kill it in the middle of the next, however fast it is."""
    async with AsyncExitStack() as next_chunk:
        await next_chunk.enter_async_context(keeping(here, KEEP_CHUNK, chunks - await chunks_done(here)))
        async with worker(here) as process:
            await expect(page.get_by_role("progressbar")).to_have_attribute(
                "value", str(chunks * CHUNK_ROWS), timeout=GIVES_UP_AFTER_S * 1000
            )
            async with keeping(here, KEEP_MESSAGES):
                await next_chunk.aclose()
                await until_held_up(here, 'COPY "messages"')
                process.send_signal(signal.SIGKILL)
                await process.wait()
    assert await chunks_done(here) == chunks


async def chunks_done(here: Installation) -> int:
    async with here.resources.pool.acquire() as conn:
        return int(await conn.fetchval("SELECT count(*) FROM vouchers")) // CHUNK_ROWS


@pytest.mark.timeout(900)
async def test_workers_killed_in_mid_import_are_not_noticed_but_by_the_clock(database_url: str, redis_url: str) -> None:
    rows = 40 * CHUNK_ROWS
    async with serve(database_url, redis_url) as here:
        person = await sign_in_as(here, "caseworker")
        async with open_window(here, person, viewport=DESKTOP) as (_, page):
            await choose(page, HEADER + "".join(line(f"I-{n}", granted=15) for n in range(rows)))
            await expect(page.get_by_text("10,000 rows", exact=True)).to_be_visible()
            await page.get_by_role("button", name="Grant these").click()
            for chunks in (9, 18, 27):
                await kill_in_mid_chunk(here, page, chunks)
            async with worker(here):
                await expect(page.get_by_role("heading", level=1)).to_have_text(
                    "The file is done", timeout=GIVES_UP_AFTER_S * 1000
                )
            facts = page.locator("#progress dl")
            await expect(facts).to_contain_text("10,000")
        async with here.resources.pool.acquire() as conn:
            for name in ("decisions", "vouchers", "codes", "messages"):
                assert await conn.fetchval(f"SELECT count(*) FROM {name}") == rows, name
            found = await conn.fetchrow("SELECT granted, already_there, rejected FROM imports")
            assert tuple(found) == (rows, 0, 0)
