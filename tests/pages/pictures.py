"""`python -m tests.pages.pictures <data>`: takes docs/pictures anew, of a demo that runs with DATA=<data>.

Signs in as the demo's people do, goes from page to page, and leaves small PNGs. Look at each of them.
"""

from __future__ import annotations

import asyncio
import io
import json
import re
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyotp
from PIL import Image
from playwright.async_api import Browser, Page, async_playwright

from service.vouchers.decisions import helsinki_day
from tests.chromium import ARGUMENTS, find_chromium

FOLDER = Path(__file__).parents[2] / "docs" / "pictures"
COLOURS = 64
PHONE, DESKTOP = (390, 844), (1200, 900)


async def picture(page: Page, name: str, *, is_whole: bool = True) -> None:
    """A PNG with few colours: pages have few, and the repository keeps every version of it."""
    png = await page.screenshot(full_page=is_whole)
    few = Image.open(io.BytesIO(png)).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    few.save(FOLDER / f"{name}.png", optimize=True)


@asynccontextmanager
async def signed_in(browser: Browser, home: str, login: dict[str, Any], size: tuple[int, int]) -> AsyncIterator[Page]:
    context = await browser.new_context(
        base_url=home, viewport={"width": size[0], "height": size[1]}, locale="en-GB", timezone_id="Europe/Helsinki"
    )
    page = await context.new_page()
    await page.goto("/sign-in?lang=en")
    await page.fill("#email", login["email"])
    await page.fill("#password", login["password"])
    await page.click("main button.main")
    await page.fill("#code", pyotp.TOTP(login["totp_secret"]).at(time.time()))
    await page.click("main button.main")
    yield page
    await context.close()


async def fill_in(page: Page, phone: str, number: str) -> None:
    await page.goto("/desk")
    await page.get_by_label("How much in all").fill("12")
    await page.get_by_label("Times a week, at most").fill("2")
    await page.get_by_label("Last day").fill(str(helsinki_day(datetime.now(UTC)) + timedelta(days=90)))
    await page.get_by_label("Mobile phone").fill(phone)
    await page.get_by_label("Decision reference").fill(f"KH-{number}")
    await page.get_by_label("Client reference").fill(f"perhe-{number}")
    await page.get_by_label("Initials").fill("M. V.")


async def of_the_desk(page: Page, phone: str) -> None:
    """A decision from the form to the phone, and on a phone the beginnings of another for the same family."""
    number = int(time.time() % 1e6)
    await fill_in(page, phone, str(number))
    await picture(page, "desk-decision")
    await page.get_by_role("button", name="See the text").click()
    await picture(page, "desk-preview")
    await page.get_by_role("button", name="Grant and send").click()
    await page.get_by_role("heading", name="The code has arrived").wait_for()
    await picture(page, "desk-delivery")
    await page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    await fill_in(page, phone, str(number + 1))
    await page.get_by_role("button", name="See the text").click()
    await page.get_by_role("alert").wait_for()
    await picture(page, "desk-warning")
    await page.set_viewport_size({"width": DESKTOP[0], "height": DESKTOP[1]})


def faulty_file(number: int) -> str:
    """Decisions of which some would be rejected."""
    today = helsinki_day(datetime.now(UTC))
    days = f"{today},{today + timedelta(days=90)}"
    rows = [f"KT-{number}-{row},kotipalvelu,provisional,perhe-{row},720,{days},0405561{row:03}" for row in range(38)]
    rows += [
        f"KT-{number}-38,kotipalvelu,provisional,perhe-38,720,{days},014 555 0101",
        f"KT-{number}-39,kotipalvelu,provisional,perhe-39,725,{days},0405561039",
    ]
    return "\n".join(["decision_ref,programme,status,client_ref,granted,valid_from,valid_to,phone", *rows])


async def of_an_import(page: Page) -> None:
    """A file as it is looked at before anything is granted; it is discarded."""
    await page.goto("/desk/import")
    content = faulty_file(int(time.time() % 1e6)).encode()
    await page.get_by_label("File").set_input_files(
        {"name": "uudet-päätökset.csv", "mimeType": "text/csv", "buffer": content}
    )
    await page.get_by_role("button", name="Look at the file").click()
    await page.get_by_role("heading", name="Grant these?").wait_for()
    await picture(page, "desk-import-preview")
    await page.get_by_role("button", name="Discard the file").click()


async def of_the_vouchers(page: Page, reference: str) -> None:
    await page.goto("/desk/vouchers")
    await page.get_by_label("Find a voucher").fill(reference)
    await page.get_by_role("button", name="Search").click()
    await page.get_by_role("table").get_by_role("link").first.click()
    await page.get_by_role("heading", name=f"Voucher {reference}").wait_for()
    await picture(page, "desk-voucher")
    await page.goto("/desk/attention")
    await picture(page, "desk-attention", is_whole=False)
    await page.get_by_role("link", name="Clear it up").first.click()
    await picture(page, "desk-dispute")


