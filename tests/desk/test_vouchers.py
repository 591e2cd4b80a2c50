"""Finding vouchers, one voucher's page, and every button on it."""

from __future__ import annotations

import html
import re
from uuid import UUID

import pytest

from service.db import transaction
from service.desk.pages import vouchers as pages
from service.vouchers.codes import show_code
from tests.browsers import Browser, sign_in_as
from tests.debits.pages.desks import form_in, today, words_in
from tests.families import multiply_visits
from tests.installations import Installation


async def press(browser: Browser, page: str, **fields: str) -> tuple[int, str]:
    """Open a page with a form to itself, fill it in and send it; the status, and where it leads or what it says."""
    shown = await browser.get(page)
    assert shown.status == 200, words_in(await shown.text())
    answer = await browser.post(page, form_in(await shown.text(), page) | fields)
    return answer.status, answer.headers.get("Location") or words_in(await answer.text())


async def state_of(here: Installation, voucher_id: str) -> str:
    async with here.resources.pool.acquire() as conn:
        return str(await conn.fetchval("SELECT state FROM vouchers WHERE voucher_id = $1", UUID(voucher_id)))


@pytest.mark.parametrize(
    "what", ["0401234567", "KH-7", "perhe-7", "kh-7", "last four", "whole code", "Maija@example.fi"]
)
async def test_a_voucher_is_found_by_whatever_the_family_can_tell(here: Installation, what: str) -> None:
    beneficiary = {"phone": "040 123 4567", "email": "Maija@example.fi", "language": "fi"}
    made = await here.decide(decision_ref="KH-7", client_ref="perhe-7", beneficiary=beneficiary)
    await here.decide("leppalahti", decision_ref="of another", client_ref="perhe-7", beneficiary=beneficiary)
    if what == "last four":
        what = (await here.code_of(made["voucher_id"]))[-4:]
    if what == "whole code":
        what = show_code(await here.code_of(made["voucher_id"]))
    browser = await sign_in_as(here, "caseworker")
    answer = await browser.submit("/desk/vouchers", "/desk/vouchers", {"text": what})
    page = await answer.text()
    assert answer.status == 200
    assert made["voucher_id"] in page
    assert "of another" not in page
    async with here.resources.pool.acquire() as conn:
        found = await conn.fetch("SELECT subject_id, actor FROM audit WHERE action = 'voucher.found'")
    assert [str(row["subject_id"]) for row in found] == [made["voucher_id"]]
    assert found[0]["actor"].startswith("person:")


async def test_one_voucher_shows_its_life_and_never_its_code_or_contact(here: Installation) -> None:
    made = await here.decide(decision_ref="KH-8")
    code = await here.code_of(made["voucher_id"])
    debit = await here.call("9000101-4", "POST", "/v1/debits", {"code": code, "amount": 120}, key="visit-1")
    assert debit.status == 201, await debit.text()
    browser = await sign_in_as(here, "supervisor")
    answer = await browser.get(f"/desk/vouchers/{made['voucher_id']}")
    page = await answer.text()
    shown = words_in(page)
    assert answer.status == 200
    assert "10 h left" in shown
    assert "Visit charged (Perhepalvelu Pihlajanmarja Oy)" in shown
    assert "is waiting to be sent" in shown
    assert code not in page
    assert code.replace(" ", "") not in page
    assert "1234567" not in page
    log = words_in(await (await browser.get(f"/desk/vouchers/{made['voucher_id']}/log")).text())
    assert "Aino Käki read this page" in log
    await browser.get(f"/desk/vouchers/{made['voucher_id']}")
    async with here.resources.pool.acquire() as conn:
        assert await conn.fetchval("SELECT count(*) FROM audit WHERE action = 'voucher.view'") == 1


