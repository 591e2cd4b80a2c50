"""Wrong tries cost time: counted for who was tried and for where from, before the try is looked at."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from service.crypto import Keys
from service.db import Pool, transaction
from service.people.model import (
    FORGOTTEN_AFTER,
    FREE_FAILURES,
    FREE_FAILURES_OF_ADDRESS,
    LONGEST_DELAY_S,
    SignInBlocked,
    delay_s,
)
from service.people.queries import proofs as queries

PURPOSE = "login"
_COUNTED_MAX = 60


def _delays(free: int) -> list[int]:
    """The seconds after the first, second … failure, as far as they differ."""
    delays = [delay_s(failures, free) for failures in range(1, _COUNTED_MAX)]
    assert delays[-1] == LONGEST_DELAY_S
    return delays


@dataclass(frozen=True, slots=True)
class Try:
    """What one try counts against: digests, so that the table holds neither e-mail nor network addresses."""

    who: bytes
    where: bytes


def try_of(keys: Keys, *, who: str, prefix: str) -> Try:
    """`who`: an e-mail address as it was given, or a person's id; `prefix`: of the network address it came from."""
    index = keys.index
    return Try(index.current(PURPOSE, f"who:{who}"), index.current(PURPOSE, f"where:{prefix}"))


def try_of_person(keys: Keys, person_id: UUID, prefix: str) -> Try:
    return try_of(keys, who=f"person:{person_id}", prefix=prefix)


async def begin_try(pool: Pool, attempt: Try) -> None:
    """Count a try as failed until it is told otherwise. Raises SignInBlocked, and then counts nothing."""
    async with transaction(pool) as conn:
        for about, free in ((attempt.who, FREE_FAILURES), (attempt.where, FREE_FAILURES_OF_ADDRESS)):
            is_open = await queries.count_try(
                conn, about=about, delays_s=_delays(free), forgotten_after=FORGOTTEN_AFTER
            )
            if not is_open:
                wait_s = await queries.select_wait_s(conn, abouts=[attempt.who, attempt.where])
                raise SignInBlocked(retry_after_s=max(1, wait_s))


async def forgive_try(pool: Pool, attempt: Try) -> None:
    """The try was right: its person begins anew; of where it came from, only this one try is taken back."""
    async with transaction(pool) as conn:
        await queries.forgive(conn, abouts=[attempt.who])
        await queries.uncount_try(conn, about=attempt.where)
