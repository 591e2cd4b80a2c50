"""A decision_ref names a new decision or a later one, also when both are stored at the same moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from service.sandbox.sample import COUNTY
from tests.installations import Installation, decision, install, settings_for
from tests.vouchers.changed import changed


@pytest.fixture
async def here(database_url: str, redis_url: str) -> AsyncIterator[Installation]:
    async with install(settings_for(database_url, redis_url)) as here:
        yield here


COPY_DECISION = """
INSERT INTO decisions SELECT (jsonb_populate_record(d, jsonb_build_object(
    'decision_id', gen_random_uuid(), 'decision_ref', 'KH-901'))).* FROM decisions d
"""
INSERT_LATER_DECISION = """
INSERT INTO decision_versions (organiser_id, version_id, voucher_id, decision_ref, asked_from, starts_on, granted,
    sets_visits, sets_minutes, reason, created_by)
SELECT organiser_id, gen_random_uuid(), voucher_id, 'KH-901', valid_from, valid_from, 900, false, false, '', 'test'
  FROM vouchers
"""

IS_WAITED_FOR = """
SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database
                WHERE l.locktype = 'advisory' AND NOT l.granted AND d.datname = current_database())
"""


@pytest.mark.parametrize("rival", [COPY_DECISION, INSERT_LATER_DECISION])
async def test_a_reference_is_not_given_to_a_decision_and_to_a_later_one_at_the_same_moment(
    here: Installation, rival: str
) -> None:
    made = await changed(here)
    is_later = rival == INSERT_LATER_DECISION
    async with here.resources.pool.acquire() as conn:
        begun = conn.transaction()
        await begun.start()
        await conn.execute(rival)
        if is_later:
            mine = asyncio.create_task(here.call(COUNTY, "POST", "/v1/decisions", decision(decision_ref="KH-901")))
        else:
            mine = asyncio.create_task(made.ask("change", decision_ref="KH-901", granted=900))
        while not await conn.fetchval(IS_WAITED_FOR):
            assert not mine.done(), "it does not wait for what is under way"
            await asyncio.sleep(0.01)
        await begun.commit()
    answer = await mine
    status, problem = (answer.status, await answer.json()) if is_later else answer
    assert (status, problem["code"]) == (409, "decision_differs")
    async with here.resources.pool.acquire() as conn:
        of_both = "SELECT count(*) FROM (TABLE decisions) d JOIN decision_versions USING (organiser_id, decision_ref)"
        assert await conn.fetchval(of_both) == 0
