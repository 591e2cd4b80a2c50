"""Every page of the table in a real browser: nothing that axe-core finds is wrong with it, at any size, in any light.
Skipped without Chromium; without npm's axe-core everything else is looked at.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from service.app import PAGES
from tests.chromium import in_chromium, open_chromium
from tests.pages.table import NOT_LOOKED_AT, VISITS, Visit
from tests.pages.walk import AXE, Look, Walk
from tests.pages.world import furnished

# Where people spend their days. `make proofs` looks at all the others in every light, CI in five of eight.
MOST_USED = {
    "provider-code",
    "provider-visits-lookup_id-confirm",
    "desk",
    "desk-vouchers-voucher_id",
    "directory",
    "f-link",
}


def test_every_page_is_looked_at_or_there_is_a_reason_not_to() -> None:
    shown = {page.path for page in PAGES if page.method == "GET"}
    looked_at = {visit.path for visit in VISITS}
    assert shown - looked_at - set(NOT_LOOKED_AT) == set(), "add a line to tests/pages/table.py"
    assert set(NOT_LOOKED_AT) <= shown - looked_at, "a reason that is none any more"
    assert len({visit.name for visit in VISITS}) == len(VISITS)


async def walk(database_url: str, redis_url: str, look: Look, visits: Sequence[Visit] = VISITS) -> list[str]:
    async with furnished(database_url, redis_url) as world, open_chromium() as browser:
        return await Walk(browser, world, look, is_judged=AXE.exists()).go(visits)


@in_chromium
@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_the_most_used_pages_are_right_on_a_phone(database_url: str, redis_url: str) -> None:
    visits = [visit for visit in VISITS if visit.name in MOST_USED]
    assert len(visits) == len(MOST_USED)
    faults = await walk(database_url, redis_url, Look(), visits)
    assert faults == [], "\n".join(faults)


@in_chromium
@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "look",
    [
        Look("fi"),
        Look("fi", width=320, text=200),
        pytest.param(Look("sv", width=1200), marks=pytest.mark.long),
        Look("en", width=1200, scheme="dark"),
        pytest.param(Look("fi", width=360, scheme="dark", contrast="more"), marks=pytest.mark.long),
        Look("sv", width=360, contrast="more"),
        Look("en", width=360, forced="active"),
        pytest.param(Look("sv", width=320, scheme="dark", text=200), marks=pytest.mark.long),
    ],
    ids=lambda look: look.name,
)
async def test_every_page_is_right_in_every_light(database_url: str, redis_url: str, look: Look) -> None:
    faults = await walk(database_url, redis_url, look)
    assert faults == [], "\n".join(faults)
