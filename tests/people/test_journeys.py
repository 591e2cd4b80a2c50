"""A person's whole way in and out in a real browser, on a phone and on a desktop; skipped without Chromium."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Literal

import pyotp
import pytest
from playwright.async_api import Page, expect

from service.db import transaction
from service.people.operations import links
from service.sandbox.sample import COUNTY
from tests.browsers import sign_in_as
from tests.chromium import IN_CHROMIUM, open_chromium, open_context
from tests.debits.pages.windows import serve
from tests.installations import Installation

PASSWORD = "neljä sanaa riittää hyvin"
PICTURES = os.environ.get("SETELI_PICTURES")
SIZES = {"phone": (360, 740), "desktop": (1200, 900)}

pytestmark = [*IN_CHROMIUM, pytest.mark.slow]


HOST = "localhost"  # as the demo runs: over plain HTTP, passkeys work at that name alone, and are bound to it


async def arrive(page: Page, heading: str) -> None:
    """Wait until the next page is there: a click returns before that."""
    await expect(page.get_by_role("heading", level=1)).to_have_text(heading)


async def picture(page: Page, name: str) -> None:
    """Keep what is seen, where asked to; and never let a page be wider than its screen."""
    await page.wait_for_load_state()  # with its styles
    width = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert width <= 0, f"{name}: {width} px too wide"
    if PICTURES:
        await page.screenshot(path=str(Path(PICTURES) / f"{name}.png"), full_page=True)


async def invitation(installation: Installation, *, language: str, role: str = "organiser_admin") -> str:
    async with transaction(installation.resources.pool) as conn:
        owner_id = await conn.fetchval("SELECT organiser_id FROM organisers WHERE slug = $1", COUNTY)
        found = await links.invite(
            conn,
            installation.resources.keys,
            owner="organiser",
            owner_id=owner_id,
            role=role,
            name="Aino Käki",
            email=f"aino.kaki.{language}@seteli.test",
            language=language,
            inviter="Kuusirannan hyvinvointialue",
            actor="test",
        )
    return f"{installation.resources.settings.public_url}/invitation/{found.token}"


async def wait_for_another_code(installation: Installation) -> None:
    async with transaction(installation.resources.pool) as conn:
        await conn.execute("UPDATE people SET totp_step = totp_step - 3")


@pytest.mark.parametrize(
    ("size", "has_scripts"),
    [
        ("phone", True),
        ("phone", False),
        ("desktop", True),
        ("desktop", False),
    ],
)
async def test_from_the_invitation_to_signing_out(
    database_url: str, redis_url: str, size: str, has_scripts: bool
) -> None:
    name = f"{size}{'' if has_scripts else '-no-scripts'}"
    width, height = SIZES[size]
    async with serve(database_url, redis_url, host=HOST) as installation, open_chromium() as chromium:
        context = await open_context(
            chromium,
            viewport={"width": width, "height": height},
            locale="fi-FI",
            java_script_enabled=has_scripts,
        )
        page = await context.new_page()
        problems: list[str] = []
        page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        look = picture if has_scripts else _no_picture
        await page.goto(await invitation(installation, language="fi"))
        await look(page, f"{name}-1-invitation")
        await page.fill("#password", "salasana1234")
        await page.click("main button")
        await expect(page.get_by_role("alert")).to_have_count(1)
        await look(page, f"{name}-2-refused")
        await page.fill("#password", PASSWORD)
        await page.click("main button")
        await arrive(page, "Toisen vaiheen käyttöönotto")
        await page.click("summary:has-text('En voi')")
        await expect(page.locator(".key")).to_be_visible()
        app = pyotp.TOTP((await page.inner_text(".key")).replace(" ", ""))
        await look(page, f"{name}-3-set-up")
        await page.fill("#code", app.now())
        await page.click("ol.steps button")
        await arrive(page, "Varakoodisi")
        await look(page, f"{name}-4-recovery-codes")
        recovery_code = await page.locator("ul.codes li").first.inner_text()
        await page.click("a.main")
        await arrive(page, "Uusi päätös")
        await expect(page).to_have_url(re.compile("/desk$"))
        await page.goto(f"{installation.resources.settings.public_url}/people")
        await look(page, f"{name}-5-people")
        await page.click("a.main")
        await arrive(page, "Kutsu henkilö")
        await page.fill("#name", "Veli Virta")
        await page.fill("#email", "veli.virta@seteli.test")
        await look(page, f"{name}-6-invite")
        await page.click("main button")
        await expect(page.get_by_role("status")).to_contain_text("Veli Virta")
        await look(page, f"{name}-7-invited")
        await page.click("td a:has-text('Veli Virta')")
        await arrive(page, "Veli Virta")
        await look(page, f"{name}-8-person")
        await page.click("summary.who, .who summary")
        await look(page, f"{name}-9-menu")
        await page.click(".who-menu a")
        await arrive(page, "Omat tiedot")
        await look(page, f"{name}-10-account")
        await page.click(".who summary")
        await page.click(".who-menu button")
        await arrive(page, "Kirjaudu")
        await look(page, f"{name}-11-signed-out")
        await page.go_back()
        assert "/sign-in" in page.url, "the back button shows nothing of an ended session"
        await page.goto(f"{installation.resources.settings.public_url}/sign-in")
        await page.fill("#email", "aino.kaki.fi@seteli.test")
        await page.fill("#password", PASSWORD)
        await page.click("main button.main")
        await arrive(page, "Toinen vaihe")
        await look(page, f"{name}-12-second-step")
        await wait_for_another_code(installation)
        await page.fill("#code", app.now())
        await page.click("main button.main")
        await arrive(page, "Uusi päätös")
        await expect(page).to_have_url(re.compile("/desk$"))
        await page.click("footer button[lang=sv]")
        await expect(page.locator("html")).to_have_attribute("lang", "sv")
        await look(page, f"{name}-13-swedish")
        assert re.fullmatch(r"[A-Z0-9]{4}(-[A-Z0-9]{4}){3}", recovery_code)
        refused = [text for text in problems if "400" not in text]
        assert refused == [], "the policy refused something, or a script failed"
        await context.close()


async def _no_picture(page: Page, name: str) -> None:
    return None


async def test_a_passkey_is_made_and_used_as_the_second_step(database_url: str, redis_url: str) -> None:
    async with serve(database_url, redis_url, host=HOST) as installation, open_chromium() as chromium:
        home = installation.resources.settings.public_url
        context = await open_context(chromium, viewport={"width": 360, "height": 740}, locale="en-GB")
        page = await context.new_page()
        devices = await context.new_cdp_session(page)
        await devices.send("WebAuthn.enable")
        authenticator = {"protocol": "ctap2", "transport": "internal", "hasUserVerification": True}
        authenticator |= {"isUserVerified": True, "automaticPresenceSimulation": True}
        await devices.send("WebAuthn.addVirtualAuthenticator", {"options": authenticator})
        await page.goto(await invitation(installation, language="en"))
        await page.fill("#password", PASSWORD)
        await page.click("main button")
        await page.click("[data-passkey=make] button")
        await arrive(page, "Your recovery codes")
        await page.click("a.main")
        await arrive(page, "New decision")
        await page.goto(f"{home}/account")
        await picture(page, "phone-passkey-account")
        await expect(page.locator("main")).to_contain_text("Passkey: Chrome")
        await expect(page.locator("form[action$='/remove']")).to_have_count(1)
        await page.click("form[action$='/remove'] button")
        await expect(page.get_by_role("alert")).to_contain_text("only second step")
        await page.goto(f"{home}/account")
        await page.click(".who summary")
        await page.click(".who-menu button")
        await arrive(page, "Sign in")
        await page.fill("#email", "aino.kaki.en@seteli.test")
        await page.fill("#password", PASSWORD)
        await page.click("main button.main")
        await arrive(page, "Second step")
        await picture(page, "phone-passkey-second-step")
        await page.click("[data-passkey=use] button")
        await arrive(page, "New decision")
        await expect(page).to_have_url(re.compile("/desk$"))
        await context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_at_320_px_with_large_text_nothing_is_cut_off(
    database_url: str, redis_url: str, scheme: Literal["light", "dark"]
) -> None:
    async with serve(database_url, redis_url, host=HOST) as installation, open_chromium() as chromium:
        home = installation.resources.settings.public_url
        context = await open_context(
            chromium, viewport={"width": 320, "height": 640}, locale="fi-FI", color_scheme=scheme
        )
        token = (await sign_in_as(installation, "organiser_admin", language="fi")).cookie
        assert token is not None
        page = await context.new_page()
        for path in ("/sign-in", "/sign-in/forgotten", "/nowhere"):
            await page.goto(home + path)
            await page.evaluate("document.documentElement.style.fontSize = '225%'")
            await picture(page, f"narrow-{scheme}{path.replace('/', '-')}")
        await context.add_cookies([{"name": "session", "value": token, "url": home}])
        for path in ("/account", "/people", "/people/invite", "/account/password", "/account/app"):
            await page.goto(home + path)
            await page.evaluate("document.documentElement.style.fontSize = '225%'")
            await picture(page, f"narrow-{scheme}{path.replace('/', '-')}")
        await context.close()


async def test_which_cookies_chromium_takes_over_plain_http(database_url: str, redis_url: str) -> None:
    """Why the name has no prefix there: the session's cookie has to work in every browser on the sandbox's machine."""
    async with serve(database_url, redis_url, host=HOST) as installation, open_chromium() as chromium:
        context = await open_context(chromium)
        page = await context.new_page()
        await page.goto(f"{installation.resources.settings.public_url}/sign-in")
        cookies = await context.cookies()
        assert [cookie["name"] for cookie in cookies] == ["session"]
        assert cookies[0]["httpOnly"]
        assert cookies[0]["sameSite"] == "Lax"
        await context.close()
