"""A million guesses from five hundred keys, at the function that every look-up of a code goes through: none hits, and
each key's misses and blocks are those that the rule says. The network is left out; the clock is the test's own.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID

import asyncpg
import pytest
import redis
from stdnum import damm
from uuid_utils.compat import uuid7

from tests.conftest import Addresses
from tests.debits.rule_desk import BEGINNING, CLOCK
from tests.debits.rule_model import HELSINKI, Programme, Rules, Voucher
from tests.debits.rule_worlds import Book, connect_to, make_database

KEYS = 500
FIRST_KEYS = 10  # whose misses trip the breaker
START = datetime.combine(date(2026, 11, 18), time(8), HELSINKI).astimezone(UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
VOUCHERS = 2000
GUESS = """
SELECT f.outcome, count(*) FROM unnest($2::uuid[], $3::bytea[]) AS t (credential_id, code_index),
       LATERAL find_code($1, t.credential_id, t.code_index, NULL, '2026-11-18') f
GROUP BY 1
"""
COUNTS = """
SELECT c.credential_id, count(m.*) AS misses, max(b.blocked_until) AS blocked_until
  FROM unnest($1::uuid[]) AS c (credential_id)
  LEFT JOIN code_misses m USING (credential_id) LEFT JOIN credential_blocks b USING (credential_id) GROUP BY 1
"""


@dataclass
class Key:
    """The rule: five misses in an hour stop a key for an hour (two while the breaker is tripped), twenty in a day for a
    day. What a stopped key asks is not looked up, and counts no further.
    """

    credential_id: UUID = field(default_factory=uuid7)
    misses: list[datetime] = field(default_factory=list)
    blocked_until: datetime | None = None

    def guess(self, now: datetime, *, tripped: bool) -> str:
        if self.blocked_until is not None and self.blocked_until > now:
            return "credential_blocked"
        self.misses.append(now)
        in_a_day = sum(missed > now - DAY for missed in self.misses[-40:])
        in_an_hour = sum(missed > now - HOUR for missed in self.misses[-40:])
        if in_a_day >= 20:
            self.blocked_until = now + DAY
        elif in_an_hour >= (2 if tripped else 5):
            self.blocked_until = now + HOUR
        return "code_unknown"


def well_formed(chance: random.Random) -> str:
    digits = str(chance.randrange(10**10, 10**11))
    return digits + damm.calc_check_digit(digits)


def index_of(code: str) -> bytes:
    return hashlib.sha256(code.encode()).digest()


class Siege:
    def __init__(self, conn: asyncpg.Connection[asyncpg.Record], provider_id: UUID) -> None:
        self.conn, self.provider_id = conn, provider_id
        self.keys = [Key() for _ in range(KEYS)]
        self.chance = random.Random(7)
        self.told: dict[str, int] = {}
        self.expected: dict[str, int] = {}
        self.misses: list[datetime] = []
        self.tripped = False

    async def wave(self, now: datetime, each: int) -> None:
        """Every key guesses so many codes; the first few before anybody has looked at the breaker."""
        await self.conn.execute("UPDATE clock.moment SET at = $1", now)
        for keys in (self.keys[:FIRST_KEYS], self.keys[FIRST_KEYS:]):
            dealt = keys * each
            codes = [index_of(well_formed(self.chance)) for _ in dealt]
            ids = [key.credential_id for key in dealt]
            for row in await self.conn.fetch(GUESS, self.provider_id, ids, codes):
                self.told[row["outcome"]] = self.told.get(row["outcome"], 0) + row["count"]
            for key in dealt:
                outcome = key.guess(now, tripped=self.tripped)
                self.expected[outcome] = self.expected.get(outcome, 0) + 1
                self.misses += [now] if outcome == "code_unknown" else []
            today = sum(missed > now - DAY for missed in self.misses)
            weighed = await self.conn.fetchrow("SELECT * FROM weigh_misses()")
            self.tripped = self.tripped or today >= 50
            assert weighed is not None
            assert (weighed["misses_today"], weighed["is_tripped"]) == (today, self.tripped)

    async def compare(self) -> None:
        assert self.told == self.expected
        counted = {
            row["credential_id"]: (row["misses"], row["blocked_until"])
            for row in await self.conn.fetch(COUNTS, [key.credential_id for key in self.keys])
        }
        assert counted == {key.credential_id: (len(key.misses), key.blocked_until) for key in self.keys}


async def besiege(servers: Addresses, redis_url: str, *, waves: int, each: int, apart: timedelta) -> Siege:
    conn = await connect_to(make_database(servers, "guesses"))
    try:
        await conn.execute(CLOCK)
        book = Book(Programme("minutes", ((BEGINNING, Rules(step=15)),)))
        await book.write(conn)
        voucher = Voucher(book.programme, 720, date(2026, 11, 1), date(2026, 12, 31))
        card = await book.add_voucher(conn, voucher)
        chance = random.Random(8)  # the vouchers of a county: the guesses are among as many live codes
        await conn.copy_records_to_table(
            "voucher_codes",
            records=[
                (index_of(well_formed(chance)), "k", book.organiser_id, card.voucher_id, card.code_id)
                for _ in range(VOUCHERS)
            ],
        )
        siege = Siege(conn, book.providers["apu"])
        for number in range(waves):
            await siege.wave(START + number * apart, each)
            if number == waves // 2:
                with redis.Redis.from_url(redis_url) as client:
                    client.flushdb()  # counts are not kept there
        await siege.compare()
        # A stopped key is not told even of a code that it may charge; another key of the same provider is.
        right = [index_of(card.code)] * 2
        stopped = next(
            key for key in siege.keys if key.guess(START + waves * apart - apart, tripped=True) != "code_unknown"
        )
        found = await conn.fetch(GUESS, siege.provider_id, [stopped.credential_id, uuid7()], right)
        assert {row["outcome"]: row["count"] for row in found} == {"credential_blocked": 1, "ok": 1}
        return siege
    finally:
        await conn.close()


async def test_ten_thousand_guesses_hit_nothing_and_are_counted_right(servers: Addresses, redis_url: str) -> None:
    siege = await besiege(servers, redis_url, waves=4, each=5, apart=timedelta(minutes=61))
    assert sum(siege.told.values()) == 10_000
    assert set(siege.told) == {"code_unknown", "credential_blocked"}
    assert siege.told["code_unknown"] < KEYS * 20


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(1800)
async def test_a_million_guesses_hit_nothing_and_are_counted_right(servers: Addresses, redis_url: str) -> None:
    siege = await besiege(servers, redis_url, waves=100, each=20, apart=timedelta(minutes=31))
    assert sum(siege.told.values()) == 1_000_000
    assert set(siege.told) == {"code_unknown", "credential_blocked"}
    print(siege.told, "most by one key:", max(len(key.misses) for key in siege.keys))
