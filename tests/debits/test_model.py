"""Every refusal has its place in the rule book, and the money adds up whatever happens."""

from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from service.db import Connection
from service.debits.model import DEBIT_REFUSALS
from service.debits.queries import charging as queries
from service.quiet_hours import USUAL
from tests.debits.worlds import Voucher, World

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("debit"), st.integers(0, 2), st.sampled_from([15, 30, 45, 60, 70]), st.integers(0, 12)),
        st.tuples(st.just("reverse"), st.integers(0, 30), st.just(0), st.integers(0, 12)),
        st.tuples(st.just("suspend"), st.integers(0, 2), st.just(0), st.just(0)),
        st.tuples(st.just("resume"), st.integers(0, 2), st.just(0), st.just(0)),
    ),
    max_size=25,
)


class Ledger:
    """The plain model beside the database: what each voucher has, and what each key was answered."""

    def __init__(self, granted: int) -> None:
        self.available = [granted] * 3
        self.suspended = [False] * 3
        self.debits: list[tuple[str, int, int]] = []
        self.reversed: set[str] = set()
        self.answers: dict[str, tuple[object, str, str]] = {}

    def debit(self, which: int, amount: int) -> str:
        if self.suspended[which]:
            return "voucher_suspended"
        if amount % 15:
            return "amount_not_in_steps"
        if amount > self.available[which]:
            return "insufficient_value"
        self.available[which] -= amount
        return "ok"

    def reverse(self, debit_id: str) -> str:
        if debit_id in self.reversed:
            return "already_reversed"
        self.reversed.add(debit_id)
        _, which, amount = next(debit for debit in self.debits if debit[0] == debit_id)
        self.available[which] += amount
        return "ok"

    def answered(self, key: str, request: object, outcome: str, answer: str) -> None:
        self.answers.setdefault(key, (request, outcome, answer))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
async def test_any_history_of_debits_and_reversals_adds_up_and_a_key_has_one_answer(
    db: Connection, steps: list[tuple[str, int, int, int]]
) -> None:
    attempt = db.transaction()
    await attempt.start()
    try:
        await play(db, steps)
    finally:
        await attempt.rollback()


async def play(conn: Connection, steps: list[tuple[str, int, int, int]]) -> None:
    world = await World().build(conn)
    vouchers = [await world.add_voucher(conn, granted=120) for _ in range(3)]
    ledger = Ledger(120)
    for action, which, amount, number in steps:
        if action == "debit":
            await step_debit(conn, world, vouchers, ledger, which=which, amount=amount, key=f"k{number}")
        elif action == "reverse" and ledger.debits:
            await step_reverse(conn, world, ledger, ledger.debits[which % len(ledger.debits)][0], key=f"k{number}")
        elif action in ("suspend", "resume"):
            ledger.suspended[which] = action == "suspend"
            state = "suspended" if action == "suspend" else "issued"
            await conn.execute(
                "UPDATE vouchers SET state = $1 WHERE voucher_id = $2", state, vouchers[which].voucher_id
            )
        for voucher, available in zip(vouchers, ledger.available, strict=True):
            values = await voucher.values(conn)
            assert values["available"] == available >= 0
            assert values["debited"] == values["entries"] == 120 - available


async def step_debit(
    conn: Connection, world: World, vouchers: list[Voucher], ledger: Ledger, *, which: int, amount: int, key: str
) -> None:
    order = world.order(vouchers[which], amount, key=key)
    [row] = await queries.debit_many(conn, [order], holidays=(), eves=(), quiet=USUAL)
    request = ("debit", which, amount)
    if key in ledger.answers:
        check_replay(ledger, key, request, row)
        return
    assert row["outcome"] == ledger.debit(which, amount)
    ledger.answered(key, request, row["outcome"], row["answer"])
    if row["outcome"] == "ok":
        ledger.debits.append((json.loads(row["answer"])["debit_id"], which, amount))


async def step_reverse(conn: Connection, world: World, ledger: Ledger, debit_id: str, *, key: str) -> None:
    claim = replace(world.claim(key), fingerprint=debit_id.encode())
    row = await queries.reverse(
        conn,
        claim,
        credential_id=world.credential_id,
        entry_id=uuid7(),
        debit_id=debit_id,  # type: ignore[arg-type]
    )
    if key in ledger.answers:
        check_replay(ledger, key, ("reverse", debit_id), row)
        return
    assert row["outcome"] == ledger.reverse(debit_id)
    ledger.answered(key, ("reverse", debit_id), row["outcome"], row["answer"])


def check_replay(ledger: Ledger, key: str, request: object, row) -> None:
    first_request, outcome, answer = ledger.answers[key]
    if first_request == request:
        assert (row["outcome"], row["answer"], row["replayed"]) == (outcome, answer, True)
    else:
        assert (row["outcome"], row["replayed"]) == ("idempotency_key_reused", False)


def test_every_refusal_has_its_place_in_the_database_function_in_the_same_order() -> None:
    from service.db import MIGRATIONS

    texts = [path.read_text() for path in sorted(MIGRATIONS.glob("*.sql"))]
    text = next(text for text in reversed(texts) if "FUNCTION check_charge(" in text)
    places = [text.index(f"THEN '{each.code}'") for each in DEBIT_REFUSALS]
    assert places == sorted(places)
