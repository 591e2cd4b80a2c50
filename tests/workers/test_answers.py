from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import asyncpg
import pytest

from service.channels import operations
from service.channels.gateway import Accepted
from service.channels.operations import Answered, claim_due
from service.db import Pool
from service.errors import DatabaseUnavailable
from service.workers.answers import Answers
from tests.channels.post_office import Office, Times

LEASE_S, UNKNOWN_WAIT_S = 0.2, 0.1


@pytest.fixture
def office(pool: Pool) -> Office:
    return Office(pool, times=replace(Times(), lease_s=LEASE_S, unknown_wait_s=UNKNOWN_WAIT_S))


@asynccontextmanager
async def being_recorded(office: Office) -> AsyncIterator[tuple[Answers, Answered, asyncio.Task[None]]]:
    """The answer to one attempt, on its way into the database."""
    await office.queue()
    [sending] = await claim_due(office.delivery, limit=1)
    answers, answered = Answers(office.delivery, chance=lambda: 0.0), Answered(sending, Accepted("SM1"))
    recording = asyncio.create_task(answers.record(answered))
    try:
        yield answers, answered, recording
    finally:
        recording.cancel()
        await asyncio.gather(recording, return_exceptions=True)


async def test_an_answer_is_kept_for_as_long_as_the_database_is_away(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_back, record, tries = asyncio.Event(), operations.record_answers, 0

    async def away(delivery: operations.Delivery, answers: list[Answered]) -> list[bool]:
        nonlocal tries
        if not is_back.is_set():
            tries += 1
            raise DatabaseUnavailable
        return await record(delivery, answers)

    monkeypatch.setattr(operations, "record_answers", away)
    async with being_recorded(office) as (answers, answered, recording):
        await asyncio.sleep(3 * (LEASE_S + UNKNOWN_WAIT_S))
        assert not recording.done()
        assert answers.holds(answered.sending.attempt_id)
        # No pause is as long as the wait for unknown outcomes: else another worker sends it again after the lease.
        assert tries > 3 * (LEASE_S + UNKNOWN_WAIT_S) / UNKNOWN_WAIT_S
        is_back.set()
        await recording
        assert not answers.holds(answered.sending.attempt_id)
    [attempt] = await office.attempts(answered.sending.message_id)
    assert attempt["reference"] == "SM1"


async def test_an_answer_that_the_database_refuses_is_given_up_when_the_gateway_is_asked(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(_delivery: operations.Delivery, _answers: list[Answered]) -> list[bool]:
        raise asyncpg.DataError

    monkeypatch.setattr(operations, "record_answers", refuse)
    async with being_recorded(office) as (answers, answered, recording):
        await asyncio.sleep(LEASE_S / 2)
        assert answers.holds(answered.sending.attempt_id)
        await asyncio.wait_for(recording, 5)
        assert not answers.holds(answered.sending.attempt_id)