async def test_a_voucher_with_500_visits_and_messages_is_light_and_shows_all_of_them(
    here: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await here.decide(decision_ref="KH-9")
    body = {"code": await here.code_of(made["voucher_id"]), "amount": 60}
    assert (await here.call("9000101-4", "POST", "/v1/debits", body, key="visit-1")).status == 201
    async with transaction(here.resources.pool) as conn:
        await multiply_visits(conn, UUID(made["voucher_id"]), 500)
        messages = await conn.fetchval("SELECT count(*) FROM messages")
    browser = await sign_in_as(here, "caseworker")
    base = f"/desk/vouchers/{made['voucher_id']}"
    first = await (await browser.get(base)).text()
    assert len(first.encode()) < 60_000
    monkeypatch.setattr(pages, "ROWS", 170)  # fewer pages: a test shall not take long
    monkeypatch.setattr(pages, "MESSAGES", 170)
    for name, each, count in (
        ("visits", r"/visits/([0-9a-f-]{36})/dispute", 500),
        ("messages", r"<li><p><strong>([^<]+)</strong>", messages),
        ("value", r"<td data-label=\"Difference\"([^<]+)</td>", 501),
    ):
        found: list[str] = []
        path = base
        while path:
            page = await (await browser.get(path)).text()
            assert "11 h left" in page
            part = re.findall(each, page)
            assert 0 < len(part) <= 170
            found += part
            onward = re.search(rf'href="([^"]+#{name})">(Earlier|Later)', page)
            path = html.unescape(onward.group(1)) if onward else ""
        assert len(found) == count, name
        assert len(set(found)) == count or name != "visits"
        assert f'<a href="{base}#{name}">The newest' in page
    monkeypatch.undo()
    for wrong in ("visits=x", "value=-1&messages=x&bookings=x", "value=9999999&messages=" + made["voucher_id"]):
        page = await (await browser.get(f"{base}?{wrong}")).text()
        for sign in ("/dispute", "<li><p>", 'data-label="Difference"'):
            assert page.count(sign) == first.count(sign) > 0, (wrong, sign)


async def test_another_organisers_voucher_is_not_there(here: Installation) -> None:
    made = await here.decide("leppalahti")
    browser = await sign_in_as(here, "organiser_admin")
    for path in ("", "/log", "/delivery", "/delivery/part", "/do/cancel"):
        assert (await browser.get(f"/desk/vouchers/{made['voucher_id']}{path}")).status == 404, path
    await here.decide()
    refused = await browser.submit(
        "/desk", f"/desk/vouchers/{made['voucher_id']}/do/cancel", {"reason": "x", "sure": "yes"}
    )
    assert refused.status == 404
    assert await state_of(here, made["voucher_id"]) == "issued"


async def test_a_form_that_is_sent_twice_sends_one_message(here: Installation) -> None:
    made = await here.decide()
    browser = await sign_in_as(here, "caseworker")
    page = f"/desk/vouchers/{made['voucher_id']}/do/resend"
    form = form_in(await (await browser.get(page)).text(), page) | {"reason": "deleted"}
    assert (await browser.post(page, form)).status == 303
    assert (await browser.post(page, form)).status == 303
    async with here.resources.pool.acquire() as conn:
        assert await conn.fetchval("SELECT count(*) FROM messages") == 2
        assert await conn.fetchval("SELECT reason FROM audit WHERE action = 'voucher.resend'") == "deleted"


async def test_every_button_does_what_it_says(here: Installation) -> None:
    made = await here.decide()
    base = f"/desk/vouchers/{made['voucher_id']}"
    browser = await sign_in_as(here, "caseworker")
    old = await here.code_of(made["voucher_id"])
    assert await press(browser, f"{base}/do/contact", phone="050 765 4321", reason="new phone") == (
        303,
        f"{base}/delivery",
    )
    newer = await here.code_of(made["voucher_id"])
    assert newer != old
    assert (await press(browser, f"{base}/do/replace-code", reason="shown to others"))[0] == 303
    assert await here.code_of(made["voucher_id"]) != newer
    assert await press(browser, f"{base}/do/suspend", reason="to be looked into") == (303, base)
    assert await state_of(here, made["voucher_id"]) == "suspended"
    assert "Let go on" in words_in(await (await browser.get(base)).text())
    assert await press(browser, f"{base}/do/resume", reason="clear") == (303, base)
    assert (await browser.submit(base, f"{base}/do/confirm")).status == 303
    status, where = await press(browser, f"{base}/do/change", decision_ref="KH-later", granted="15", reason="more")
    assert (status, where) == (303, f"{base}/delivery")
    shown = words_in(await (await browser.get(base)).text())
    assert "15 h left" in shown
    assert "formal decision out" in shown
    assert "Reason: new phone" in shown
    status, _ = await press(browser, f"{base}/do/cancel", reason="moved away")
    assert status == 400, "not without the tick"
    assert await state_of(here, made["voucher_id"]) == "issued"
    assert (await press(browser, f"{base}/do/cancel", reason="moved away", sure="yes"))[0] == 303
    assert await state_of(here, made["voucher_id"]) == "cancelled"
    async with here.resources.pool.acquire() as conn:
        actors = await conn.fetch("SELECT DISTINCT actor FROM audit WHERE action LIKE 'voucher.%'")
    assert [row["actor"].split(":")[0] for row in actors] == ["person"]


async def test_a_reason_is_asked_for_and_a_change_must_change_something(here: Installation) -> None:
    made = await here.decide()
    base = f"/desk/vouchers/{made['voucher_id']}"
    browser = await sign_in_as(here, "caseworker")
    status, said = await press(browser, f"{base}/do/resend", reason="")
    assert status == 400
    assert "Correct what is marked" in said
    status, said = await press(browser, f"{base}/do/change", decision_ref="X", reason="y")
    assert status == 400
    assert "Fill in what is to be otherwise" in said
    status, _ = await press(browser, f"{base}/do/contact", reason="y")
    assert status == 400
    assert (await browser.get(f"{base}/do/nothing-such")).status == 404


async def test_a_hold_is_dropped_and_a_stop_lifted_only_when_the_family_asked(here: Installation) -> None:
    made = await here.decide()
    base = f"/desk/vouchers/{made['voucher_id']}"
    code = await here.code_of(made["voucher_id"])
    held = await here.call(
        "9000101-4", "POST", "/v1/holds", {"code": code, "amount": 60, "service_date": today()}, key="hold-1"
    )
    hold_id = (await held.json())["hold_id"]
    browser = await sign_in_as(here, "caseworker")
    assert f"{base}/holds/{hold_id}/void" in await (await browser.get(base)).text()
    assert await press(browser, f"{base}/holds/{hold_id}/void", reason="visit called off") == (303, base)
    async with here.resources.pool.acquire() as conn:
        assert await conn.fetchval("SELECT state FROM holds") == "voided"
    from service.channels.operations.suppressions import suppress
    from service.db import transaction

    async with transaction(here.resources.pool) as conn:
        await suppress(conn, here.resources.keys, channel="sms", contact="+358401234567", reason="opted_out")
    assert "texted STOP" in words_in(await (await browser.get(base)).text())
    status, told = await press(browser, f"{base}/do/lift-suppression", channel="sms", reason="by phone")
    assert (status, "only if it asks for them again" in told, "asked_by_family" in told) == (400, True, False)
    status, _ = await press(
        browser, f"{base}/do/lift-suppression", channel="sms", reason="by phone", asked_by_family="yes"
    )
    assert status == 303
    assert "texted STOP" not in words_in(await (await browser.get(base)).text())
