"""What gateways have answered is written down: in groups, and again until it is written.

A reference that a gateway gave must not be lost, and of a mail this process alone knows that it was taken.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from uuid import UUID

import asyncpg
import structlog

from service.channels import operations
from service.channels.operations import Answered, Delivery
from service.errors import Unavailable
from service.grouping import Grouper
from service.logs import exception_fields
from service.workers.retry import BackOff

log = structlog.get_logger()

GROUP_MAX = 256
GROUPS_IN_FLIGHT = 2
WRITE_TIMEOUT_S = 20.0
LONGEST_PAUSE_S = 5.0
TRIES_IN_UNKNOWN_WAIT = 4

MAY_PASS = (Unavailable, asyncpg.PostgresError, OSError, TimeoutError)


class Answers:
    """Writes down what came of attempts. One in a dispatcher."""

    def __init__(self, delivery: Delivery, *, chance: Callable[[], float]) -> None:
        self._delivery = delivery
        self._chance = chance
        self._unwritten: set[UUID] = set()
        self._groups: Grouper[Answered, bool] = Grouper(
            self._write, max_items=GROUP_MAX, max_in_flight=GROUPS_IN_FLIGHT
        )

    def holds(self, attempt_id: UUID) -> bool:
        """True while the answer to an attempt is here, and not in the database yet."""
        return attempt_id in self._unwritten

    async def record(self, answered: Answered) -> None:
        """Write an answer down, again and again while the database is away, however long that is.

        What a database that is there refuses to hold is given up past the wait for unknown outcomes: then the gateway
        is asked.
        """
        settings, now = self._delivery.settings, asyncio.get_running_loop().time
        give_up_at = now() + settings.lease_s + settings.unknown_wait_s
        # Well within the wait for unknown outcomes: when the database is back after a lease has ended, another worker
        # must not send again what this one knows was taken.
        longest_s = min(LONGEST_PAUSE_S, settings.unknown_wait_s / TRIES_IN_UNKNOWN_WAIT)
        back_off, attempt_id = BackOff(self._chance, longest_s=longest_s), answered.sending.attempt_id
        self._unwritten.add(attempt_id)
        try:
            while (error := await self._try(answered)) is not None:
                if isinstance(error, asyncpg.PostgresError) and now() > give_up_at:
                    log.error("answer_lost", message_id=answered.sending.message_id, **exception_fields(error))
                    return
                await asyncio.sleep(back_off.next_s())
        finally:
            self._unwritten.discard(attempt_id)

    async def _try(self, answered: Answered) -> Exception | None:
        try:
            await self._groups.submit(answered)
        except MAY_PASS as error:
            return error
        return None

    async def _write(self, answers: list[Answered]) -> list[bool]:
        try:
            async with asyncio.timeout(WRITE_TIMEOUT_S):
                return await operations.record_answers(self._delivery, answers)
        except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError):
            # An answer that the database cannot hold must not take the others with it.
            if len(answers) == 1:
                raise
            results = await asyncio.gather(*(self._write([answer]) for answer in answers), return_exceptions=True)
            return [result == [True] for result in results]
