"""A visit that somebody says was none: its payment waits until it is cleared up, and no other's does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from service.db import Pool, transaction
from service.debits.disputes import dispute_told_debit, dispute_visit
from service.desk.operations import visits_by_id
from service.money import Unit
from service.sandbox.sample import COUNTY, FAMILY_SERVICES, TOWN
from service.vouchers.operations.replies import ToldDebit
from tests.installations import Installation, install, settings_for
from tests.towns import running_town

PROVIDER = FAMILY_SERVICES.business_id
WAITING = """
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


@pytest.fixture
async def here(pool: Pool, database_url: str, redis_url: str) -> AsyncIterator[Installation]:
    async with install(settings_for(database_url, redis_url)) as installation:
        yield installation


async def charge(here: Installation, count: int = 2) -> list[str]:
    code = await here.code_of((await here.decide())["voucher_id"])
    made = [
        await here.call(
            PROVIDER,
            "POST",
            "/v1/debits",
            {"code": code, "amount": 60, "reference": f"visit {number}"},
            key=uuid4().hex,
        )
        for number in range(count)
    ]
    return [(await answer.json())["debit_id"] for answer in made]


async def states(here: Installation) -> dict[str, tuple[str, bool]]:
    page = await (await here.call(PROVIDER, "GET", "/v1/debits")).json()
    return {item["debit_id"]: (item["state"], item["disputed"]) for item in page["debits"]}


async def say(here: Installation, debit: str, what: str, body: dict[str, Any], owner: str = COUNTY) -> tuple[int, Any]:
    answer = await here.call(owner, "POST", f"/v1/debits/{debit}/{what}", body)
    content = await answer.json()
    return answer.status, content if answer.status == 200 else content["code"]


async def dispute(here: Installation, debit: str, owner: str = COUNTY) -> tuple[int, Any]:
    return await say(here, debit, "dispute", {"reason": "nobody came"}, owner)


async def resolve(here: Installation, debit: str, owner: str = COUNTY) -> tuple[int, Any]:
    return await say(here, debit, "resolve-dispute", {"resolution": "they did"}, owner)


async def open_items(here: Installation) -> list[dict[str, Any]]:
    return list((await (await here.call(COUNTY, "GET", "/v1/attention")).json())["items"])


async def test_a_dispute_marks_that_debit_alone_until_it_is_resolved(here: Installation) -> None:
    one, other = await charge(here)
    status, disputed = await dispute(here, one)
    assert (status, disputed["reason"], disputed["resolved_at"]) == (200, "nobody came", None)
    assert await states(here) == {one: ("disputed", True), other: ("captured", False)}
    assert [(item["reason"], item["entry_id"]) for item in await open_items(here)] == [("disputed", one)]
    assert await dispute(here, one) == (409, "debit_disputed")

    status, resolved = await resolve(here, one)
    assert (status, resolved["resolution"]) == (200, "they did")
    assert await states(here) == {one: ("captured", False), other: ("captured", False)}
    assert await open_items(here) == []
    assert await resolve(here, one) == (404, "dispute_unknown")
    rows = await here.resources.pool.fetch("SELECT action FROM audit ORDER BY recorded_at, audit_id")
    assert [row["action"] for row in rows][-3:] == ["debit.dispute", "attention.resolve", "debit.resolve_dispute"]


async def test_resolving_the_item_on_the_list_resolves_the_dispute(here: Installation) -> None:
    (one,) = await charge(here, 1)
    await dispute(here, one)
    (item,) = await open_items(here)
    await here.call(COUNTY, "POST", f"/v1/attention/{item['attention_id']}/resolve", {"resolution": "they did"})
    assert await states(here) == {one: ("captured", False)}
    assert await resolve(here, one) == (404, "dispute_unknown")


async def test_whoever_resolves_waits_for_the_dispute_before_it_takes_the_item(here: Installation) -> None:
    (one,) = await charge(here, 1)
    await dispute(here, one)
    (item,) = await open_items(here)
    path = f"/v1/attention/{item['attention_id']}/resolve"
    async with here.resources.pool.acquire() as conn, conn.transaction():
        await conn.execute("SELECT FROM disputes FOR UPDATE")
        resolving = asyncio.create_task(here.call(COUNTY, "POST", path, {"resolution": "they did"}))
        async with asyncio.timeout(10):
            while not await here.resources.pool.fetchval(WAITING):  # noqa: ASYNC110 - nobody tells us
                await asyncio.sleep(0.01)
        await conn.execute("SELECT FROM attention FOR UPDATE NOWAIT")  # refused, if it were taken already
    assert (await resolving).status == 200
    assert await states(here) == {one: ("captured", False)}


