"""What the tests of the provider's pages share: people who are signed in, vouchers, and forms read from pages."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from aiohttp import ClientResponse

from service.vouchers.decisions import helsinki_day
from tests.browsers import Browser, sign_in_as
from tests.installations import Installation

THERAPY = {"programme": "pariterapia", "granted": 5, "weekly": {"visits": 20}}
CLEANING = {"programme": "siivousapu", "granted": 20_000}


@dataclass
class Desk:
    """One person of Perhepalvelu Pihlajanmarja, at a browser."""

    here: Installation
    browser: Browser

    async def look_up(self, code: str) -> ClientResponse:
        return await self.browser.submit("/provider", "/provider", {"code": code})

    async def open(self, code: str) -> str:
        """The address of the voucher's page."""
        answer = await self.look_up(code)
        assert answer.status == 303, await answer.text()
        return answer.headers["Location"]

    async def text(self, path: str) -> str:
        answer = await self.browser.get(path)
        assert answer.status == 200, (answer.status, await answer.text())
        return words_in(await answer.text())

    async def send_form(self, page: ClientResponse, action: str, **changes: str) -> ClientResponse:
        """Send the form of a page that goes to an address, as it was shown, but for what is changed."""
        return await self.browser.post(action, form_in(await page.text(), action) | changes)

    async def charge(self, voucher: str, query: str, **changes: str) -> ClientResponse:
        """From the form's answers through the confirmation to the charge."""
        page = await self.browser.get(f"{voucher}/confirm?{query}")
        assert page.status == 200, await page.text()
        return await self.send_form(page, f"{voucher}/charge", **changes)

    async def charged(self, voucher: str, query: str) -> str:
        """The words of the receipt."""
        answer = await self.charge(voucher, query)
        assert answer.status == 303, words_in(await answer.text())
        return await self.text(answer.headers["Location"])


async def sit_down(here: Installation, role: str = "office", name: str = "Aino Käki") -> Desk:
    return Desk(here, await _of_family_services(here, role, name))


async def _of_family_services(here: Installation, role: str, name: str) -> Browser:
    """`sign_in_as` takes the first provider by name; these tests need one that does home help and therapy."""
    browser = await sign_in_as(here, role, name=name)
    async with here.resources.pool.acquire() as conn:
        await conn.execute(
            "UPDATE people SET provider_id = (SELECT provider_id FROM providers WHERE business_id = '9000101-4')"
            " WHERE provider_id IS NOT NULL"
        )
    return browser


async def family(here: Installation, **changes: Any) -> tuple[UUID, str]:
    """A voucher of the county's, and its code."""
    made = await here.decide(**changes)
    return UUID(made["voucher_id"]), await here.code_of(made["voucher_id"])


async def entries_of(here: Installation, voucher_id: UUID) -> list[tuple[str, int]]:
    async with here.resources.pool.acquire() as conn:
        rows = await conn.fetch("SELECT kind, amount FROM entries WHERE voucher_id = $1 ORDER BY entry_id", voucher_id)
    return [(row["kind"], row["amount"]) for row in rows]


def form_in(page: str, action: str) -> dict[str, str]:
    """What a browser would send of the form that goes to `action`, as it was shown."""
    found = re.search(rf'<form[^>]*action="{re.escape(action)}".*?</form>', page, re.DOTALL)
    assert found is not None, f"no form goes to {action}: {words_in(page)}"
    fields: dict[str, str] = {}
    for tag in re.findall(r"<input[^>]*>", found[0]):
        about = dict(re.findall(r'([\w-]+)="([^"]*)"', tag))
        if about.get("type") in ("radio", "checkbox") and " checked" not in tag:
            continue
        fields[about["name"]] = html.unescape(about.get("value", ""))
    return fields


def words_in(page: str) -> str:
    """What a person reads."""
    body = page.partition("<main")[2].partition("</main>")[0]
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).replace("\u00a0", " ").split())


def today() -> str:
    return helsinki_day(datetime.now(UTC)).isoformat()
