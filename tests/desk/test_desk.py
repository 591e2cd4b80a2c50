"""What needs a person, programmes and their rules, providers and approvals."""

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
    shown = await (await admin.get(page)).text()
    assert "33.50" in words_in(shown)
    form = form_in(shown, page) | {"weekday_cents": "34,00", "rounding": "up"}
    assert (await worker.submit(page, page, form)).status == 403
    assert "Set the next version" not in await (await worker.get(page)).text()
    answer = await admin.post(page, form)
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
    early = await admin.post(page, form | {"starts_on": str(TODAY), "weekday_cents": "35"})
    assert early.status == 400
    assert (await admin.get("/desk/programmes/none-such")).status == 404
    assert (await admin.get("/desk/programmes")).status == 200
    reader = await sign_in_as(here, "caseworker", language="fi")
    assert "kuten arkisin" in words_in(await (await reader.get(page)).text())


async def test_a_supervisor_approves_and_ends_and_a_caseworker_looks(here: Installation) -> None:
    supervisor, caseworker = await sign_in_as(here, "supervisor"), await sign_in_as(here, "caseworker")
    page = "/desk/providers"
    approval = {"business_id": "9000101-4", "programme": "siivousapu", "valid_from": str(TODAY)}
    assert (await caseworker.submit(page, f"{page}/approve", approval)).status == 403
    assert "Approve a provider" not in await (await caseworker.get(page)).text()
    answer = await supervisor.submit(page, f"{page}/approve", approval)
    assert answer.status == 303, words_in(await answer.text())
    last = str(TODAY + timedelta(days=30))
    ended = {"business_id": "9000101-4", "programme": "siivousapu", "last_day": last}
    assert (await supervisor.submit(page, f"{page}/end", ended)).status == 303
    async with here.resources.pool.acquire() as conn:
        row = await conn.fetchrow(
            "SELECT valid_to FROM approvals a JOIN providers p USING (provider_id)"
            " WHERE business_id = '9000101-4' AND programme = 'siivousapu' AND organiser_id IS NOT NULL"
        )
        assert row is not None
        assert str(row["valid_to"]) == last
        assert await conn.fetchval("SELECT count(*) FROM audit WHERE action = 'provider.approve'") == 2
    regional = {"business_id": "9000101-4", "programme": "kotipalvelu", "last_day": last}
    assert (await supervisor.submit(page, f"{page}/end", regional)).status == 400
    unknown = approval | {"business_id": "1234567-8"}
    assert (await supervisor.submit(page, f"{page}/approve", unknown)).status == 400
