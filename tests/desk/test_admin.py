"""What an organiser's admin and supervisors keep: programmes and their texts, providers and approvals."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

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


async def test_a_programme_of_money_shows_no_rule_that_it_has_not(here: Installation) -> None:
    admin = await sign_in_as(here, "organiser_admin")
    page = await (await admin.get("/desk/programmes")).text()
    cards = dict(re.findall(r'programmes/(\w+)">(.+?)</section>', page, re.DOTALL))
    for rule in ("In the evening", "Step", "Rounding", "Christmas Eve"):
        assert (rule in cards["kotipalvelu"], rule in cards["siivousapu"]) == (True, False), rule
    table = words_in(await (await admin.get("/desk/programmes/siivousapu")).text()).split("Set the next version")[0]
    assert "Christmas Eve" not in table
    assert "Visits can be entered, days after the end" in table
    # What somebody has chosen is told all the same: or it would change, and the page would say that nothing does.
    later = {
        "starts_on": str(TODAY + timedelta(days=1)),
        "hold_lapse_hours": "72",
        "late_entry_days": "30",
        "step": "1",
    }
    chosen = later | {"eves_are_holidays": "yes", "rounding": "down"}
    status, said = await post(admin, "/desk/programmes/siivousapu", "/desk/programmes/siivousapu", chosen)
    assert (status, "Rounding – down" in said, "holidays – yes" in said) == (200, True, True), said


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


async def test_ending_approvals_never_lets_a_provider_charge_a_day_more(here: Installation) -> None:
    """One that has not begun is taken back, one that ends sooner stays as it is, and none ends before it began."""
    supervisor = await sign_in_as(here, "supervisor")
    page, company = "/desk/providers/7100000-8", {"business_id": "7100000-8", "name": "Uusi Oy"}
    assert (await post(await sign_in_as(here, "organiser_admin"), page, "/desk/providers/add", company))[0] == 303
    week, year = TODAY + timedelta(days=7), TODAY + timedelta(days=365)
    for programme, first, last in (("siivousapu", week, ""), ("kotipalvelu", TODAY, str(week))):
        days = {"valid_from": str(first)} | ({"valid_to": last} if last else {})
        form = {"business_ids": "7100000-8", "programmes": programme} | days
        assert (await post(supervisor, page, "/desk/providers/approve", form))[0] == 303
    ending = {"reason": "closes down", "sure": "yes"}
    early = ending | {"last_day": str(TODAY - timedelta(days=1))}
    status, said = await post(supervisor, page, f"{page}/end", early)
    assert (status, "began on" in said) == (400, True), said
    later = ending | {"programme": "kotipalvelu", "last_day": str(year)}
    status, said = await post(supervisor, page, f"{page}/end", later)
    assert (status, "ends sooner" in said) == (400, True), said
    assert await logged(here, "provider.end_approval") == []
    assert (await post(supervisor, page, f"{page}/end", ending | {"last_day": str(year)}))[0] == 303
    assert await days_of(here, "7100000-8") == [("kotipalvelu", TODAY, week), ("siivousapu", week, year)]
    assert (await post(supervisor, page, f"{page}/end", ending | {"last_day": str(TODAY)}))[0] == 303
    assert await days_of(here, "7100000-8") == [("kotipalvelu", TODAY, TODAY)]
    assert await logged(here, "provider.withdraw_approval") == [f"siivousapu {week}–{year}: closes down"]


async def days_of(here: Installation, business_id: str) -> list[tuple[str, date, date | None]]:
    async with here.resources.pool.acquire() as conn:
        rows = await conn.fetch(
            "SELECT programme, valid_from, valid_to FROM approvals JOIN providers USING (provider_id)"
            " WHERE business_id = $1 ORDER BY programme",
            business_id,
        )
    return [tuple(row) for row in rows]


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


# What shows that a company works already, though nobody signs in for it: the rows of one that does, under another's id.
AT_WORK = {
    "a key": "INSERT INTO api_keys (key_id, key_hash, hint, name, provider_id, permissions, revoked_at)"
    " VALUES (gen_random_uuid(), sha256($1::uuid::text::bytea), 'hint', 'old', $1, '{debits:write}', now())",
    "a worker": "INSERT INTO workers (worker_id, provider_id, name, language, removed_at)"
    " VALUES (gen_random_uuid(), $1, 'Anna', 'fi', now())",
    "somebody who signed in once": "INSERT INTO people (person_id, provider_id, role, name, language, created_by,"
    " disabled_at) VALUES (gen_random_uuid(), $1, 'provider_admin', 'Veera', 'fi', 'installation', now())",
    "another organiser's approval": "INSERT INTO approvals (approval_id, provider_id, programme, organiser_id,"
    " valid_from) SELECT gen_random_uuid(), $1, 'siivousapu', organiser_id, '2020-01-01' FROM organisers"
    " WHERE slug = 'leppalahti'",
    "what it asks of another": "INSERT INTO price_lists (price_list_id, organiser_id, provider_id, programme,"
    " starts_on, weekday_cents, evening_cents, saturday_cents, sunday_cents, created_by)"
    " SELECT gen_random_uuid(), organiser_id, $1, programme, '2020-01-01', 1, 1, 1, 1, 'x'"
    " FROM programmes JOIN organisers USING (organiser_id) WHERE slug = 'leppalahti' LIMIT 1",
    "a visit": "INSERT INTO entries SELECT (jsonb_populate_record(e, jsonb_build_object("
    "'provider_id', $1::uuid, 'entry_id', gen_random_uuid()))).* FROM entries e LIMIT 1",
    "a booking": "INSERT INTO holds SELECT (jsonb_populate_record(h, jsonb_build_object("
    "'provider_id', $1::uuid, 'hold_id', gen_random_uuid()))).* FROM holds h LIMIT 1",
}
BUSINESS_IDS = ("7100000-8", "7100001-6", "7100002-4", "7100003-2", "7100004-0", "7100005-9", "7100006-7")


async def test_an_organiser_invites_nobody_for_a_company_that_is_at_work(here: Installation) -> None:
    """Whoever signs in for it would read what it has charged to every other organiser."""
    admin = await sign_in_as(here, "organiser_admin")
    code = await here.code_of((await here.decide())["voucher_id"])
    for path, visit in (("/v1/debits", 60), ("/v1/holds", 90)):
        answer = await here.call("9000101-4", "POST", path, {"code": code, "amount": visit}, key=path)
        assert answer.status == 201, await answer.text()
    person = {"name": "Oma Ihminen", "email": "oma@kuusiranta.example", "language": "fi"}
    for business_id, (trace, statement) in zip(BUSINESS_IDS, AT_WORK.items(), strict=True):
        async with here.resources.pool.acquire() as conn:
            provider_id = await conn.fetchval(
                "INSERT INTO providers (provider_id, business_id, name) VALUES (gen_random_uuid(), $1, $1)"
                " RETURNING provider_id",
                business_id,
            )
            assert await conn.execute(statement, provider_id) == "INSERT 0 1", trace
        approve = {"business_ids": business_id, "programmes": "siivousapu", "valid_from": str(TODAY)}
        assert (await post(admin, "/desk/providers", "/desk/providers/approve", approve))[0] == 303
        page = f"/desk/providers/{business_id}"
        assert "Invite its first person" not in words_in(await (await admin.get(page)).text()), trace
        status, said = await post(admin, page, f"{page}/invite", person)
        assert (status, "whoever runs the installation" in said) == (400, True), (trace, said)
    assert await logged(here, "provider.invite_first") == []
    async with here.resources.pool.acquire() as conn:
        assert await conn.fetchval("SELECT count(*) FROM people WHERE name = $1", person["name"]) == 0
