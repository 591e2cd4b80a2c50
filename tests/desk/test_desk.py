"""What needs a person, and the next version of a programme's rules."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from service.attention.operations import open_item
from service.db import transaction
from service.vouchers.decisions import helsinki_day
from tests.browsers import sign_in_as
from tests.debits.pages.desks import form_in, words_in
from tests.installations import Installation

TODAY = helsinki_day(datetime.now(UTC))


async def test_what_needs_a_person_is_listed_in_words_and_taken_off_once(here: Installation) -> None:
    made, other = await here.decide(decision_ref="KH-9"), await here.decide("leppalahti", decision_ref="of another")
    async with transaction(here.resources.pool) as conn:
        for voucher in (made, other):
            organiser_id = await conn.fetchval(
                "SELECT organiser_id FROM vouchers WHERE voucher_id = $1", UUID(voucher["voucher_id"])
            )
            await open_item(
                conn, organiser_id=organiser_id, reason="never_used", subject_id=UUID(voucher["voucher_id"])
            )
    browser = await sign_in_as(here, "caseworker")
    page = await (await browser.get("/desk/attention")).text()
    assert "The voucher has not been used for a week" in page
    assert "of another" not in page
    async with here.resources.pool.acquire() as conn:
        rows = await conn.fetch("SELECT attention_id, subject_id FROM attention")
    ids = {str(row["subject_id"]): str(row["attention_id"]) for row in rows}
    resolve = f"/desk/attention/{ids[made['voucher_id']]}/resolve"
    assert (await browser.submit("/desk/attention", resolve)).status == 400
    assert (await browser.submit("/desk/attention", resolve, {"resolution": "called them"})).status == 303
    page = await (await browser.get("/desk/attention")).text()
    assert "Nothing needs a person now" in page
    assert "It is off the list" in page
    theirs = f"/desk/attention/{ids[other['voucher_id']]}/resolve"
    assert (await browser.submit("/desk/attention", theirs, {"resolution": "x"})).status == 404


async def test_an_admin_sets_the_next_rules_and_nobody_else(here: Installation) -> None:
    page = "/desk/programmes/kotipalvelu"
    admin, worker = await sign_in_as(here, "organiser_admin"), await sign_in_as(here, "supervisor")
    await here.decide()
    shown = await (await admin.get(page)).text()
    assert "33.50" in words_in(shown)
    form = form_in(shown, page) | {"weekday_cents": "34,00", "rounding": "up"}
    assert (await worker.submit(page, page, form)).status == 403
    assert "Set the next version" not in await (await worker.get(page)).text()
    checked = await admin.post(page, form)
    said = words_in(await checked.text())
    assert checked.status == 200, said
    assert "Value on weekdays €33.50 €34.00" in said.replace("\u202f", ""), said
    assert "1 voucher can be used on that day or later" in said
    async with here.resources.pool.acquire() as conn:
        assert await conn.fetchval("SELECT count(*) FROM programme_rules WHERE weekday_cents = 3400") == 0
    answer = await admin.post(page, form_in(await checked.text(), page))
    assert answer.status == 303, words_in(await answer.text())
    async with here.resources.pool.acquire() as conn:
        row = await conn.fetchrow(
            "SELECT weekday_cents, saturday_cents, step, created_by, starts_on FROM programme_rules r"
            " JOIN organisers o USING (organiser_id) WHERE o.slug = 'kuusirannan-hva' AND programme = 'kotipalvelu'"
            " ORDER BY starts_on DESC LIMIT 1"
        )
    assert row is not None
    assert (row["weekday_cents"], row["saturday_cents"], row["step"]) == (3400, 4470, 15)
    assert row["starts_on"] == TODAY + timedelta(days=1)
    assert row["created_by"].startswith("person:")
    for sure in ({}, {"sure": "yes"}):
        early = await admin.post(page, form | {"starts_on": str(TODAY), "weekday_cents": "35"} | sure)
        assert early.status == 400
    assert (await admin.get("/desk/programmes/none-such")).status == 404
    assert (await admin.get("/desk/programmes")).status == 200
    reader = await sign_in_as(here, "caseworker", language="fi")
    assert "kuten arkisin" in words_in(await (await reader.get(page)).text())
