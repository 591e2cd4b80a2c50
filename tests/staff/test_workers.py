"""A provider's office keeps its workers: over the API and on the command line; and rotation takes them along."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from typer.testing import CliRunner

from service.crypto import Keys, SealBroken
from service.db import Pool, transaction
from service.providers.operations import create_key
from service.sandbox.sample import COUNTY, FAMILY_SERVICES, PROVIDERS
from service.staff import operations
from service.staff.commands import staff_app
from service.staff.model import WorkerPhoneTaken, draw_pin
from service.staff.pins import is_pin, phone_context
from tests.installations import Installation, install, settings_for
from tests.providers.test_commands import ENVIRONMENT
from tests.vouchers.worlds import KEYS, ROTATED, ROTATING

PROVIDER = FAMILY_SERVICES.business_id
OTHER = PROVIDERS[1].business_id
PHONE = "+358407000001"
ANNA = {"name": "Anna Aalto", "phone": "040 700 0001", "language": "sv"}


@pytest.fixture
async def here(pool: Pool, database_url: str, redis_url: str) -> AsyncIterator[Installation]:
    async with install(settings_for(database_url, redis_url)) as here:
        yield here


async def call(here: Installation, method: str, path: str, body: object = None, owner: str = PROVIDER) -> Any:
    answer = await here.call(owner, method, path, body)
    return answer.status, await answer.json()


async def test_a_worker_is_registered_with_a_pin_that_is_shown_once(here: Installation) -> None:
    status, made = await call(here, "POST", "/v1/workers", ANNA)
    assert status == 201
    assert re.fullmatch(r"[0-9]{6}", made["pin"])
    assert (made["name"], made["language"], made["phone_hint"], made["state"]) == (
        *("Anna Aalto", "sv", "… 001"),
        "active",
    )
    _, listed = await call(here, "GET", "/v1/workers")
    assert [worker["worker_id"] for worker in listed["workers"]] == [made["worker_id"]]
    assert "pin" not in listed["workers"][0]
    assert listed["next_cursor"] is None


async def test_a_list_of_workers_is_read_page_by_page(here: Installation) -> None:
    made = [
        (await call(here, "POST", "/v1/workers", {**ANNA, "phone": f"040 700 000{number}"}))[1]["worker_id"]
        for number in range(3)
    ]
    _, first = await call(here, "GET", "/v1/workers?limit=2")
    _, second = await call(here, "GET", f"/v1/workers?limit=2&cursor={first['next_cursor']}")
    assert [worker["worker_id"] for worker in first["workers"] + second["workers"]] == made


async def test_a_phone_is_one_live_workers_of_whatever_company(here: Installation) -> None:
    _, made = await call(here, "POST", "/v1/workers", ANNA)
    for owner in (PROVIDER, OTHER):
        status, problem = await call(here, "POST", "/v1/workers", {**ANNA, "phone": PHONE}, owner=owner)
        assert (status, problem["code"]) == (409, "worker_phone_taken")
    await call(here, "POST", f"/v1/workers/{made['worker_id']}/remove")
    status, _ = await call(here, "POST", "/v1/workers", ANNA, owner=OTHER)
    assert status == 201


async def test_of_two_that_register_a_phone_at_once_one_gets_it(here: Installation) -> None:
    statuses = [
        status for status, _ in await asyncio.gather(*(call(here, "POST", "/v1/workers", ANNA) for _ in range(6)))
    ]
    assert sorted(statuses) == [201, *[409] * 5]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"phone": "014 266 3501"}, "phone_not_mobile"),
        ({"phone": "+4915123456789"}, "phone_country_not_served"),
        ({"language": "ru"}, "invalid_request"),
        ({"name": ""}, "invalid_request"),
        ({"name": "Anna\nAalto"}, "worker_name_unfit"),
        ({"pin": "123456"}, "invalid_request"),
    ],
)
async def test_what_cannot_be_a_worker_is_refused(here: Installation, change: dict[str, str], code: str) -> None:
    status, problem = await call(here, "POST", "/v1/workers", {**ANNA, **change})
    assert (status, problem["code"]) == (400, code)


async def test_a_company_sees_and_changes_no_worker_of_anothers(here: Installation) -> None:
    _, made = await call(here, "POST", "/v1/workers", ANNA)
    assert (await call(here, "GET", "/v1/workers", owner=OTHER))[1]["workers"] == []
    for change in ("new-pin", "unlock", "remove"):
        for worker_id in (made["worker_id"], str(uuid4()), "x"):
            status, problem = await call(here, "POST", f"/v1/workers/{worker_id}/{change}", owner=OTHER)
            assert (status, problem["code"]) == (404, "worker_unknown")


async def test_workers_are_kept_by_providers_whose_key_may_and_by_nobody_else(here: Installation) -> None:
    assert (await call(here, "GET", "/v1/workers", owner=COUNTY))[0] == 403
    async with transaction(here.resources.pool) as conn:
        before = await create_key(
            conn, business_id=PROVIDER, name="from before", permissions=frozenset({"debits:write", "debits:read"})
        )
    here.keys["old"] = before.key
    status, problem = await call(here, "POST", "/v1/workers", ANNA, owner="old")
    assert (status, problem["code"]) == (403, "forbidden")


async def test_a_new_pin_takes_the_place_of_the_old_one_and_there_is_no_lock_to_lift(here: Installation) -> None:
    _, made = await call(here, "POST", "/v1/workers", ANNA)
    worker_id, keys = UUID(made["worker_id"]), here.resources.keys
    status, problem = await call(here, "POST", f"/v1/workers/{worker_id}/unlock")
    assert (status, problem["code"]) == (409, "worker_not_locked")
    status, renewed = await call(here, "POST", f"/v1/workers/{worker_id}/new-pin")
    assert status == 200
    sealed = await here.resources.pool.fetchval("SELECT pin_sealed FROM workers")
    assert await is_pin(keys, worker_id, sealed, renewed["pin"])
    assert made["pin"] == renewed["pin"] or not await is_pin(keys, worker_id, sealed, made["pin"])


async def test_a_pin_is_stored_as_argon2id_of_this_worker_alone_and_sealed(
    here: Installation, real_hashes: None
) -> None:
    _, made = await call(here, "POST", "/v1/workers", ANNA)
    worker_id, keys = UUID(made["worker_id"]), here.resources.keys
    sealed = await here.resources.pool.fetchval("SELECT pin_sealed FROM workers")
    assert b"argon2" not in sealed
    opened = keys.sealer.open(sealed, b"worker pin" + worker_id.bytes)
    assert opened.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    with pytest.raises(SealBroken):
        await is_pin(keys, uuid4(), sealed, made["pin"])


def test_a_pin_keeps_its_zeros() -> None:
    assert draw_pin(lambda _below: 42) == "000042"
    assert draw_pin(lambda below: below - 1) == "999999"


async def test_keys_of_texted_charges_are_not_for_callers_of_the_api(here: Installation) -> None:
    for key in ("sms:twilio:SM1", '"sms:twilio:SM1"'):
        answer = await here.call(PROVIDER, "POST", "/v1/debits", {"code": "1", "amount": 1}, key=key)
        assert (answer.status, (await answer.json())["code"]) == (400, "idempotency_key_reserved")


async def test_workers_are_moved_to_newer_keys_and_their_phones_are_found_meanwhile(pool: Pool) -> None:
    async with transaction(pool) as conn:
        await conn.execute(
            "INSERT INTO providers (provider_id, business_id, name) VALUES ($1, '9000101-4', 'Apu Oy')", PROVIDER_ID
        )
        made = await add(conn, KEYS)
        with pytest.raises(WorkerPhoneTaken):
            await add(conn, ROTATING)
    assert await operations.rotate_workers(pool, ROTATING) == 1
    assert await operations.rotate_workers(pool, ROTATING) == 0
    row = await pool.fetchrow("SELECT phone_sealed, phone_index, pin_sealed FROM workers")
    assert row is not None
    worker_id = made.worker.worker_id
    assert ROTATED.sealer.open(row["phone_sealed"], phone_context(worker_id)) == PHONE
    assert row["phone_index"] == ROTATED.index.current("phone", PHONE)
    assert await is_pin(ROTATED, worker_id, row["pin_sealed"], made.pin)


PROVIDER_ID = uuid4()


async def add(conn: Any, keys: Keys) -> Any:
    return await operations.add_worker(
        conn,
        keys,
        provider_id=PROVIDER_ID,
        name="Anna",
        phone=PHONE,
        language="fi",
        countries=("FI",),
        actor="test",
    )


async def test_whoever_runs_the_service_keeps_workers_on_the_command_line(
    here: Installation, database_url: str, redis_url: str
) -> None:
    ring = {
        "ENCRYPTION_KEYS": f"e1:{base64.b64encode(b'e' * 32).decode()}",
        "INDEX_KEYS": f"i1:{base64.b64encode(b'i' * 32).decode()}",
    }
    environment = {**ENVIRONMENT, **ring, "DATABASE_URL": database_url, "REDIS_URL": redis_url}

    async def run(*arguments: str) -> tuple[int, str, str]:
        result = await asyncio.to_thread(CliRunner().invoke, staff_app, list(arguments), env=environment)
        return result.exit_code, result.stdout, result.stderr

    status, pin, told = await run("add", "--provider", PROVIDER, "--name", "Anna", "--phone", "040 700 0001")
    assert status == 0
    assert re.fullmatch(r"[0-9]{6}\n", pin)
    [worker_id] = re.findall(r"[0-9a-f-]{36}", told)
    assert worker_id in (await run("list", "--provider", PROVIDER))[1]
    status, _, told = await run("unlock", worker_id)
    assert status == 1
    assert "not locked" in told
    assert re.fullmatch(r"[0-9]{6}\n", (await run("new-pin", worker_id))[1])
    assert (await run("remove", worker_id))[1] == "Anna is removed\n"
    assert worker_id not in (await run("list", "--provider", PROVIDER))[1]
    actors = await here.resources.pool.fetch("SELECT DISTINCT actor FROM audit WHERE action LIKE 'worker%'")
    assert all(row["actor"].startswith("command line:") for row in actors)
