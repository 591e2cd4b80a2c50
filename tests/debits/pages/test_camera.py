"""A QR code of ours before the camera of a real browser: with a reader of its own, and with the one that npm brought.

Chromium shows a picture as its camera. Debian's reads no QR codes by itself, so what reads them there is npm's `qr`; a
browser that does (most Android phones) is played by a detector of the test's.
"""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from PIL import Image
from playwright.async_api import BrowserContext, Page, expect

from service.channels.rendering import qr_png
from service.debits.pages import looking_up
from service.web.pages import third_party_address
from tests.browsers import Browser
from tests.chromium import IN_CHROMIUM, PATIENCE_MS, open_chromium, open_context
from tests.debits.pages.desks import family, sit_down
from tests.debits.pages.windows import PHONE, serve
from tests.installations import Installation

pytestmark = [
    *IN_CHROMIUM,
    pytest.mark.skipif(third_party_address("qr/decode.js") is None, reason="npm brought nothing"),
]
WIDTH, HEIGHT = 640, 480
OWN_READER = """window.BarcodeDetector = class {
  static async getSupportedFormats() { return [%s]; }
  async detect() { return [{ rawValue: "https://seteli.test/provider#%s" }]; }
}"""


@pytest.fixture
async def here(database_url: str, redis_url: str) -> AsyncIterator[Installation]:
    async with serve(database_url, redis_url) as installation:
        yield installation


def film(text: str, path: Path) -> list[str]:
    """The arguments of a Chromium before whose camera somebody holds the QR code from our letter."""
    code = Image.open(io.BytesIO(qr_png(text))).convert("L").resize((300, 300))
    picture = Image.new("L", (WIDTH, HEIGHT), 150)
    picture.paste(code.rotate(8, expand=True, fillcolor=150, resample=Image.Resampling.BICUBIC), (150, 60))
    colours = b"\x80" * (WIDTH * HEIGHT // 2)
    head = f"YUV4MPEG2 W{WIDTH} H{HEIGHT} F10:1 Ip A1:1 C420jpeg\n".encode()
    path.write_bytes(head + (b"FRAME\n" + picture.tobytes() + colours) * 2)
    return ["--use-fake-device-for-media-stream", f"--use-file-for-fake-video-capture={path}"]


@asynccontextmanager
async def browser_with(
    arguments: Sequence[str], here: Installation, person: Browser, *, may: Sequence[str] = ("camera",)
) -> AsyncIterator[BrowserContext]:
    base = str(here.client.make_url("")).rstrip("/")
    async with open_chromium(arguments=arguments) as chromium:
        context = await open_context(chromium, base_url=base, viewport=PHONE, locale="en-GB", permissions=list(may))
        assert person.cookie is not None
        await context.add_cookies([{"name": "session", "value": person.cookie, "url": base}])
        yield context
        await context.close()


async def open_camera(page: Page) -> None:
    await page.goto("/provider")
    await page.get_by_role("button", name="Read with the camera").click()


async def until(page: Page, condition: str) -> None:
    """Wait for what only a script can see; `wait_for_function` needs what the page's policy forbids."""
    async with asyncio.timeout(PATIENCE_MS / 1000):
        while not await page.evaluate(condition):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.05)


@pytest.mark.slow
async def test_a_code_before_the_camera_opens_its_voucher(here: Installation, tmp_path: Path) -> None:
    _, code = await family(here)
    digits = code.replace(" ", "")
    desk = await sit_down(here, "worker")
    camera = film(f"{here.resources.settings.public_url}/provider#{digits}", tmp_path / "camera.y4m")
    async with browser_with(camera, here, desk.browser) as context:
        for own, is_fetched in ((None, True), ("", True), ("'qr_code'", False)):
            page = await context.new_page()
            problems: list[str] = []
            asked: list[str] = []
            page.on("console", lambda message, seen=problems: seen.append(message.text))
            page.on("request", lambda request, seen=asked: seen.append(request.url))
            if own is not None:
                await page.add_init_script(OWN_READER % (own, digits))
            await page.goto("/provider")
            assert not any("third-party" in address for address in asked), "loaded before anybody asked for it"
            await page.get_by_role("button", name="Read with the camera").click()
            await expect(page.get_by_role("heading", level=1)).to_have_text("Home help")
            await expect(page).to_have_url(re.compile(r"/provider/visits/[\w-]{36}$"))
            assert any("third-party" in address for address in asked) == is_fetched
            assert not any(digits in address for address in asked)
            assert problems == [], "the policy refused something"
            await page.close()


@pytest.mark.slow
async def test_a_code_of_another_kind_is_looked_past_and_the_camera_closes(here: Installation, tmp_path: Path) -> None:
    desk = await sit_down(here, "worker")
    async with browser_with(film("https://elsewhere.test/12", tmp_path / "camera.y4m"), here, desk.browser) as context:
        page = await context.new_page()
        await page.goto("/provider")
        async with page.expect_response("**/third-party/**"):
            await page.get_by_role("button", name="Read with the camera").click()
        note = page.locator("#camera-note")
        await expect(note).to_have_text("Point the camera at the QR code.")
        # Some frames go by the reader, however long that takes.
        shown = await page.evaluate("document.getElementById('camera-view').currentTime")
        await until(page, f"document.getElementById('camera-view').currentTime > {shown} + 1")
        assert page.url.endswith("/provider")
        await page.get_by_role("button", name="Close the camera").click()
        await expect(note).to_have_text("")
        await until(page, "!document.getElementById('camera-view').srcObject.active")
        await page.get_by_role("button", name="Read with the camera").click()
        await expect(note).to_have_text("Point the camera at the QR code.")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("may", "arguments", "told"),
    [
        ((), ["--use-fake-device-for-media-stream"], "This page may not use the camera. Allow it"),
        (("camera",), [], "No camera was found. Type the code."),
    ],
    ids=["denied", "none"],
)
async def test_without_a_camera_a_sentence_leads_back_to_the_field(
    here: Installation, may: Sequence[str], arguments: Sequence[str], told: str
) -> None:
    desk = await sit_down(here, "worker")
    async with browser_with(arguments, here, desk.browser, may=may) as context:
        page = await context.new_page()
        await open_camera(page)
        await expect(page.locator("#camera-note")).to_contain_text(told)
        await expect(page.get_by_label("The family's code")).to_be_focused()
        await expect(page.locator("#camera-view")).to_be_hidden()


@pytest.mark.slow
async def test_where_the_reader_is_missing_there_is_no_button_or_a_sentence(
    here: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = await sit_down(here, "worker")
    async with browser_with(film("nothing", tmp_path / "camera.y4m"), here, desk.browser) as context:
        page = await context.new_page()
        await context.route("**/third-party/**", lambda route: route.abort())
        await open_camera(page)
        await expect(page.locator("#camera-note")).to_have_text("The camera cannot be used. Type the code.")
        await until(page, "!document.getElementById('camera-view').srcObject.active")
        monkeypatch.setattr(looking_up, "third_party_address", lambda name: None)
        await page.goto("/provider")
        await expect(page.get_by_role("button", name="Look up")).to_be_visible()
        await expect(page.locator("#camera")).to_be_hidden()
