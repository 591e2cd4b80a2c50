"""Support over the API, and what the addresses about the service tell of the breaker."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from service.db import Pool
from service.sandbox.sample import COUNTY, TOWN
from tests.guessing.support import PROVIDER, SUPPORT, add_support_key, guess, key_id_of, pretend_misses
from tests.installations import Installation, install, settings_for
from tests.test_site import shown


@pytest.fixture
async def here(pool: Pool, database_url: str, redis_url: str) -> AsyncIterator[Installation]:
    async with install(settings_for(database_url, redis_url)) as installation:
        installation.keys[SUPPORT] = await add_support_key(installation)
        yield installation


async def test_a_block_is_listed_lifted_and_gone(here: Installation) -> None:
    assert await guess(here, 6) == ["code_unknown"] * 5 + ["credential_blocked"]
    listed = await (await here.call(SUPPORT, "GET", "/v1/support/blocks")).json()
    [block] = listed["blocks"]
    key_id = str(await key_id_of(here, PROVIDER))
    assert (block["credential_id"], block["kind"], block["name"]) == (key_id, "key", "test")
    assert block["hint"] == here.keys[PROVIDER][-4:]
    assert (block["business_id"], block["misses_last_hour"], block["misses_last_day"]) == (PROVIDER, 5, 5)
    assert block["blocked_at"] < block["blocked_until"]
    assert listed["breaker"]["misses_today"] == 5
    assert here.keys[PROVIDER] not in str(listed)

    path = f"/v1/support/blocks/{key_id}/lift"
    first = await here.call(SUPPORT, "POST", path, {"reason": "a new till"}, key="k1")
    again = await here.call(SUPPORT, "POST", path, {"reason": "another"}, key="k2")
    assert first.status == again.status == 200
    assert await first.json() == await again.json()
    assert await guess(here, 1) == ["code_unknown"]
    listed = await (await here.call(SUPPORT, "GET", "/v1/support/blocks")).json()
    assert listed["blocks"] == []
    assert [other["misses_last_day"] for other in listed["others"]] == [6]


async def test_the_breaker_is_seen_everywhere_and_ended_by_a_person(here: Installation) -> None:
    assert (await (await here.client.get("/health/ready")).json())["guess_breaker"] is None
    assert await shown(here, "seteli_guess_breaker") == 0
    trips = await shown(here, "seteli_guess_breaker_trips_total")
    await pretend_misses(here, 49)
    await guess(here, 1)

    ready = await here.client.get("/health/ready")
    assert ready.status == 200, "an alarm is no reason to send requests elsewhere"
    assert set((await ready.json())["guess_breaker"]) == {"tripped_at"}
    assert await shown(here, "seteli_guess_breaker") == 1
    assert await shown(here, "seteli_guess_breaker_trips_total") == trips + 1
    assert await shown(here, "seteli_code_misses_today") == 50
    breaker = (await (await here.call(SUPPORT, "GET", "/v1/support/blocks")).json())["breaker"]
    assert (breaker["is_tripped"], breaker["misses_that_tripped"]) == (True, 50)
    made = await here.decide()
    own = await here.call(PROVIDER, "POST", "/v1/validate", {"code": await here.code_of(made["voucher_id"])})
    assert own.status == 200, "whoever does not guess goes on"

    done = await here.call(SUPPORT, "POST", "/v1/support/breaker/acknowledge", {"reason": "a test of ours"})
    assert (await done.json())["misses"] == 50
    assert (await (await here.client.get("/health/ready")).json())["guess_breaker"] is None
    assert await shown(here, "seteli_guess_breaker") == 0


async def test_a_breaker_that_nobody_tripped_in_time_trips_when_metrics_are_read(here: Installation) -> None:
    """The process that counted the fiftieth miss may have died before it could weigh them."""
    await pretend_misses(here, 50)
    assert await shown(here, "seteli_guess_breaker") == 1
    await here.resources.pool.execute("UPDATE code_misses SET missed_at = missed_at - interval '2 days'")
    assert await shown(here, "seteli_code_misses_today") == 0
    assert await shown(here, "seteli_guess_breaker") == 1


@pytest.mark.parametrize("owner", [COUNTY, TOWN, PROVIDER])
async def test_only_support_may_look_and_lift(here: Installation, owner: str) -> None:
    tries = (
        ("GET", "/v1/support/blocks", None),
        ("POST", f"/v1/support/blocks/{uuid4()}/lift", {"reason": "x"}),
        ("POST", "/v1/support/breaker/acknowledge", {"reason": "x"}),
    )
    for method, path, body in tries:
        assert (await here.call(owner, method, path, body)).status == 403


async def test_support_may_do_nothing_else(here: Installation) -> None:
    for method, path, body in (
        ("GET", "/v1/debits", None),
        ("GET", "/v1/attention", None),
        ("POST", "/v1/validate", {"code": "482703159268"}),
    ):
        assert (await here.call(SUPPORT, method, path, body)).status == 403


@pytest.mark.parametrize(
    "body", [{}, {"reason": ""}, {"reason": "  "}, {"reason": "x" * 501}, {"reason": "131052-308T"}]
)
async def test_without_a_fit_reason_nothing_is_lifted(here: Installation, body: dict[str, str]) -> None:
    await guess(here, 5)
    path = f"/v1/support/blocks/{await key_id_of(here, PROVIDER)}/lift"
    assert (await here.call(SUPPORT, "POST", path, body)).status == 400
    assert await guess(here, 1) == ["credential_blocked"]


async def test_what_was_never_blocked_and_a_breaker_that_never_tripped_are_not_found(here: Installation) -> None:
    for path, code in (
        (f"/v1/support/blocks/{uuid4()}/lift", "block_unknown"),
        ("/v1/support/blocks/nonsense/lift", "block_unknown"),
        ("/v1/support/breaker/acknowledge", "breaker_never_tripped"),
    ):
        answer = await here.call(SUPPORT, "POST", path, {"reason": "x"})
        assert (answer.status, (await answer.json())["code"]) == (404, code)
