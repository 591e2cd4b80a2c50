"""What an organiser's admin and supervisors keep: programmes and their texts, providers and approvals."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from service.vouchers.decisions import helsinki_day
from tests.browsers import Browser, sign_in_as
from tests.debits.pages.desks import form_in, words_in
from tests.installations import Installation

TODAY = helsinki_day(datetime.now(UTC))
NEW = {
    "programme": "lomitus",
    "unit": "minutes",
    "name_fi": "Lomitus",
    "name_sv": "Avlösning",
    "name_en": "Respite",
    "receipts": "daily",
    "neutral_texts": "yes",
    "weekday_cents": "40",
    "saturday_cents": "50",
    "sunday_cents": "60",
    "step": "30",
    "hold_lapse_hours": "72",
    "late_entry_days": "30",
}


async def post(browser: Browser, page: str, path: str, form: dict[str, str]) -> tuple[int, str]:
    answer = await browser.submit(page, path, form)
    return answer.status, answer.headers.get("Location") or words_in(await answer.text())


async def logged(here: Installation, action: str) -> list[str | None]:
    async with here.resources.pool.acquire() as conn:
        rows = await conn.fetch("SELECT actor, reason FROM audit WHERE action = $1 ORDER BY audit_id", action)
    assert all(row["actor"].startswith("person:") for row in rows)
    return [row["reason"] for row in rows]


async def test_an_admin_adds_a_programme_and_its_decisions_go_out_under_its_name(here: Installation) -> None:
    admin = await sign_in_as(here, "organiser_admin")
    page = "/desk/programmes/_new"
    assert (await (await sign_in_as(here, "supervisor")).get(page)).status == 403
    for wrong, said in (
        ({"name_sv": ""}, "a programme has a name in fi, sv and en"),
        ({"programme": "Äiti"}, "short"),
        ({"sunday_cents": ""}, "value"),
    ):
        status, text = await post(admin, page, page, NEW | wrong)
        assert (status, said in text) == (400, True), text
    for _ in range(2):  # a double click adds nothing twice
        assert await post(admin, page, page, NEW) == (303, "/desk/programmes/lomitus")
    status, text = await post(admin, page, page, NEW | {"step": "15"})
    assert (status, "with other details" in text) == (409, True), text
    shown = words_in(await (await admin.get("/desk/programmes/lomitus")).text())
    assert "€40.00" in shown
    assert "30 min" in shown
    made = await here.decide(programme="lomitus", granted=600)
    async with here.resources.pool.acquire() as conn:
        fields = await conn.fetchval("SELECT fields FROM messages")
        rules = await conn.fetchrow("SELECT * FROM programme_rules WHERE programme = 'lomitus'")
    assert fields["programme"] == "Lomitus"
    assert fields["neutral"] == "yes"
    assert (rules["step"], rules["evening_cents"], rules["saturday_cents"]) == (30, 4000, 5000)
    assert rules["created_by"].startswith("person:")
    assert made["voucher_id"]
    assert await logged(here, "programme.add") == ["lomitus", "lomitus"]


async def test_an_admin_changes_what_families_are_told(here: Installation) -> None:
    admin = await sign_in_as(here, "organiser_admin")
    page, texts = "/desk/programmes/kotipalvelu", "/desk/programmes/kotipalvelu/texts"
    shown = await (await admin.get(page)).text()
    form = form_in(shown, texts) | {"name_fi": "Kotiapu", "receipts": "off", "name_et": "Koduabi"}
    assert (await (await sign_in_as(here, "supervisor")).submit(page, texts, form)).status == 403
    assert (await admin.post(texts, form)).status == 303
    async with here.resources.pool.acquire() as conn:
        row = await conn.fetchrow(
            "SELECT names, receipts FROM programmes JOIN organisers o USING (organiser_id)"
            " WHERE programme = 'kotipalvelu' AND o.slug = 'kuusirannan-hva'"
        )
        others = await conn.fetchval("SELECT count(*) FROM programmes WHERE names->>'fi' = 'Kotiapu'")
    assert (row["names"]["fi"], row["names"]["et"], row["receipts"]) == ("Kotiapu", "Koduabi", "off")
    assert others == 1
    answer = await admin.post(texts, form | {"name_fi": "Ж" * 5})
    assert answer.status == 400
    assert await logged(here, "programme.change_texts") == ["kotipalvelu"]


async def test_an_admin_withdraws_rules_that_have_not_begun_after_seeing_what_stays(here: Installation) -> None:
    admin, page = await sign_in_as(here, "organiser_admin"), "/desk/programmes/kotipalvelu"
    day, withdraw = str(TODAY + timedelta(days=9)), f"{page}/withdraw"
    rules = form_in(await (await admin.get(page)).text(), page) | {
        "starts_on": day,
        "weekday_cents": "77",
        "sure": "yes",
    }
    assert (await admin.post(page, rules)).status == 303
    asked = {"starts_on": day}
    assert (await post(await sign_in_as(here, "supervisor"), page, withdraw, asked))[0] == 403
    status, said = await post(admin, page, withdraw, asked)
    assert (status, "€77.00" in said) == (200, True), said
    assert "€77.00" in words_in(await (await admin.get(page)).text()), "nothing is done before it is asked"
    assert await post(admin, page, withdraw, asked | {"sure": "yes"}) == (303, page)
    assert "€77.00" not in words_in(await (await admin.get(page)).text())
    assert (await post(admin, page, withdraw, asked | {"sure": "yes"}))[0] == 404
    assert (await post(admin, page, withdraw, {"starts_on": str(TODAY)}))[0] in (400, 409, 422)
    assert len(await logged(here, "programme.withdraw_rules")) == 1


async def test_supervisors_approve_several_providers_at_once_all_or_none(here: Installation) -> None:
    supervisor, caseworker = await sign_in_as(here, "supervisor"), await sign_in_as(here, "caseworker")
    page, path = "/desk/providers", "/desk/providers/approve"
    form = {"business_ids": "9000101-4\n9000202-5", "programmes": "siivousapu", "valid_from": str(TODAY)}
    assert (await caseworker.submit(page, path, form)).status == 403
    assert "Approve providers" not in await (await caseworker.get(page)).text()
    status, said = await post(supervisor, page, path, form | {"business_ids": "9000101-4 1234567-1"})
    assert status == 404, said
    assert await logged(here, "provider.approve") == []
    status, said = await post(supervisor, page, path, {key: form[key] for key in form if key != "programmes"})
    assert status == 400, said
    assert (await post(supervisor, page, path, form))[0] == 303
    assert len(await logged(here, "provider.approve")) == 2


async def test_ending_an_approval_shows_whom_it_concerns_and_asks_why(here: Installation) -> None:
    supervisor = await sign_in_as(here, "supervisor")
    page = "/desk/providers/9000101-4"
    approve = {"business_ids": "9000101-4", "programmes": "siivousapu", "valid_from": "2020-01-01"}
    assert (await post(supervisor, "/desk/providers", "/desk/providers/approve", approve))[0] == 303
    made = await here.decide(programme="siivousapu", granted=20_000, weekly={})
    body = {"code": await here.code_of(made["voucher_id"]), "amount": 1000}
    answer = await here.call("9000101-4", "POST", "/v1/debits", body, key="visit")
    assert answer.status == 201, await answer.text()
    ending = {"programme": "siivousapu", "last_day": str(TODAY), "reason": "inspection failed"}
    assert (await post(supervisor, page, f"{page}/end", ending | {"reason": ""}))[0] == 400
    answer = await supervisor.submit(page, f"{page}/end", ending)
    shown = await answer.text()
    assert answer.status == 200
    assert "1 family that has used this provider" in words_in(shown)
    assert await logged(here, "provider.end_approval") == []
    answer = await supervisor.post(f"{page}/end", form_in(shown, f"{page}/end"))
    assert (answer.status, answer.headers["Location"]) == (303, page)
    assert await logged(here, "provider.end_approval") == [f"siivousapu 2020-01-01–{TODAY}: inspection failed"]
    async with here.resources.pool.acquire() as conn:
        last = await conn.fetchval(
            "SELECT valid_to FROM approvals JOIN providers USING (provider_id) WHERE business_id = '9000101-4'"
            " AND programme = 'siivousapu' AND organiser_id IS NOT NULL"
        )
    assert last == TODAY
    regional = {"programme": "kotipalvelu", "last_day": str(TODAY + timedelta(days=9)), "reason": "x"}
    assert (await post(supervisor, page, f"{page}/end", regional))[0] == 400


async def test_a_company_is_added_approved_and_its_first_person_invited_once(here: Installation) -> None:
    admin, supervisor = await sign_in_as(here, "organiser_admin"), await sign_in_as(here, "supervisor")
    page = "/desk/providers/0737546-2"
    company = {"business_id": "0737546-2", "name": "Kotiapu Uusi Oy"}
    assert (await post(supervisor, "/desk/providers", "/desk/providers/add", company))[0] == 403
    assert (await admin.get(page)).status == 404
    assert (await post(admin, "/desk/providers", "/desk/providers/add", company))[0] == 303
    assert (await post(admin, "/desk/providers", "/desk/providers/add", company | {"name": "Muu"}))[0] == 409
    assert (await admin.get(page)).status == 404, "nothing of a provider that is not one's own"
    approve = {"business_ids": "0737546-2", "programmes": "kotipalvelu", "valid_from": str(TODAY)}
    assert (await post(admin, "/desk/providers", "/desk/providers/approve", approve))[0] == 303
    person = {"name": "Veera Uusi", "email": "veera@uusi.example", "language": "fi"}
    assert (await post(supervisor, page, f"{page}/invite", person))[0] == 403
    assert (await post(admin, page, f"{page}/invite", person)) == (303, page)
    status, said = await post(admin, page, f"{page}/invite", person | {"email": "other@uusi.example"})
    assert (status, "has people already" in said) == (400, True)
    async with here.resources.pool.acquire() as conn:
        row = await conn.fetchrow("SELECT role, organiser_id FROM people WHERE name = 'Veera Uusi'")
        assert await conn.fetchval("SELECT count(*) FROM messages WHERE kind = 'invitation'") == 1
    assert tuple(row) == ("provider_admin", None)
    assert "1 person signs in" in words_in(await (await admin.get(page)).text())
