"""Eight clients at once on two vouchers: whatever they were told, there is an order in which one after the other would
have been told the same (linearizability, searched for as Wing and Gong do), and in the end the books balance.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import count, pairwise
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from uuid_utils.compat import uuid7

from tests.conftest import Addresses
from tests.debits.rule_model import HELSINKI, Ask, Calendar, Programme, Rules, Verdict, Voucher
from tests.debits.rule_worlds import CLOCK, EVES, HOLIDAYS, Answer, Book, Card, connect_to, make_database, set_clock

CLIENTS = 8
LONG = (pytest.mark.slow, pytest.mark.long)
TODAY = date(2026, 12, 30)  # a Wednesday of week 53: this week's visits go over the New Year
NOW = datetime.combine(TODAY, time(12), HELSINKI).astimezone(UTC)
VALUES = {"weekday": 3350, "evening": 4475, "saturday": 4475, "sunday": 5580}
PRICES = {"weekday": 3790, "evening": 4475, "saturday": 5001, "sunday": 5580}
HOME_HELP = Programme(
    "minutes",
    ((date(2000, 1, 1), Rules(step=15, values=VALUES)),),
    {"apu": ((date(2000, 1, 1), PRICES),)},
    Calendar(frozenset(HOLIDAYS), frozenset(EVES)),
)
VALUE, VISITS_A_WEEK = 600, 6


@dataclass(frozen=True)
class Call:
    """One request, when it was on its way, and what it was answered. `act` does the same to a voucher of the model."""

    began: float
    ended: float
    act: Callable[[Voucher], tuple[str, int | None]]
    answer: tuple[str, int | None]  # the outcome, and what was available then


def a_linear_order(voucher: Voucher, calls: list[Call]) -> list[Call] | None:
    """An order of the calls that respects who had ended before whom began, and in which the model answers the same.

    None: there is none. What has been tried is known by what was done and by the state that it led to: a part charged
    of what was left may be more or less in another order, and leave the same available.
    """
    ordered = sorted(calls, key=lambda call: call.began)
    tried: set[tuple[object, ...]] = set()

    def search(done: int, state: Voucher, path: list[Call]) -> list[Call] | None:
        if done == (1 << len(ordered)) - 1:
            return path
        if (place := (done, *state_of(state))) in tried:
            return None
        tried.add(place)
        waiting = [i for i in range(len(ordered)) if not done >> i & 1]
        first_end = min(ordered[i].ended for i in waiting)
        for i in waiting:
            if ordered[i].began > first_end:
                break
            after = deepcopy(state)
            if ordered[i].act(after) == ordered[i].answer:
                found = search(done | 1 << i, after, [*path, ordered[i]])
                if found is not None:
                    return found
        return None

    return search(0, voucher, [])


def state_of(voucher: Voucher) -> tuple[object, ...]:
    debits = frozenset((entry, debit.left) for entry, debit in voucher.debits.items())
    return debits, frozenset((hold_id, hold.state, hold.amount) for hold_id, hold in voucher.holds.items())


class Client:
    """A provider's system that asks at random and writes down what it was told."""

    def __init__(self, conn: asyncpg.Connection[asyncpg.Record], seed: int, clock: Callable[[], int]) -> None:
        self.conn, self.random, self.clock = conn, random.Random(seed), clock
        self.holds: list[tuple[Card, UUID]] = []
        self.debits: list[tuple[Card, UUID]] = []
        self.calls: dict[UUID, list[Call]] = {}

    async def play(self, cards: list[Card], requests: int) -> None:
        for _ in range(requests):
            kind = self.random.choice(
                ["debit", "debit", "debit", "hold", "hold", "capture", "void", "reverse", "reverse"]
            )
            if kind in ("capture", "void") and self.holds:
                await getattr(self, kind)(*self.random.choice(self.holds))
            elif kind == "reverse" and self.debits:
                await self.reverse(*self.random.choice(self.debits))
            else:
                await (self.hold if kind == "hold" else self.debit)(self.random.choice(cards))

    def ask(self) -> Ask:
        day = TODAY + timedelta(days=self.random.choice([0, -1, -2, -7]))
        return Ask("apu", day, 15 * self.random.randint(1, 8), partial=self.random.random() < 0.3)

    async def record(self, card: Card, act: Callable[[Voucher], tuple[str, int | None]], request: Any) -> Answer:
        began = self.clock()
        answer: Answer = await request
        told = (answer.outcome, answer.body.get("available"))
        self.calls.setdefault(card.voucher_id, []).append(Call(began, self.clock(), act, told))
        return answer

    async def debit(self, card: Card) -> None:
        ask, entry = self.ask(), uuid7()

        def act(voucher: Voucher) -> tuple[str, int | None]:
            return told_of(voucher, voucher.debit(str(entry), ask, today=TODAY, now=NOW))

        order = card.order(ask, new_id=entry, key=entry.hex, parts=None)
        if (await self.record(card, act, card.debit(self.conn, order))).outcome == "ok":
            self.debits.append((card, entry))

    async def hold(self, card: Card) -> None:
        ask, hold = self.ask(), uuid7()

        def act(voucher: Voucher) -> tuple[str, int | None]:
            return told_of(voucher, voucher.hold(str(hold), ask, today=TODAY, now=NOW))

        order = card.order(ask, new_id=hold, key=hold.hex, parts=None)
        if (await self.record(card, act, card.hold(self.conn, order))).outcome == "ok":
            self.holds.append((card, hold))

    async def capture(self, card: Card, hold: UUID) -> None:
        entry, amount = uuid7(), self.random.choice([None, None, 15, 30, 240])
        ask = Ask("apu", TODAY, amount)

        def act(voucher: Voucher) -> tuple[str, int | None]:
            return told_of(voucher, voucher.capture(str(hold), str(entry), ask, today=TODAY, now=NOW))

        order = replace(card.order(ask, new_id=entry, key=entry.hex, parts=None), service_date=None)
        if (await self.record(card, act, card.capture(self.conn, order, hold))).outcome == "ok":
            self.debits.append((card, entry))

    async def void(self, card: Card, hold: UUID) -> None:
        def act(voucher: Voucher) -> tuple[str, int | None]:
            outcome = voucher.end_hold(str(hold), "apu", "voided")
            return outcome, voucher.available if outcome == "ok" else None

        await self.record(card, act, card.void(self.conn, "apu", uuid7().hex, hold))

    async def reverse(self, card: Card, debit: UUID) -> None:
        entry, amount = uuid7(), self.random.choice([None, 15, 30])

        def act(voucher: Voucher) -> tuple[str, int | None]:
            outcome, _ = voucher.reverse(str(debit), "apu", amount)
            return outcome, voucher.available if outcome == "ok" else None

        await self.record(card, act, card.reverse(self.conn, "apu", entry.hex, entry, debit, amount))


