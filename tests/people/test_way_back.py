"""The way back in for who forgot the password and lost the phone, in a real browser; and signing another device out."""

from __future__ import annotations

import re

import pyotp
import pytest
from playwright.async_api import Page, expect

from service.db import transaction
from service.people.operations import links
from tests.chromium import IN_CHROMIUM
from tests.debits.pages.windows import DESKTOP, PHONE, open_window, serve
from tests.installations import Installation
from tests.people.test_journeys import PASSWORD, invitation

pytestmark = [
    *IN_CHROMIUM,
    pytest.mark.slow,
]
EMAIL = "aino.kaki.en@seteli.test"
NEW_PASSWORD = "viisi uutta sanaa tälle"


async def join(here: Installation, page: Page) -> str:
    """Accept the invitation, set an app up; returns a recovery code."""
    await page.goto(await invitation(here, language="en"))
    await page.get_by_label("Choose a password").fill(PASSWORD)
    await page.get_by_role("button", name="Continue").click()
    await page.locator("ol.steps summary").click()
    await expect(page.locator(".key")).to_be_visible()
    app = pyotp.TOTP((await page.inner_text(".key")).replace(" ", ""))
    await page.locator("#code").fill(app.now())
    await page.locator("ol.steps button").click()
    code = await page.locator("ul.codes li").first.inner_text()
    await page.goto("/account")
    await expect(page.get_by_role("heading", level=1)).to_have_text("My account")
    return code


async def mailed_link(here: Installation) -> str:
    """What stands in the mail that was asked for."""
    async with transaction(here.resources.pool) as conn:
        link_id = await conn.fetchval(
            "SELECT link_id FROM mailed_links WHERE kind = 'recovery' ORDER BY created_at DESC"
        )
        assert link_id is not None, "no mail is on its way"
        fields = await links.link_fields(here.resources.keys, "", conn, [(link_id, link_id)])
    return fields[link_id]["link"]


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
@pytest.mark.parametrize("viewport", [PHONE, DESKTOP], ids=["phone", "desktop"])
async def test_a_forgotten_password_and_a_lost_phone_are_no_end(
    database_url: str, redis_url: str, viewport: dict[str, int], scripts: bool
) -> None:
    async with serve(database_url, redis_url) as here:
        home = here.resources.settings.public_url
        async with (
            open_window(here, None, viewport=viewport) as (old, _),
            open_window(here, None, viewport=viewport, java_script_enabled=scripts) as (_, page),
        ):
            lost_phone = await old.new_page()
            recovery_code = await join(here, lost_phone)
            await page.goto("/sign-in")
            await page.get_by_role("link", name="Forgotten password").click()
            await page.get_by_label("E-mail address").fill(EMAIL)
            await page.get_by_role("button").filter(has_text="Send").click()
            await expect(page.get_by_role("status")).to_contain_text("a link")
            await page.goto(await mailed_link(here))
            await page.get_by_label("New password").fill(NEW_PASSWORD)
            await page.locator("main button.main").click()
            await expect(page.get_by_role("status")).to_contain_text("Your new password is kept")
            await page.get_by_label("E-mail address").fill(EMAIL)
            await page.get_by_label("Password").fill(NEW_PASSWORD)
            await page.get_by_role("button", name="Continue").click()
            await page.get_by_text("I have neither my phone nor my passkey").click()
            await page.get_by_label("Recovery code").fill(recovery_code.lower())
            await page.get_by_role("button", name="Sign in with the recovery code").click()
            await expect(page.get_by_role("heading", level=1)).to_have_text("My account")
            await expect(page.get_by_text("9 codes are left")).to_be_visible()
            await lost_phone.goto("/account")  # a new password signs out everywhere else
            await expect(lost_phone).to_have_url(re.compile(f"^{home}/sign-in"))


async def test_a_device_is_signed_out_from_another(database_url: str, redis_url: str) -> None:
    async with (
        serve(database_url, redis_url) as here,
        open_window(here, None) as (_, left_behind),
        open_window(here, None) as (_, page),
    ):
        code = await join(here, left_behind)
        await page.goto("/sign-in")
        await page.get_by_label("E-mail address").fill(EMAIL)
        await page.get_by_label("Password").fill(PASSWORD)
        await page.get_by_role("button", name="Continue").click()
        await page.get_by_text("I have neither my phone nor my passkey").click()
        await page.get_by_label("Recovery code").fill(code)
        await page.get_by_role("button", name="Sign in with the recovery code").click()
        await page.get_by_role("button", name="Sign out Chrome").click()
        await expect(page.get_by_text("This device")).to_be_visible()
        await expect(page.get_by_role("button", name="Sign out Chrome")).to_have_count(0)
        await left_behind.goto("/account")
        await expect(left_behind).to_have_url(re.compile("/sign-in"))
