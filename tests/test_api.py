"""The API as its users call it: the whole application over a real database; only the gateways lead nowhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from service.channels import operations
from service.db import Pool
from service.sandbox.sample import COUNTY, FAMILY_SERVICES, PROVIDERS, TOWN
from tests.installations import Installation, decision, install, settings_for

PROVIDER = FAMILY_SERVICES.business_id
CLEANERS = PROVIDERS[4].business_id


@pytest.fixture
async def here(pool: Pool, database_url: str, redis_url: str) -> AsyncIterator[Installation]:
    async with install(settings_for(database_url, redis_url)) as installation:
        yield installation


async def problem_of(answer) -> tuple[int, str]:
    body = await answer.json()
    assert answer.content_type == "application/problem+json"
    assert body["detail"]
    assert body["next_step"]
    return answer.status, body["code"]


async def test_a_decision_becomes_a_voucher_that_pays_for_a_visit(here: Installation) -> None:
    made = await here.decide()
    code = await here.code_of(made["voucher_id"])
    assert code.replace(" ", "") not in str(made)

    found = await (await here.call(PROVIDER, "POST", "/v1/validate", {"code": code})).json()
    assert (found["usable"], found["available"], found["initials"]) == (True, 720, "M.V.")

    charged = await here.call(PROVIDER, "POST", "/v1/debits", {"code": code, "amount": 120}, key="v1")
    assert charged.status == 201
    debit = await charged.json()
    assert (debit["amount"], debit["available"], debit["unit"]) == (120, 600, "minutes")

    undone = await here.call(PROVIDER, "POST", f"/v1/debits/{debit['debit_id']}/reverse", {}, key="r1")
    assert (await undone.json())["available"] == 720

    listed = await (await here.call(PROVIDER, "GET", "/v1/debits")).json()
    assert [(item["debit_id"], item["state"]) for item in listed["debits"]] == [(debit["debit_id"], "reversed")]
    assert listed["debits"][0]["code_last_four"] == code[-4:]


async def test_a_decision_posted_twice_is_one_voucher_and_one_message(here: Installation) -> None:
    body = decision()
    first = await here.call(COUNTY, "POST", "/v1/decisions", body)
    again = await here.call(COUNTY, "POST", "/v1/decisions", body)
    assert (first.status, again.status) == (201, 200)
    assert (await first.json())["voucher_id"] == (await again.json())["voucher_id"]
    async with here.resources.pool.acquire() as conn:
        assert await conn.fetchval("SELECT count(*) FROM messages") == 1


async def test_sixteen_posts_of_one_decision_at_once_are_one_voucher(here: Installation) -> None:
    body = decision()
    answers = await asyncio.gather(*(here.call(COUNTY, "POST", "/v1/decisions", body) for _ in range(16)))
    assert {answer.status for answer in answers} <= {200, 201}
    assert len({(await answer.json())["voucher_id"] for answer in answers}) == 1
    async with here.resources.pool.acquire() as conn:
        assert await conn.fetchval("SELECT count(*) FROM messages") == 1


async def test_the_same_reference_with_other_content_is_a_conflict(here: Installation) -> None:
    body = decision()
    await here.call(COUNTY, "POST", "/v1/decisions", body)
    other = await here.call(COUNTY, "POST", "/v1/decisions", body | {"granted": 735})
    assert await problem_of(other) == (409, "decision_differs")


@pytest.mark.parametrize(
    "changes",
    [
        {"beneficiary": {"phone": "014 266 3501"}},
        {"beneficiary": {"phone": "+1 212 555 0100"}},
        {"beneficiary": {"email": "nobody"}},
        {"beneficiary": {}},
        {"beneficiary": {"phone": "0401234567", "language": "de"}},
        {"beneficiary": {"phone": "0401234567", "preferred": "fax"}},
        {"beneficiary": None},
        {"granted": 0},
        {"granted": -15},
        {"granted": 10**30},
        {"granted": 7},
        {"granted": "720"},
        {"granted": 1.5},
        {"programme": "no-such"},
        {"status": "maybe"},
        {"client_ref": "131052-308T"},
        {"beneficiary": {"phone": "0401234567", "initials": "131052-308T"}},
        {"client_ref": "a\0b"},
        {"decision_ref": ""},
        {"decision_ref": "x" * 1000},
        {"valid_to": "2020-01-01"},
        {"valid_from": "2199-01-01", "valid_to": "2199-02-01"},
        {"valid_to": "9999-12-31"},
        {"valid_to": "tomorrow"},
        {"weekly": {"visits": 0}},
        {"weekly": {"visits": 10**20}},
        {"extra": 1},
    ],
    ids=str,
)
async def test_a_bad_decision_is_refused_with_a_reason_and_changes_nothing(
    here: Installation, changes: dict[str, object]
) -> None:
    answer = await here.call(COUNTY, "POST", "/v1/decisions", decision(**changes))
    assert 400 <= answer.status < 500, await answer.text()
    await problem_of(answer)
    async with here.resources.pool.acquire() as conn:
        assert await conn.fetchval("SELECT count(*) FROM decisions") == 0
        assert await conn.fetchval("SELECT count(*) FROM messages") == 0


async def test_typing_slips_have_their_own_answers_and_cost_nothing(here: Installation) -> None:
    code = (await here.code_of((await here.decide())["voucher_id"])).replace(" ", "")
    slip = code[:-1] + str((int(code[-1]) + 1) % 10)
    for text, expected in ((slip, "code_check_digit"), (code[:-1], "code_length"), ("abc", "code_length")):
        for path, key in (("/v1/validate", None), ("/v1/debits", uuid4().hex)):
            body = {"code": text} | ({"amount": 15} if key else {})
            assert await problem_of(await here.call(PROVIDER, "POST", path, body, key=key)) == (400, expected)
    async with here.resources.pool.acquire() as conn:
        assert await conn.fetchval("SELECT count(*) FROM code_misses") == 0


@pytest.mark.parametrize("shape", ["{0}-{1}-{2}", "{0}.{1}.{2}", "{0}\u00a0{1}\u202f{2}", "{0}{1}{2}", " {0} {1} {2} "])
async def test_a_code_is_understood_however_it_is_grouped(here: Installation, shape: str) -> None:
    code = await here.code_of((await here.decide())["voucher_id"])
    answer = await here.call(PROVIDER, "POST", "/v1/validate", {"code": shape.format(*code.split())})
    assert (await answer.json())["usable"] is True


async def test_a_provider_without_approval_learns_nothing(here: Installation) -> None:
    """Unknown and foreign codes give the same bytes, so no one can find out which codes exist."""
    code = await here.code_of((await here.decide())["voucher_id"])
    from service.vouchers.codes import make_code

    foreign = await here.call(CLEANERS, "POST", "/v1/debits", {"code": code, "amount": 15}, key="a")
    unknown = await here.call(
        CLEANERS, "POST", "/v1/debits", {"code": make_code(lambda n: n // 3), "amount": 15}, key="b"
    )
    assert foreign.status == unknown.status == 404
    assert await foreign.read() == await unknown.read()


async def test_an_overspend_says_what_is_left_and_a_repeat_is_the_same_answer(here: Installation) -> None:
    code = await here.code_of((await here.decide())["voucher_id"])
    answers = [
        await here.call(PROVIDER, "POST", "/v1/debits", {"code": code, "amount": 735}, key="x", language=language)
        for language in ("sv", "fi")
    ]
    first, second = [await answer.read() for answer in answers]
    assert first == second
    assert [answer.status for answer in answers] == [422, 422]
    assert answers[1].headers["Idempotent-Replayed"] == "true"
    assert (await answers[0].json())["available"] == 720


async def test_a_repeated_debit_is_the_same_answer_byte_for_byte(here: Installation) -> None:
    code = await here.code_of((await here.decide())["voucher_id"])
    bodies = [
        await (await here.call(PROVIDER, "POST", "/v1/debits", {"code": code, "amount": 60}, key="x")).read()
        for _ in range(3)
    ]
    assert len(set(bodies)) == 1
    other = await here.call(PROVIDER, "POST", "/v1/debits", {"code": code, "amount": 75}, key="x")
    assert await problem_of(other) == (422, "idempotency_key_reused")


async def test_another_organisers_voucher_is_answered_like_none(here: Installation) -> None:
    voucher = (await here.decide())["voucher_id"]
    paths = [f"/v1/vouchers/{voucher}", f"/v1/vouchers/{voucher}/messages"]
    for path in paths:
        foreign = await here.call(TOWN, "GET", path)
        nobodys = await here.call(TOWN, "GET", path.replace(voucher, str(uuid4())))
        nonsense = await here.call(TOWN, "GET", path.replace(voucher, "zzz"))
        assert foreign.status == nobodys.status == nonsense.status == 404
        assert await foreign.read() == await nobodys.read() == await nonsense.read()
    for action in ("resend", "replace-code", "suspend", "cancel", "confirm", "resume"):
        body = {} if action == "confirm" else {"reason": "x"}
        assert (await here.call(TOWN, "POST", f"/v1/vouchers/{voucher}/{action}", body)).status == 404


async def test_a_provider_key_cannot_do_an_organisers_work_nor_the_other_way_round(here: Installation) -> None:
    assert await problem_of(await here.call(PROVIDER, "POST", "/v1/decisions", decision())) == (403, "forbidden")
    answer = await here.call(COUNTY, "POST", "/v1/validate", {"code": "1"})
    assert await problem_of(answer) == (403, "forbidden")


async def test_resending_keeps_the_code_and_stops_after_five_a_day(here: Installation) -> None:
    voucher = (await here.decide())["voucher_id"]
    code = await here.code_of(voucher)
    path = f"/v1/vouchers/{voucher}/resend"
    for number in range(5):
        assert (await here.call(COUNTY, "POST", path, {"reason": f"deleted {number}"})).status < 300
    refused = await here.call(COUNTY, "POST", path, {"reason": "again"})
    assert await problem_of(refused) == (429, "too_many_resends")
    assert int(refused.headers["Retry-After"]) > 0
    assert await here.code_of(voucher) == code
    messages = await (await here.call(COUNTY, "GET", f"/v1/vouchers/{voucher}/messages")).json()
    assert len(messages["messages"]) == 6
    assert code.replace(" ", "") not in str(messages).replace(" ", "")


async def test_the_messages_of_a_voucher_say_why_each_was_asked_for_and_that_a_pause_holds_them(
    here: Installation,
) -> None:
    voucher = (await here.decide())["voucher_id"]
    for reason in ("deleted", "deleted again"):
        await here.call(COUNTY, "POST", f"/v1/vouchers/{voucher}/resend", {"reason": reason})
    await here.call(COUNTY, "POST", f"/v1/vouchers/{voucher}/replace-code", {"reason": "read out in a bus"})
    async with here.resources.pool.acquire() as conn:
        gateway = here.resources.delivery.gateways["sms"].name
        await operations.pause(conn, gateway=gateway, reason="new sender", actor="command line:anna")
    shown = await (await here.call(COUNTY, "GET", f"/v1/vouchers/{voucher}/messages")).json()
    messages = shown["messages"]
    because = [message["requested_because"] for message in messages]
    assert because == [None, "deleted", "deleted again", "read out in a bus"]
    assert [message["state"] for message in messages] == ["suppressed"] * 3 + ["pending"]
    assert ["stopped this channel" in message["told"] for message in messages] == [False] * 3 + [True]
    assert "anna" not in str(shown)


async def test_a_repeated_resend_with_one_key_sends_one_message(here: Installation) -> None:
    voucher = (await here.decide())["voucher_id"]
    path = f"/v1/vouchers/{voucher}/resend"
    answers = [await here.call(COUNTY, "POST", path, {"reason": "deleted"}, key="one") for _ in range(3)]
    assert len({await answer.read() for answer in answers}) == 1
    async with here.resources.pool.acquire() as conn:
        assert await conn.fetchval("SELECT count(*) FROM messages") == 2


async def test_a_replaced_code_is_superseded_and_the_new_one_pays(here: Installation) -> None:
    voucher = (await here.decide())["voucher_id"]
    old = await here.code_of(voucher)
    answer = await here.call(COUNTY, "POST", f"/v1/vouchers/{voucher}/replace-code", {"reason": "phone lost"})
    assert answer.status < 300
    new = await here.code_of(voucher)
    assert new != old
    refused = await here.call(PROVIDER, "POST", "/v1/debits", {"code": old, "amount": 15}, key="o")
    assert await problem_of(refused) == (422, "code_superseded")
    assert (await here.call(PROVIDER, "POST", "/v1/debits", {"code": new, "amount": 15}, key="n")).status == 201


async def test_a_suspended_voucher_is_refused_until_it_is_resumed(here: Installation) -> None:
    voucher = (await here.decide())["voucher_id"]
    code = await here.code_of(voucher)
    await here.call(COUNTY, "POST", f"/v1/vouchers/{voucher}/suspend", {"reason": "to be looked at"})
    found = await (await here.call(PROVIDER, "POST", "/v1/validate", {"code": code})).json()
    assert (found["usable"], found["refusal"]["code"]) == (False, "voucher_suspended")
    refused = await here.call(PROVIDER, "POST", "/v1/debits", {"code": code, "amount": 15}, key="s")
    assert await problem_of(refused) == (422, "voucher_suspended")
    await here.call(COUNTY, "POST", f"/v1/vouchers/{voucher}/resume", {"reason": "all well"})
    assert (await here.call(PROVIDER, "POST", "/v1/debits", {"code": code, "amount": 15}, key="t")).status == 201


async def test_the_list_of_debits_is_walked_by_cursor_without_gap_or_repeat(here: Installation) -> None:
    code = await here.code_of((await here.decide())["voucher_id"])
    made = [
        (
            await (
                await here.call(
                    PROVIDER, "POST", "/v1/debits", {"code": code, "amount": 15, "reference": f"{n}"}, key=f"{n}"
                )
            ).json()
        )["debit_id"]
        for n in range(7)
    ]
    seen: list[str] = []
    cursor = ""
    while True:
        page = await (await here.call(PROVIDER, "GET", f"/v1/debits?limit=3{cursor}")).json()
        seen += [item["debit_id"] for item in page["debits"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == made[::-1]


async def test_a_revoked_key_is_refused_within_a_second(here: Installation) -> None:
    assert (await here.call(PROVIDER, "GET", "/v1/debits")).status == 200
    async with here.resources.pool.acquire() as conn:
        await conn.execute("UPDATE api_keys SET revoked_at = now()")
    async with asyncio.timeout(1.5):
        while (await here.call(PROVIDER, "GET", "/v1/debits")).status == 200:  # noqa: ASYNC110 - nobody tells us
            await asyncio.sleep(0.05)
    assert await problem_of(await here.call(PROVIDER, "GET", "/v1/debits")) == (401, "unauthenticated")


async def test_health_metrics_and_documents_answer_without_a_key_and_without_secrets(here: Installation) -> None:
    voucher = (await here.decide())["voucher_id"]
    code = (await here.code_of(voucher)).replace(" ", "")
    for path in ("/health/live", "/health/ready", "/metrics", "/openapi.json", "/docs"):
        answer = await here.client.get(path)
        text = await answer.text()
        assert answer.status == 200, path
        assert code not in text
        assert "401234567" not in text
    document = await (await here.client.get("/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    assert "/v1/debits/{debit_id}/reverse" in document["paths"]
