"""The office's page of those who charge by text: the PIN is shown once, and nobody else's workers are."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest

from tests.debits.pages.desks import sit_down, words_in
from tests.installations import Installation, install, settings_for

WORKER = {"name": "Pekka Tikka", "phone": "040 222 3344", "language": "fi"}


@pytest.fixture
async def here(database_url: str, redis_url: str) -> AsyncIterator[Installation]:
    async with install(settings_for(database_url, redis_url)) as installation:
        yield installation


def pin_in(page: str) -> str:
    found = re.search(r'class="big pin"[^>]*>(\d{6})<', page)
    assert found is not None, words_in(page)
    return found[1]


async def test_a_worker_is_added_unlocked_and_removed_and_each_pin_is_shown_once(here: Installation) -> None:
    office = await sit_down(here)
    added = await office.browser.submit("/provider/workers", "/provider/workers", WORKER)
    pin = pin_in(await added.text())
    page = await (await office.browser.get("/provider/workers")).text()
    assert "Pekka Tikka" in page
    assert pin not in page
    assert "3344" not in page.replace("… 344", "")
    async with here.resources.pool.acquire() as conn:
        worker_id = await conn.fetchval("SELECT worker_id FROM workers")
        await conn.execute("UPDATE workers SET wrong_pins = 3, locked_at = now()")
    assert "Unlock with a new PIN" in await office.text("/provider/workers")
    unlocked = await office.browser.submit("/provider/workers", f"/provider/workers/{worker_id}/pin")
    assert pin_in(await unlocked.text())
    assert "Can charge" in await office.text("/provider/workers")
    renewed = await office.browser.submit("/provider/workers", f"/provider/workers/{worker_id}/pin")
    assert pin_in(await renewed.text())
    removed = await office.browser.submit("/provider/workers", f"/provider/workers/{worker_id}/remove")
    assert removed.status == 303
    shown = await office.text("/provider/workers")
    assert "Pekka Tikka is removed" in shown
    assert "Nobody charges by text message yet" in shown


@pytest.mark.parametrize(
    ("changes", "status", "words"),
    [
        ({"phone": "09 123 456"}, 400, "mobile number"),
        ({"name": ""}, 400, "Name"),
        ({"language": "xx"}, 400, "Language"),
    ],
)
async def test_what_cannot_be_is_told_in_the_form(
    here: Installation, changes: dict[str, str], status: int, words: str
) -> None:
    office = await sit_down(here)
    answer = await office.browser.submit("/provider/workers", "/provider/workers", WORKER | changes)
    assert answer.status == status
    assert words in words_in(await answer.text())


async def test_a_worker_has_no_such_page_and_another_office_no_such_worker(here: Installation) -> None:
    office, worker = await sit_down(here), await sit_down(here, "worker", "Aino Käki")
    assert (await worker.browser.get("/provider/workers")).status == 403
    await office.browser.submit("/provider/workers", "/provider/workers", WORKER)
    async with here.resources.pool.acquire() as conn:
        worker_id = await conn.fetchval("SELECT worker_id FROM workers")
        await conn.execute(
            "UPDATE people SET provider_id = (SELECT provider_id FROM providers WHERE business_id = '9000202-5')"
        )
    for action in ("pin", "remove"):
        answer = await office.browser.submit("/provider/workers", f"/provider/workers/{worker_id}/{action}")
        assert answer.status == 404
    taken = await office.browser.submit("/provider/workers", "/provider/workers", WORKER)
    assert taken.status == 409
