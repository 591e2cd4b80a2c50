"""What is not the provider's business has one answer, whatever the reason: the same bytes, after the same work."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import asyncpg
import pytest
from uuid_utils.compat import uuid7

from service.db import Connection, Pool, transaction
from service.debits.model import ChargeOrder
from service.debits.queries import charging, holds
from service.sandbox.sample import FAMILY_SERVICES, PROVIDERS
from tests.debits.worlds import World
from tests.guessing.support import unknown_code
from tests.installations import Installation, install, settings_for

APPROVED = FAMILY_SERVICES.business_id
CLEANERS = PROVIDERS[4].business_id  # of another programme


@pytest.fixture
async def here(pool: Pool, database_url: str, redis_url: str) -> AsyncIterator[Installation]:
    async with install(settings_for(database_url, redis_url)) as installation:
        yield installation


async def raw_answer(here: Installation, owner: str, path: str, body: dict[str, Any]) -> bytes:
    """Everything that comes over the wire, but for what the clock says."""
    server = here.client.server
    assert server is not None
    reader, writer = await asyncio.open_connection(server.host, server.port)
    content = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: seteli\r\nAuthorization: Bearer {here.keys[owner]}\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nIdempotency-Key: {uuid4()}\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    writer.write(head.encode() + content)
    await writer.drain()
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    found, count = re.subn(rb"\r\nDate: [^\r]*", b"", answer)
    assert count == 1
    return found


async def nobodys_codes(here: Installation) -> dict[str, tuple[str, str]]:
    """Who asks for which code, by why it is not theirs."""
    made = await here.decide()
    code = await here.code_of(made["voucher_id"])
    await here.call("kuusirannan-hva", "POST", f"/v1/vouchers/{made['voucher_id']}/replace-code", {"reason": "lost"})
    pool = here.resources.pool
    await pool.execute("UPDATE codes SET superseded_at = now() - interval '31 days' WHERE superseded_at IS NOT NULL")
    live = await here.code_of(made["voucher_id"])
    assert live != code
    await pool.execute(  # the second provider's approvals are over
        "UPDATE approvals SET valid_to = helsinki_today() - 60 WHERE provider_id ="
        " (SELECT provider_id FROM providers WHERE business_id = $1)",
        PROVIDERS[1].business_id,
    )
    return {
        "unknown": (APPROVED, unknown_code()),
        "replaced long ago": (APPROVED, code),
        "of another programme": (CLEANERS, live),
        "no more entitled": (PROVIDERS[1].business_id, live),
        "unknown to another": (CLEANERS, unknown_code()),
    }


def requests() -> dict[str, tuple[str, dict[str, Any]]]:
    day = (datetime.now(ZoneInfo("Europe/Helsinki")) - timedelta(days=1)).date()
    visit = {"starts_at": f"{day}T17:10", "ends_at": f"{day}T18:25"}
    return {
        "validate": ("/v1/validate", {}),
        "validate on a day": ("/v1/validate", {"service_date": str(day), "amount": 15}),
        "validate with times": ("/v1/validate", visit),
        "debit": ("/v1/debits", {"amount": 15}),
        "debit before any approval": ("/v1/debits", {"amount": 15, "service_date": str(day - timedelta(days=500))}),
        "debit with times": ("/v1/debits", visit),
        "debit of no steps": ("/v1/debits", {"amount": 7}),
        "hold": ("/v1/holds", {"amount": 15}),
        "hold with times": ("/v1/holds", visit),
    }


async def test_whatever_the_reason_the_answer_is_the_same_to_the_byte_headers_and_all(here: Installation) -> None:
    codes = await nobodys_codes(here)
    for name, (path, body) in requests().items():
        answers: dict[bytes, str] = {}
        for why, (owner, code) in codes.items():
            answers[await raw_answer(here, owner, path, body | {"code": code})] = why
        assert len(answers) == 1, (name, answers)
        [answer] = answers
        assert answer.startswith(b"HTTP/1.1 404 ")
        assert b'"code":"code_unknown"' in answer
        assert await here.resources.pool.fetchval("SELECT count(*) FROM code_misses") == len(codes), name
        await here.resources.pool.execute("TRUNCATE code_misses, credential_blocks, breaker_trips")


async def test_a_blocked_key_learns_nothing_of_any_code_not_even_of_its_own(here: Installation) -> None:
    own = await here.code_of((await here.decide())["voucher_id"])
    for _ in range(5):
        await raw_answer(here, APPROVED, "/v1/validate", {"code": unknown_code()})
    for name, (path, body) in requests().items():
        answers = {
            re.sub(rb"\d+", b"", await raw_answer(here, APPROVED, path, body | {"code": code}))
            for code in (own, unknown_code())
        }
        assert len(answers) == 1, name
        assert b"credential_blocked" in answers.pop()


Call = Callable[[Connection, ChargeOrder], Awaitable[Any]]
CALLS: dict[str, Call] = {
    "validate": lambda conn, order: charging.validate(conn, order, holidays=[], eves=[]),
    "debit": lambda conn, order: conn.fetch("SELECT * FROM debit($1, '{}', '{}')", order.as_row()),
    "hold": lambda conn, order: holds.hold(conn, order, holidays=[], eves=[]),
    "terms": lambda conn, order: charging.select_terms(
        conn,
        code_index=order.code_index,
        previous_code_index=order.previous_code_index,
        on=datetime.now().date(),  # noqa: DTZ005
    ),
}


async def statements_of(conn: Any, call: Call, order: ChargeOrder) -> list[str]:
    """Every statement that runs for it, nested ones too, with the nodes of its plan. Undone afterwards."""
    told: list[str] = []

    def listen(_conn: object, message: Any) -> None:
        told.append(message.message)

    attempt = conn.transaction()
    await attempt.start()
    conn.add_log_listener(listen)
    await call(conn, order)
    await conn.fetchval("SELECT 1")  # what was said before has been heard
    conn.remove_log_listener(listen)
    await attempt.rollback()
    # Rows and costs are guesses of the planner; what it does is in the names of its nodes.
    return [
        re.sub(r"duration: \S+ ms|\(cost=[^)]*\)|'[^']*'::(uuid|bytea|text|date)", "", plan)
        for plan in told
        if plan.startswith("duration")
    ]


@pytest.mark.parametrize("name", CALLS)
async def test_unknown_foreign_and_replaced_codes_are_refused_by_the_same_statements(pool: Pool, name: str) -> None:
    """No clock in this test: the same statements by the same plans, each by a unique index, take the same time."""
    world = World()
    async with transaction(pool) as conn:
        await world.build(conn)
        foreign, replaced = await world.add_voucher(conn, granted=720), await world.add_voucher(conn, granted=720)
        await conn.execute(
            "UPDATE codes SET superseded_at = now() - interval '31 days' WHERE code_id = $1", replaced.code_id
        )
        await conn.execute("UPDATE vouchers SET code_id = $2 WHERE code_id = $1", replaced.code_id, uuid7())
    conn = await asyncpg.connect(**connection_of(pool))
    try:
        try:
            await conn.execute("LOAD 'auto_explain'")
        except asyncpg.PostgresError as error:
            pytest.skip(f"this server does not tell its statements: {error}")
        await conn.execute(
            "SET auto_explain.log_min_duration = 0; SET auto_explain.log_nested_statements = on;"
            "SET auto_explain.log_parameter_max_length = 0; SET auto_explain.log_level = 'notice';"
            "SET client_min_messages = 'notice'; SET plan_cache_mode = 'force_generic_plan'"
        )
        stranger: dict[str, UUID] = {"provider_id": world.stranger_id}
        orders = {
            "unknown": world.order("nobody has this", 15),
            "foreign": world.order(foreign, 15, **stranger),
            "replaced": world.order(replaced, 15),
        }
        for order in orders.values():  # the first time a session does something it does more
            await statements_of(conn, CALLS[name], order)
        found = {why: await statements_of(conn, CALLS[name], order) for why, order in orders.items()}
    finally:
        await conn.close()
    assert len(found["unknown"]) >= (1 if name == "terms" else 8)
    assert found["unknown"] == found["foreign"] == found["replaced"]


def connection_of(pool: Pool) -> dict[str, Any]:
    return {"dsn": pool._connect_args[0]}
