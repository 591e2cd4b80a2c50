"""A visit that is disputed, and a cancelled voucher that is put right, at the desk."""

from __future__ import annotations

from datetime import date, timedelta

from tests.browsers import Browser, sign_in_as
from tests.debits.pages.desks import today, words_in
from tests.desk.test_vouchers import press, state_of
from tests.installations import Installation

PROVIDER = "9000101-4"


async def charge(here: Installation, voucher_id: str) -> str:
    body = {"code": await here.code_of(voucher_id), "amount": 60}
    answer = await here.call(PROVIDER, "POST", "/v1/debits", body, key=f"visit-{voucher_id}")
    return str((await answer.json())["debit_id"])


async def words_of(browser: Browser, page: str) -> str:
    return words_in(await (await browser.get(page)).text())


async def test_a_disputed_visit_is_shown_and_a_caseworker_says_that_it_stands(here: Installation) -> None:
    made = await here.decide()
    base, debit = f"/desk/vouchers/{made['voucher_id']}", await charge(here, made["voucher_id"])
    other = await here.decide(decision_ref="KH-other")
    browser = await sign_in_as(here, "supervisor")
    dispute, resolve = f"{base}/visits/{debit}/dispute", f"{base}/visits/{debit}/resolve"
    wrong = f"/desk/vouchers/{other['voucher_id']}/visits/{debit}/dispute"
    assert (await browser.get(wrong)).status == 404, "not of this voucher"
    assert "No dispute of this visit is open" in await words_of(browser, resolve)
    assert await press(browser, dispute, reason="nobody came") == (303, base)
    assert "already" in await words_of(browser, dispute)
    assert "Your organisation says that this visit was not so" in await words_of(browser, base)
    listed = await (await browser.get("/desk/attention")).text()
    assert resolve in listed
    assert "nobody came" in listed
    assert "/desk/attention/" not in listed.split("<main")[1], "the dispute's own page ends it"
    status, _ = await press(browser, resolve, reason="")
    assert status == 400
    assert "only the provider can" in await words_of(browser, resolve)
    assert await press(browser, resolve, reason="the grandmother was there") == (303, base)
    assert "Was disputed: the grandmother was there" in await words_of(browser, base)
    assert resolve not in await (await browser.get("/desk/attention")).text()
    log = await words_of(browser, f"{base}/log")
    assert "visit disputed" in log
    assert "dispute of a visit ended" in log
    async with here.resources.pool.acquire() as conn:
        row = await conn.fetchrow("SELECT resolved_by, resolution FROM disputes")
        assert await conn.fetchval("SELECT count(*) FROM entries") == 1, "no organiser takes a visit back"
    assert row["resolved_by"].startswith("person:")


async def test_a_visit_that_the_provider_took_back_ends_its_dispute_in_those_words(here: Installation) -> None:
    made = await here.decide()
    base, debit = f"/desk/vouchers/{made['voucher_id']}", await charge(here, made["voucher_id"])
    browser = await sign_in_as(here, "caseworker")
    await press(browser, f"{base}/visits/{debit}/dispute", reason="nobody came")
    undo = await here.call(PROVIDER, "POST", f"/v1/debits/{debit}/reverse", {"reason": "wrong family"}, key="undo")
    assert undo.status in (200, 201)
    assert "The provider has taken it back since" in await words_of(browser, base)
    resolve = f"{base}/visits/{debit}/resolve"
    assert "The visit was taken back" in await words_of(browser, resolve)
    assert (await press(browser, resolve, reason="agreed"))[0] == 303
    assert "Nothing is left of this visit" in await words_of(browser, f"{base}/visits/{debit}/dispute")


async def test_the_day_of_cancelling_is_corrected_and_a_stopped_one_let_go_on(here: Installation) -> None:
    made = await here.decide()
    base = f"/desk/vouchers/{made['voucher_id']}"
    browser = await sign_in_as(here, "caseworker")
    later = str(date.fromisoformat(today()) + timedelta(days=2))
    status, said = await press(browser, f"{base}/do/correct-day", from_date=later, reason="no way around")
    assert (status, "The voucher is not cancelled" in said) == (400, True)
    assert await state_of(here, made["voucher_id"]) == "issued"
    await press(browser, f"{base}/do/suspend", reason="to be looked into")
    await press(browser, f"{base}/do/cancel", reason="moved", sure="yes")
    shown = await words_of(browser, base)
    assert "Visits before the day of cancelling cannot be charged either" in shown
    status, said = await press(browser, f"{base}/do/correct-day", from_date=today(), reason="x")
    assert (status, "That is the day already" in said) == (400, True)
    assert await press(browser, f"{base}/do/correct-day", from_date=later, reason="moves later") == (303, base)
    assert await press(browser, f"{base}/do/resume", reason="clear") == (303, base)
    shown = await words_of(browser, base)
    assert "cannot be charged either" not in shown
    async with here.resources.pool.acquire() as conn:
        row = await conn.fetchrow("SELECT state, cancelled_from, late_entry_stopped FROM vouchers")
    assert tuple(row) == ("cancelled", date.fromisoformat(later), False)
