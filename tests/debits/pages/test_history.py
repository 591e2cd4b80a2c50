"""What was charged, as its people see it: all of it in the office, a worker's own of today; and taking it back."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest

from tests.debits.pages.desks import Desk, entries_of, family, sit_down, today, words_in
from tests.installations import Installation, install, settings_for


@pytest.fixture
async def here(database_url: str, redis_url: str) -> AsyncIterator[Installation]:
    async with install(settings_for(database_url, redis_url)) as installation:
        yield installation


async def charge(desk: Desk, code: str, hours: int) -> None:
    await desk.charged(await desk.open(code), f"day={today()}&hours={hours}")


async def debit_of(here: Installation, voucher_id: UUID) -> str:
    async with here.resources.pool.acquire() as conn:
        debit_id = await conn.fetchval(
            "SELECT entry_id FROM entries WHERE voucher_id = $1 AND kind = 'debit'", voucher_id
        )
    return f"/provider/history/{debit_id}"


async def test_the_office_sees_all_with_sums_and_a_worker_their_own(here: Installation) -> None:
    office = await sit_down(here, "office", "Olga Orava")
    aino, pekka = await sit_down(here, "worker", "Aino Käki"), await sit_down(here, "worker", "Pekka Tikka")
    (_, one), (_, other) = await family(here), await family(here)
    await charge(aino, one, 1)
    await charge(pekka, other, 2)
    everything = await office.text("/provider/history")
    assert "3 h 2 visits charged" in everything
    assert "Aino Käki" in everything
    assert "Pekka Tikka" in everything
    own = await aino.text("/provider/history")
    assert "Your visits today" in own
    assert "1 h 1 visit charged" in own
    assert "Pekka Tikka" not in own
    async with here.resources.pool.acquire() as conn:
        await conn.execute("UPDATE entries SET entered_at = entered_at - interval '2 days'")
    assert "You have charged nothing today" in await aino.text("/provider/history")


async def test_a_worker_opens_and_takes_back_their_own_visit_and_nobody_elses(here: Installation) -> None:
    aino, pekka = await sit_down(here, "worker", "Aino Käki"), await sit_down(here, "worker", "Pekka Tikka")
    voucher_id, code = await family(here)
    await charge(aino, code, 1)
    debit = await debit_of(here, voucher_id)
    assert (await pekka.browser.get(debit)).status == 404
    refused = await pekka.browser.submit("/provider", f"{debit}/reverse", {"reason": "mine", "part": "all"})
    assert refused.status == 404
    page = await aino.browser.get(debit)
    answer = await aino.send_form(page, f"{debit}/reverse", reason="wrong family")
    assert answer.status == 303
    assert "1 h is taken back" in await aino.text(debit)
    assert await entries_of(here, voucher_id) == [("debit", 60), ("reversal", -60)]


async def test_a_part_is_taken_back_once_and_then_another_part(here: Installation) -> None:
    office = await sit_down(here)
    voucher_id, code = await family(here)
    await charge(office, code, 3)
    debit = await debit_of(here, voucher_id)
    page = await office.browser.get(debit)
    form = {"part": "part", "hours": "1", "reason": "shorter"}
    first = await office.send_form(page, f"{debit}/reverse", **form)
    again = await office.send_form(page, f"{debit}/reverse", **form)  # sent twice: the same form
    assert (first.status, again.status) == (303, 303)
    assert await entries_of(here, voucher_id) == [("debit", 180), ("reversal", -60)]
    page = await office.browser.get(debit)
    assert "Partly taken back" in words_in(await page.text())
    await office.send_form(page, f"{debit}/reverse", **form)
    assert await entries_of(here, voucher_id) == [("debit", 180), ("reversal", -60), ("reversal", -60)]
    page = await office.browser.get(debit)
    too_much = await office.send_form(page, f"{debit}/reverse", **(form | {"hours": "2"}))
    assert too_much.status == 422
    assert "1 h is left of the debit" in words_in(await too_much.text())


@pytest.mark.parametrize(
    ("form", "words"),
    [({"reason": ""}, "Correct"), ({"reason": "x", "part": "part", "hours": ""}, "how much is taken back")],
)
async def test_taking_back_needs_a_reason_and_how_much(here: Installation, form: dict[str, str], words: str) -> None:
    office = await sit_down(here)
    voucher_id, code = await family(here)
    await charge(office, code, 1)
    debit = await debit_of(here, voucher_id)
    answer = await office.send_form(await office.browser.get(debit), f"{debit}/reverse", **form)
    assert answer.status == 400
    assert words in words_in(await answer.text())
    assert await entries_of(here, voucher_id) == [("debit", 60)]


async def test_what_is_settled_is_not_taken_back(here: Installation) -> None:
    office = await sit_down(here)
    voucher_id, code = await family(here)
    await charge(office, code, 1)
    debit = await debit_of(here, voucher_id)
    page = await office.browser.get(debit)
    async with here.resources.pool.acquire() as conn:
        await conn.execute(
            "INSERT INTO settled_entries (organiser_id, entry_id) SELECT organiser_id, entry_id FROM entries"
        )
    answer = await office.send_form(page, f"{debit}/reverse", reason="late")
    assert answer.status == 422
    assert "settled already" in words_in(await answer.text())
    assert "Take it back" not in await office.text(debit)


async def test_visits_are_searched_and_downloaded(here: Installation) -> None:
    office = await sit_down(here)
    (_, one), (_, other) = await family(here), await family(here)
    await charge(office, one, 1)
    await charge(office, other, 2)
    found = await office.text(f"/provider/history?last_four={other[-4:]}")
    assert "2 h 1 visit charged" in found
    assert "Nothing was found" in await office.text("/provider/history?to_day=2020-01-01")
    assert "2 visits charged" in await office.text(f"/provider/history?from_day={today()}&state=captured")
    page = await (await office.browser.get(f"/provider/history?last_four={other[-4:]}")).text()
    link = re.search(r'href="(/provider/history\.csv[^"]*)"', page)
    assert link is not None
    table = await office.browser.get(link[1].replace("&amp;", "&"))
    assert table.content_type == "text/csv"
    lines = (await table.text()).splitlines()
    assert len(lines) == 2
    assert other[-4:] in lines[1]


@pytest.mark.parametrize("query", ["from_day=x", "state=lost", "last_four=12", "cursor=zz", "worker=%00"])
async def test_a_search_for_nonsense_is_told_and_shows_no_error(here: Installation, query: str) -> None:
    office = await sit_down(here)
    assert (await office.browser.get(f"/provider/history?{query}")).status in (200, 400)


async def test_long_histories_go_on_from_page_to_page(here: Installation) -> None:
    office = await sit_down(here)
    for _ in range(3):
        _, code = await family(here)
        for number in range(1, 10):
            body = {"code": code, "amount": 15, "reference": f"visit {number}"}
            await here.call("9000101-4", "POST", "/v1/debits", body, key=str(uuid4()))
    page = await (await office.browser.get("/provider/history")).text()
    assert page.count("/provider/history/") == 25
    older = re.search(r'href="(/provider/history\?[^"]*cursor[^"]*)"', page)
    assert older is not None
    rest = await (await office.browser.get(older[1].replace("&amp;", "&"))).text()
    assert rest.count("/provider/history/") == 2
    assert not set(re.findall(r"/provider/history/[\w-]+", rest)) & set(re.findall(r"/provider/history/[\w-]+", page))


async def test_a_worker_has_no_table_of_everybody_and_another_provider_sees_nothing(here: Installation) -> None:
    office, worker = await sit_down(here), await sit_down(here, "worker", "Pekka Tikka")
    voucher_id, code = await family(here)
    await charge(office, code, 1)
    debit = await debit_of(here, voucher_id)
    assert (await worker.browser.get("/provider/history.csv")).status == 403
    async with here.resources.pool.acquire() as conn:
        await conn.execute(
            "UPDATE people SET provider_id = (SELECT provider_id FROM providers WHERE business_id = '9000202-5')"
        )
    assert (await office.browser.get(debit)).status == 404
    assert "Nothing was found" in await office.text("/provider/history")