async def of_the_office(page: Page) -> None:
    """What an organiser's admin looks at: the weeks, the region, a file, next year's rules, an approval of its own."""
    for name, path in (
        ("overview", "/desk/overview"),
        ("overview-region", "/desk/overview/region"),
        ("desk-import", "/desk/import"),
        ("desk-programme", "/desk/programmes/kotipalvelu"),
    ):
        await page.goto(path)
        await picture(page, name)
    await page.goto("/desk/import")
    await page.get_by_role("table").get_by_role("link").first.click()
    await picture(page, "desk-import-done")
    await page.goto("/desk/providers/9000404-7")
    await page.get_by_text("End approvals").click()
    await page.get_by_label("Why").fill("asks for it")
    await page.get_by_role("button", name="See whom it concerns").click()
    await picture(page, "desk-provider-end")


async def of_the_overview_in_the_dark(page: Page) -> None:
    await page.emulate_media(color_scheme="dark")
    await page.goto("/desk/overview")
    await page.get_by_role("button", name="Suomi").click()
    await page.get_by_role("heading", name="Katsaus").wait_for()
    await picture(page, "overview-dark")
    await page.get_by_role("button", name="English").click()
    await page.get_by_role("heading", name="Overview").wait_for()
    await page.emulate_media(color_scheme="light")


async def of_the_public_pages(browser: Browser, told: dict[str, Any]) -> None:
    """The directory, and the sandbox's phones with what has just arrived."""
    context = await browser.new_context(viewport={"width": DESKTOP[0], "height": DESKTOP[1]}, locale="en-GB")
    page = await context.new_page()
    listed = f"{told['base_url']}/directory?organiser=leppalahti&programme=kotipalvelu"
    await page.goto(f"{listed}&lang=fi")
    await picture(page, "directory")
    await page.goto(f"{listed}&lang=en")
    for number in (1, 2):
        await page.get_by_role("checkbox", name="Compare").nth(number).check()
    await page.get_by_role("button", name="Compare").click()
    await page.get_by_role("heading", name="Compare providers").wait_for()
    await picture(page, "directory-compare")
    await page.goto(told["sandbox_url"])
    await page.frame_locator("iframe").first.locator("h1, h2, p").first.wait_for()  # the mail, beside the phones
    await picture(page, "phone", is_whole=False)
    await context.close()


async def of_a_family(browser: Browser, told: dict[str, Any]) -> None:
    """The page behind the newest link that the sandbox's inbox has, on a phone."""
    context = await browser.new_context(
        base_url=told["base_url"], viewport={"width": PHONE[0], "height": PHONE[1]}, locale="en-GB"
    )
    page = await context.new_page()
    answer = await page.request.get(f"{told['sandbox_url']}/mail")
    links = re.findall(r"/f/[\w-]{80,}", json.dumps(await answer.json()))
    await page.goto(f"{links[-1]}?lang=en")
    await picture(page, "family")
    await context.close()


async def of_the_provider(page: Page, code: str) -> None:
    await page.goto("/provider")
    await picture(page, "provider-code")
    await page.get_by_label("The family's code").fill(code)
    await page.get_by_role("button", name="Look up").click()
    await page.get_by_text("Left on the voucher").wait_for()
    await picture(page, "provider-voucher")
    await page.get_by_label("Hours").fill("2")
    await page.get_by_role("button", name="Continue").click()
    await picture(page, "provider-confirm")
    await page.locator("form[action$='/charge'] button").click()
    await page.get_by_role("heading", name="The visit is charged").wait_for()
    await picture(page, "provider-receipt")


async def code_sent_to(page: Page, sandbox: str, phone: str) -> str:
    """What the family reads on its phone."""
    answer = await page.request.get(f"{sandbox}/messages", params={"to": phone})
    texts = " ".join(message["body"] for message in await answer.json())
    return re.findall(r"\d{4} \d{4} \d{4}", texts)[-1]


async def run(told: dict[str, Any]) -> None:
    home, today = told["base_url"], helsinki_day(datetime.now(UTC))
    phone = f"04055{int(time.time()) % 100000:05}"  # of a family that has nothing yet
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=find_chromium(), args=ARGUMENTS)
        async with signed_in(browser, home, told["desk_login"], DESKTOP) as page:
            await of_the_desk(page, phone)
            await of_the_public_pages(browser, told)
            await of_the_office(page)
            await of_the_vouchers(page, f"KP-{today:%y%m%d}-02")
            await of_an_import(page)
            await of_the_overview_in_the_dark(page)
            code = await code_sent_to(page, told["sandbox_url"], f"+358{phone[1:]}")
        await of_a_family(browser, told)
        async with signed_in(browser, home, told["provider_login"], PHONE) as page:
            await of_the_provider(page, code)
            await page.set_viewport_size({"width": DESKTOP[0], "height": DESKTOP[1]})
            await page.goto("/provider/history")
            await picture(page, "provider-history", is_whole=False)
        await browser.close()


if __name__ == "__main__":
    asyncio.run(run(json.loads((Path(sys.argv[1]) / "demo.json").read_text("utf-8"))))