def told_of(voucher: Voucher, verdict: Verdict) -> tuple[str, int | None]:
    tells = verdict.refusal is None or (verdict.asked is not None and verdict.refusal != "hold_too_late")
    return verdict.refusal or "ok", voucher.available if tells else None


async def race(url: str, *, seed: int, requests: int) -> list[tuple[Voucher, list[Call], dict[str, Any]]]:
    """What eight clients were told of two vouchers, and how those stand in the end."""
    conns = await asyncio.gather(*(connect_to(url) for _ in range(CLIENTS)))
    try:
        await asyncio.gather(*(set_clock(conn, NOW) for conn in conns))
        book = Book(HOME_HELP)
        await book.write(conns[0])
        voucher = Voucher(
            HOME_HELP, VALUE, TODAY - timedelta(days=20), TODAY + timedelta(days=20), [(date.min, VISITS_A_WEEK, 480)]
        )
        cards = [await book.add_voucher(conns[0], voucher) for _ in range(2)]
        ticks = count()
        clients = [Client(conn, seed * CLIENTS + i, lambda: next(ticks)) for i, conn in enumerate(conns)]
        shared: tuple[list[Any], list[Any]] = ([], [])
        for client in clients:
            client.holds, client.debits = shared  # of one provider: what one has held, another may charge
        await asyncio.gather(*(client.play(cards, requests) for client in clients))
        return [
            (
                deepcopy(voucher),
                [call for client in clients for call in client.calls.get(card.voucher_id, [])],
                await card.state(conns[0]),
            )
            for card in cards
        ]
    finally:
        await asyncio.gather(*(conn.close() for conn in conns))


def judge(voucher: Voucher, calls: list[Call], row: dict[str, Any]) -> None:
    order = a_linear_order(voucher, calls)
    assert order is not None, "no order of the requests explains what they were answered"
    for call in order:
        call.act(voucher)
    assert row["granted"] == row["available"] + row["held"] + row["debited"]
    assert (row["debited"], row["held"]) == (row["entries"], row["holds"])
    assert (row["available"], row["held"], row["debited"]) == (voucher.available, voucher.held, voucher.debited)


async def prepare(servers: Addresses, *, sabotage: tuple[str, str, str] | None = None) -> str:
    """A new database with the clock; `sabotage`: in the source of a function, one text in place of another."""
    url = make_database(servers, "races")
    conn = await connect_to(url)
    await conn.execute(CLOCK)
    if sabotage is not None:
        function, told, instead = sabotage
        source = await conn.fetchval("SELECT pg_get_functiondef($1::text::regproc)", f"public.{function}")
        assert told in source
        await conn.execute(source.replace(told, instead))
    await conn.close()
    return url


async def overlaps(url: str, *, seeds: range, requests: int) -> tuple[int, int]:
    """Judges each; how many calls there were, and how many had begun before the one before them had ended."""
    calls_seen = met = 0
    for seed in seeds:
        for voucher, calls, row in await race(url, seed=seed, requests=requests):
            judge(voucher, calls, row)
            calls_seen += len(calls)
            by_start = sorted(calls, key=lambda call: call.began)
            met += sum(after.began < before.ended for before, after in pairwise(by_start))
    return calls_seen, met


async def test_eight_clients_are_answered_as_if_one_after_the_other(servers: Addresses) -> None:
    calls, met = await overlaps(await prepare(servers), seeds=range(2), requests=10)
    assert calls == 2 * CLIENTS * 10
    assert met > calls / 2  # or it was no race


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(1800)
async def test_hundreds_of_races_are_answered_as_if_one_after_the_other(servers: Addresses) -> None:
    calls, met = await overlaps(await prepare(servers), seeds=range(100, 400), requests=12)
    print(f"{calls} calls, {met} of them while the one before was under way")


@pytest.mark.parametrize(
    "function",
    [
        "debit",
        *(pytest.param(name, marks=LONG) for name in ("hold_visit", "reverse_debit", "capture_hold")),
    ],
)
async def test_without_the_lock_the_judge_sees_it(servers: Addresses, function: str) -> None:
    url = await prepare(servers, sabotage=(function, " FOR NO KEY UPDATE", ""))
    with pytest.raises((AssertionError, asyncpg.PostgresError)):
        await overlaps(url, seeds=range(12), requests=12)