async def test_a_debit_may_be_disputed_again_after_it_was_cleared_up(here: Installation) -> None:
    (one,) = await charge(here, 1)
    for _ in range(2):
        assert (await dispute(here, one))[0] == 200
        assert (await resolve(here, one))[0] == 200


async def test_what_was_said_before_stays_when_the_same_visit_is_disputed_again(here: Installation) -> None:
    """By text a family says nothing but EI, so what it wrote on its page is still what it says."""
    (one,) = await charge(here, 1)
    async with transaction(here.resources.pool) as conn:
        row = await conn.fetchrow("SELECT organiser_id, voucher_id, entry_id FROM entries")
        organiser_id, voucher_id, entry_id = row
        told = ToldDebit(
            **dict(row), provider="x", amount=60, unit=Unit.MINUTES, service_date=date(2026, 1, 2), neutral_texts=False
        )
        await dispute_visit(
            conn, organiser_id=organiser_id, voucher_id=voucher_id, debit_id=entry_id, reason="We were away."
        )
    assert (await resolve(here, one))[0] == 200
    for _ in range(2):  # the second text says what is said already
        async with transaction(here.resources.pool) as conn:
            await dispute_told_debit(conn, told)
    async with transaction(here.resources.pool) as conn:
        shown = (await visits_by_id(conn, organiser_id=organiser_id, entry_ids=[entry_id]))[entry_id]
        assert (shown["raised_by"], shown["dispute_reason"]) == ("family", "We were away.")
        lines = await conn.fetchval("SELECT count(*) FROM audit WHERE action = 'debit.dispute' AND actor = 'family'")
        assert lines == 2
    assert (await resolve(here, one))[0] == 200
    assert (await dispute(here, one))[0] == 200
    async with transaction(here.resources.pool) as conn:
        rows = await conn.fetch("SELECT raised_by, reason, resolution FROM earlier_disputes ORDER BY raised_at")
    assert [tuple(row) for row in rows] == [("family", "We were away.", "they did"), ("family", None, "they did")]


async def test_what_was_taken_back_is_disputed_no_more_and_what_is_left_is(here: Installation) -> None:
    one, other = await charge(here)
    for debit, body in ((one, {}), (other, {"amount": 15})):
        await here.call(PROVIDER, "POST", f"/v1/debits/{debit}/reverse", body, key=uuid4().hex)
    assert await dispute(here, one) == (409, "already_reversed")
    assert (await dispute(here, other))[0] == 200
    await here.call(PROVIDER, "POST", f"/v1/debits/{other}/reverse", {}, key=uuid4().hex)
    assert await states(here) == {one: ("reversed", False), other: ("reversed", True)}


async def test_another_organisers_debits_are_as_unknown_as_none(here: Installation) -> None:
    (one,) = await charge(here, 1)
    for debit in (one, str(uuid4()), "x"):
        assert await dispute(here, debit, TOWN) == (404, "debit_unknown")
        assert await resolve(here, debit, TOWN) == (404, "debit_unknown")
    assert await dispute(here, one, PROVIDER) == (403, "forbidden")
    assert await states(here) == {one: ("captured", False)}


async def test_a_dispute_posted_twice_with_one_key_is_one(here: Installation) -> None:
    (one,) = await charge(here, 1)
    path, body = f"/v1/debits/{one}/dispute", {"reason": "nobody came"}
    first, again = [await here.call(COUNTY, "POST", path, body, key="d1") for _ in range(2)]
    assert (first.status, again.status) == (200, 200)
    assert await first.read() == await again.read()


async def test_a_family_that_answers_ei_disputes_the_debit_itself(
    pool: Pool, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    async with running_town(database_url, redis_url, tmp_path) as town:
        code = await town.here.code_of((await town.decide())["voucher_id"])
        debits = []
        for number in (1, 2):
            body = {"code": code, "amount": 60, "reference": f"visit {number}"}
            answer = await town.here.call(PROVIDER, "POST", "/v1/debits", body, key=uuid4().hex)
            debits.append((await answer.json())["debit_id"])
            await town.wait_for_texts(1 + number)
        reverse = f"/v1/debits/{debits[1]}/reverse"
        await town.here.call(PROVIDER, "POST", reverse, {"amount": 15}, key=uuid4().hex)
        await town.text("EI")
        await town.quiet_texts()
        assert await states(town.here) == {debits[0]: ("captured", False), debits[1]: ("disputed", True)}
        assert await town.value("SELECT raised_by FROM disputes") == "family"
        assert [item["entry_id"] for item in await open_items(town.here)] == [debits[1]]
        status, _ = await resolve(town.here, debits[1])
        assert status == 200
