"""Files of decisions as a caseworker sends them, and the worker that grants them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from io import BytesIO

from aiohttp import FormData

from service.imports.operations import grant_next
from service.vouchers.decisions import helsinki_day
from tests.browsers import HTML, Browser, csrf_of
from tests.installations import PUBLIC_URL, Installation

HEADER = "decision_ref,programme,status,client_ref,granted,valid_from,valid_to,phone\n"


def line(ref: str, phone: str = "040 123 4567", granted: int = 120) -> str:
    today = helsinki_day(datetime.now(UTC))
    return f"{ref},kotipalvelu,provisional,perhe-{ref},{granted},{today},{today + timedelta(days=60)},{phone}\n"


async def upload(browser: Browser, content: str | bytes, *, name: str = "decisions.csv") -> tuple[int, str]:
    """The status, and where it leads or what it says."""
    form = FormData()
    form.add_field("csrf", await csrf_of(await browser.get("/desk/import")))
    data = content.encode() if isinstance(content, str) else content
    form.add_field("file", BytesIO(data), filename=name, content_type="text/csv")
    answer = await browser.installation.client.post(
        "/desk/import",
        data=form,
        headers={**HTML, "Origin": PUBLIC_URL, "Cookie": f"__Host-session={browser.cookie}"},
        allow_redirects=False,
    )
    return answer.status, answer.headers.get("Location") or re.sub(r"\s+", " ", await answer.text())


async def work(here: Installation) -> None:
    """What the worker would do: everything that is due."""
    resources = here.resources
    while await grant_next(resources.pool, resources.keys, resources.settings):
        pass
