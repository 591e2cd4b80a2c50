"""Pages that are none of the service's table: the sandbox's, and the API's documentation. Skipped without Chromium."""

from __future__ import annotations

from email.message import EmailMessage
from pathlib import Path
from typing import Literal

import aiosmtplib
import pytest
from playwright.async_api import Browser

from service.sandbox.logins import LOGINS_NAME, DemoLogin, logins_as_text
from tests.chromium import IN_CHROMIUM, open_chromium, open_context
from tests.installations import install, settings_for
from tests.pages.walk import AXE, judge
from tests.sandbox.desk import Sandbox, running_sandbox

pytestmark = [
    *IN_CHROMIUM,
    pytest.mark.slow,
    pytest.mark.skipif(not AXE.exists(), reason="axe-core is not there"),
    pytest.mark.parametrize(("width", "scheme"), [(320, "dark"), (1200, "light")]),
]
Scheme = Literal["light", "dark"]
LOGIN = DemoLogin(
    "organiser", "caseworker", "Katri Kallio", "katri@kuusiranta.example", "x" * 16, "JBSWY3DPEHPK3PXP" * 2
)
HTML = '<!doctype html><html lang="fi"><head><title>Hei</title></head><body><main><h1>Hei</h1></main></body></html>'


async def faults_at(browser: Browser, addresses: dict[str, str], *, width: int, scheme: Scheme) -> list[str]:
    """`addresses` by the title that the page is to have."""
    # The policy of these pages lets no script run, not even the judge's.
    context = await open_context(
        browser, viewport={"width": width, "height": 800}, color_scheme=scheme, locale="en-GB", bypass_csp=True
    )
    page, faults = await context.new_page(), []
    for title, address in addresses.items():
        await page.goto(address)
        found = await judge(page)
        if await page.title() != title:
            found.append(f"is called {await page.title()}")
        too_wide = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
        if too_wide > 0:
            found.append(f"is {too_wide} px too wide")
        faults += [f"{title}: {fault}" for fault in found]
    await context.close()
    return faults


async def fill(sandbox: Sandbox) -> None:
    """Texts that arrive and one that does not, a mail, and somebody who signs in."""
    for number in ("+358401234567", "+358405550177"):
        for body in ("Palveluseteli 4827 0315 9268.", "Käynti veloitettu: 60 min."):
            status, _ = await sandbox.create(To=number, Body=body)
            assert status == 201
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "seteli@seteli.example", "perhe@posti.example", "Palveluseteli"
    mail.set_content("Koodi 4827 0315 9268")
    mail.add_alternative(HTML, subtype="html")
    await aiosmtplib.send(
        mail, hostname="127.0.0.1", port=sandbox.smtp_port, sender="bounce+1@seteli.example", start_tls=False
    )
    (sandbox.data / LOGINS_NAME).write_text(logins_as_text([LOGIN]))


async def test_nothing_is_wrong_with_the_sandboxs_pages(tmp_path: Path, width: int, scheme: Scheme) -> None:
    async with open_chromium() as browser, running_sandbox(tmp_path / "data") as sandbox:
        await fill(sandbox)
        # A page that looks again by itself has a link that stops it, where it is judged.
        for path in ("/", "/people"):
            async with sandbox.session.get(sandbox.url + path) as answer:
                assert f"{path}?pause" in await answer.text()
        addresses = {
            "Sandbox: phones and inbox": f"{sandbox.url}/?pause",
            "Sandbox: people and their one-time codes": f"{sandbox.url}/people?pause",
        }
        faults = await faults_at(browser, addresses, width=width, scheme=scheme)
    assert faults == [], "\n".join(faults)


async def test_nothing_is_wrong_with_the_documentation(
    database_url: str, redis_url: str, width: int, scheme: Scheme
) -> None:
    async with open_chromium() as browser, install(settings_for(database_url, redis_url)) as here:
        address = str(here.client.make_url("/docs"))
        faults = await faults_at(browser, {"Seteli API": address}, width=width, scheme=scheme)
    assert faults == [], "\n".join(faults)
