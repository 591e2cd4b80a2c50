"""Random histories of one voucher, played against the database and against the rule book in Python: the same answers to
the same requests, the same cents, and after each step the books balance.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, ClassVar, TypeVar
from uuid import UUID

import asyncpg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from uuid_utils.compat import uuid7

from service.vouchers.queries.vouchers import cancel_voucher, resume_voucher, suspend_voucher
from tests.conftest import Addresses
from tests.debits.rule_model import BANDS, HELSINKI, Ask, Calendar, Programme, Rules, Verdict, Voucher
from tests.debits.rule_worlds import EVES, HOLIDAYS, PROVIDERS, Answer, Book, Card, helsinki_day, open_world, set_clock

T = TypeVar("T")
ANCHORS = tuple(
    date.fromisoformat(day)
    for day in (
        *(
            "2026-06-20",
            "2026-10-25",
            "2026-11-18",
            "2026-12-25",
        ),  # midsummer, an hour more, nothing special, Christmas
        *("2026-12-31", "2027-01-03", "2027-03-28"),  # week 53, its last day, an hour less
    )
)
HOURS = tuple(time.fromisoformat(clock) for clock in ("00:30", "02:30", "08:00", "16:15", "20:00", "23:00"))
LENGTHS = (15, 30, 45, 60, 90, 120, 180, 480)
TARIFFS = (3350, 3790, 4475, 5580, 4001, 3333)
SAID_BY_DEBIT_ALONE = {"times_required", "service_date_in_future", "visit_not_over"}


def rates() -> st.SearchStrategy[dict[str, int]]:
    return st.fixed_dictionaries({band: st.sampled_from(TARIFFS) for band in BANDS})


def versions_of_rules(unit: str) -> st.SearchStrategy[Rules]:
    steps = {"minutes": (15, 30), "cents": (1, 50)}.get(unit, (1,))
    return st.builds(
        Rules,
        step=st.sampled_from(steps),
        values=st.none() | rates(),
        evening=st.sampled_from([None, (time(17), time(22)), (time(22), time(6))]),
        eves_are_holidays=st.booleans(),
        free_by_law=st.sampled_from([False, False, False, True]),
        task_types=st.sampled_from([frozenset(), frozenset({"cleaning", "child care"})]),
        no_show_allowed=st.booleans(),
        hold_lapse_hours=st.sampled_from([1, 24, 72]),
        late_entry_days=st.sampled_from([30, 30, 5, 0]),
    )


@st.composite
def programmes(draw: st.DrawFn, anchor: date) -> Programme:
    unit = draw(st.sampled_from(["minutes", "minutes", "cents", "visits", "sessions"]))
    rules = versions_of_rules(unit)
    versions = [(date(2000, 1, 1), draw(rules))]
    if draw(st.booleans()):
        later = draw(rules)
        versions.append((anchor + timedelta(days=draw(st.integers(-3, 3))), replace(later, step=versions[0][1].step)))
    prices = {
        name: tuple(
            (day, draw(rates()))
            for day in draw(st.sampled_from([(), (date(2000, 1, 1),), (date(2000, 1, 1), anchor), (anchor,)]))
        )
        for name in PROVIDERS[:2]
    }
    return Programme(unit, tuple(versions), prices, Calendar(frozenset(HOLIDAYS), frozenset(EVES)))


@st.composite
def vouchers(draw: st.DrawFn) -> tuple[Voucher, datetime]:
    anchor = draw(st.sampled_from(ANCHORS))
    programme = draw(programmes(anchor))
    steps = {"minutes": 60, "cents": 1000}.get(programme.unit, 1)
    caps = draw(st.sampled_from([(None, None), (None, None), (2, None), (9, 400), (None, 300)]))
    voucher = Voucher(
        programme,
        granted=steps * draw(st.integers(1, 4) | st.integers(4, 20)) + draw(st.sampled_from([0, 0, 7])),
        valid_from=anchor - timedelta(days=draw(st.sampled_from([10, 7, 3, 0]))),
        valid_to=anchor + timedelta(days=draw(st.sampled_from([14, 7, 3, 1, 0]))),
        caps=[(date.min, *caps)],
    )
    return voucher, datetime.combine(anchor, time(12), HELSINKI).astimezone(UTC)


ASKS = st.fixed_dictionaries(
    {
        "provider": st.sampled_from(PROVIDERS[:2]),
        "days": st.sampled_from([0, 0, -1, -1, -2, -3, -6, -9, 1, 4]),
        "size": st.none() | st.integers(1, 3) | st.sampled_from([1, 2, 8, 0, -1]),
        "odd": st.sampled_from([*[0] * 9, 7]),
        "hour": st.none() | st.sampled_from(HOURS),
        "length": st.sampled_from(LENGTHS),
        "visit_type": st.sampled_from([*["visit"] * 9, "no_show"]),
        "task_type": st.sampled_from([*(None, "cleaning") * 5, "walking the dog"]),
        "partial": st.booleans(),
        "duplicate_ok": st.sampled_from([False, False, True]),
        "worker": st.sampled_from([None, "Leena", "Sari"]),
    }
)
PICK = st.integers(0, 1000)


class RuleMachine(RuleBasedStateMachine):
    """One voucher, its provider's requests, a caseworker's changes and the calendar."""

    run: ClassVar[Callable[[Awaitable[Any]], Any]]
    conn: ClassVar[asyncpg.Connection[asyncpg.Record]]
    histories: ClassVar[int] = 0
    steps: ClassVar[int] = 0
    seen: ClassVar[dict[str, int]] = {}

    @initialize(world=vouchers())
    def begin(self, world: tuple[Voucher, datetime]) -> None:
        type(self).histories += 1
        self.voucher, self.now = world
        self.requests: list[tuple[Callable[[], Coroutine[Any, Any, Answer]], Answer]] = []
        self.transaction = self.conn.transaction()
        self.run(self.transaction.start())
        self.run(set_clock(self.conn, self.now))
        self.book = Book(self.voucher.programme)
        self.run(self.book.write(self.conn))
        self.card: Card = self.run(self.book.add_voucher(self.conn, self.voucher))

    def teardown(self) -> None:
        if hasattr(self, "transaction"):
            self.run(self.transaction.rollback())

    @property
    def today(self) -> date:
        return helsinki_day(self.now)

    def ask(self, drawn: dict[str, Any], day: date | None = None) -> Ask:
        day = day or self.today + timedelta(days=drawn["days"])
        step = self.voucher.programme.rules_on(day).step
        per_size = {"minutes": max(step, 15), "cents": max(step, 450)}.get(self.voucher.programme.unit, 1)
        amount = None if drawn["size"] is None else drawn["size"] * per_size + drawn["odd"]
        starts_at = ends_at = None
        if drawn["hour"] is not None:
            starts_at = datetime.combine(day, drawn["hour"], HELSINKI).astimezone(UTC)
            ends_at = starts_at + timedelta(minutes=drawn["length"])
            if amount is not None and drawn["odd"] == 0 and self.voucher.programme.unit == "minutes":
                amount = drawn["length"] if drawn["size"] != 1 else amount
        return Ask(
            drawn["provider"], day, amount, starts_at, ends_at, drawn["visit_type"], drawn["task_type"],
            drawn["partial"], drawn["duplicate_ok"], drawn["worker"],
        )  # fmt: skip

    def send(self, request: Callable[[], Coroutine[Any, Any, Answer]]) -> Answer:
        answer: Answer = self.run(request())
        assert not answer.replayed
        self.requests.append((request, answer))
        type(self).seen[answer.outcome] = type(self).seen.get(answer.outcome, 0) + 1
        return answer

    def agree(self, answer: Answer, verdict: Verdict) -> None:
        assert answer.outcome == (verdict.refusal or "ok")
        body = answer.body
        if verdict.refusal is None:
            assert body["amount"] == verdict.amount
            assert body["not_covered"] == (verdict.asked or 0) - verdict.amount
            assert (body["voucher_pays_cents"], body["family_pays_cents"]) == (verdict.pays, verdict.own)
            assert body["available"] == self.voucher.available
        elif "requested" in body:
            assert (body["requested"], body["available"]) == (verdict.asked, self.voucher.available)
            assert body.get("similar_debit", False) == verdict.similar
            self.agree_on_week(body, verdict)

    def agree_on_week(self, body: dict[str, Any], verdict: Verdict) -> None:
        if verdict.refusal == "weekly_visits_used":
            assert body["used_visits"] == verdict.used[0]
        if verdict.refusal == "weekly_minutes_used":
            assert body["used_minutes"] == verdict.used[1]
        if "next_allowed_date" in body:
            assert body["next_allowed_date"] == (verdict.next_allowed and str(verdict.next_allowed))

    # What a provider does.

    @rule(drawn=ASKS)
    def debit(self, drawn: dict[str, Any]) -> None:
        ask, entry = self.ask(drawn), uuid7()
        order = self.card.order(ask, new_id=entry, key=entry.hex, parts=self.voucher.parts(ask))
        outcome, before = self.run(self.card.validate(self.conn, order))
        expected = self.voucher.judge(ask, "validate", today=self.today, now=self.now)
        assert (outcome, before["refusal"]) == ("ok", expected.refusal)
        answer = self.send(lambda: self.card.debit(self.conn, order))
        self.agree(answer, self.voucher.debit(str(entry), ask, today=self.today, now=self.now))
        if answer.outcome not in SAID_BY_DEBIT_ALONE and expected.asked is not None and ask.amount is not None:
            assert before["refusal"] == (None if answer.outcome == "ok" else answer.outcome)
        if answer.outcome == "ok" and (ask.amount is not None or ask.starts_at is not None):
            told = [before[name] for name in ("amount", "voucher_pays_cents", "family_pays_cents")]
            assert told == [answer.body[name] for name in ("amount", "voucher_pays_cents", "family_pays_cents")]

    @precondition(lambda self: self.voucher.debits)
    @rule(pick=PICK, duplicate_ok=st.booleans())
    def charge_the_same_again(self, pick: int, duplicate_ok: bool) -> None:
        """Under a key of its own: a question, unless something certain is in the way."""
        again, entry = list(self.voucher.debits.values())[pick % len(self.voucher.debits)], uuid7()
        ask = replace(again.ask, duplicate_ok=duplicate_ok)
        order = self.card.order(ask, new_id=entry, key=entry.hex, parts=self.voucher.parts(ask))
        answer = self.send(lambda: self.card.debit(self.conn, order))
        self.agree(answer, self.voucher.debit(str(entry), ask, today=self.today, now=self.now))

    @rule(drawn=ASKS)
    def hold(self, drawn: dict[str, Any]) -> None:
        ask, hold = self.ask(drawn), uuid7()
        order = self.card.order(ask, new_id=hold, key=hold.hex, parts=self.voucher.parts(ask))
        answer = self.send(lambda: self.card.hold(self.conn, order))
        self.agree(answer, self.voucher.hold(str(hold), ask, today=self.today, now=self.now))

    @precondition(lambda self: 0 < self.voucher.available <= 2000)
    @rule(drawn=ASKS, more=st.integers(0, 2), is_hold=st.booleans())
    def ask_for_about_all_that_is_left(self, drawn: dict[str, Any], more: int, is_hold: bool) -> None:
        """A part of it will do: what is charged then, and what is held and charged later, is worked out apart."""
        step = self.voucher.programme.rules_on(self.today).step
        ask = replace(
            self.ask(drawn | {"days": min(0, drawn["days"] // 3)}), starts_at=None, ends_at=None, visit_type="visit",
            task_type=None, partial=True, duplicate_ok=True, amount=self.voucher.available // step * step + more * step,
        )  # fmt: skip
        new_id = uuid7()
        order = self.card.order(ask, new_id=new_id, key=new_id.hex, parts=None)
        act, judge = (self.card.hold, self.voucher.hold) if is_hold else (self.card.debit, self.voucher.debit)
        answer = self.send(lambda: act(self.conn, order))
        self.agree(answer, judge(str(new_id), ask, today=self.today, now=self.now))

    @precondition(lambda self: self.voucher.open_holds())
    @rule(pick=PICK)
    def capture_as_it_was_booked(self, pick: int) -> None:
        open_holds = [name for name, hold in self.voucher.holds.items() if hold.state == "held"]
        hold_id = open_holds[pick % len(open_holds)]
        self.charge_hold(hold_id, Ask(self.voucher.holds[hold_id].ask.provider, self.voucher.holds[hold_id].ask.day))

    @precondition(lambda self: self.voucher.holds)
    @rule(pick=PICK, drawn=ASKS, as_it_is=st.booleans())
    def capture(self, pick: int, drawn: dict[str, Any], as_it_is: bool) -> None:
        hold_id, hold = list(self.voucher.holds.items())[pick % len(self.voucher.holds)]
        day = hold.ask.day + timedelta(days=drawn["days"] == 1)
        ask = replace(self.ask(drawn, day), provider=hold.ask.provider if drawn["days"] < 3 else drawn["provider"])
        if as_it_is:
            ask = Ask(hold.ask.provider, hold.ask.day, amount=ask.amount if pick % 2 else None)
        self.charge_hold(hold_id, ask)

    def charge_hold(self, hold_id: str, ask: Ask) -> None:
        entry = uuid7()
        order = self.card.order(ask, new_id=entry, key=entry.hex, parts=self.voucher.parts(ask))
        answer = self.send(lambda: self.card.capture(self.conn, order, UUID(hold_id)))
        verdict = self.voucher.capture(hold_id, str(entry), ask, today=self.today, now=self.now)
        self.agree(answer, verdict)

    @precondition(lambda self: self.voucher.holds)
    @rule(pick=PICK, provider=st.sampled_from(PROVIDERS))
    def void(self, pick: int, provider: str) -> None:
        hold_id, hold = list(self.voucher.holds.items())[pick % len(self.voucher.holds)]
        provider, key = provider if pick % 4 == 0 else hold.ask.provider, uuid7().hex
        answer = self.send(lambda: self.card.void(self.conn, provider, key, UUID(hold_id)))
        assert answer.outcome == self.voucher.end_hold(hold_id, provider, "voided")

    @precondition(lambda self: self.voucher.debits)
    @rule(pick=PICK, sevenths=st.none() | st.integers(1, 8), odd=st.sampled_from([*[0] * 7, 7]))
    def reverse(self, pick: int, sevenths: int | None, odd: int) -> None:
        debit_id, debit = list(self.voucher.debits.items())[pick % len(self.voucher.debits)]
        step = self.voucher.programme.rules_on(debit.day).step
        amount = sevenths and max(step, debit.left * sevenths // 7 // step * step) + odd
        entry = uuid7()
        provider = "muu" if pick % 10 == 9 else debit.provider
        answer = self.send(
            lambda: self.card.reverse(self.conn, provider, entry.hex, entry, UUID(debit_id), amount)
        )  # fmt: skip
        outcome, taken_back = self.voucher.reverse(debit_id, provider, amount)
        assert answer.outcome == outcome
        if outcome == "ok":
            told = (answer.body["amount"], answer.body["left"], answer.body["available"])
            assert told == (taken_back, debit.left, self.voucher.available)

    @precondition(lambda self: self.requests)
    @rule(pick=PICK)
    def repeat(self, pick: int) -> None:
        request, first = self.requests[pick % len(self.requests)]
        again: Answer = self.run(request())
        assert (again.outcome, again.text, again.replayed) == (first.outcome, first.text, True)

    # What the calendar and caseworkers do.

    @rule(hours=st.sampled_from([*[1, 6, 24] * 4, 100, 400]))
    def let_time_pass(self, hours: int) -> None:
        self.set_time(self.now + timedelta(hours=hours))

    def set_time(self, now: datetime) -> None:
        self.now = now
        self.run(set_clock(self.conn, now))

    @precondition(lambda self: self.voucher.debits)
    @rule(pick=PICK)
    def close_the_books(self, pick: int) -> None:
        """Long after the end: what is taken back now goes back to the budget."""
        if pick % 12 == 0:
            self.set_time(self.now + timedelta(days=self.voucher.late_entry_days() + 16))
            self.keep_schedules()

    @rule()
    def run_the_schedules(self) -> None:
        self.keep_schedules()

    def keep_schedules(self) -> None:
        lapsed = self.run(self.conn.fetchval("SELECT lapse_holds(100)"))
        assert lapsed == self.voucher.lapse(self.now)
        self.run(self.conn.fetchval("SELECT expire_vouchers(100)"))
        self.voucher.expire(self.today)
        self.run(self.conn.fetchval("SELECT close_vouchers(100)"))
        self.voucher.close_if_due(self.today)

    @rule(days=st.integers(-10, 10), caps=st.tuples(st.none() | st.integers(1, 4), st.none() | st.integers(30, 400)))
    def change_caps(self, days: int, caps: tuple[int | None, int | None]) -> None:
        day = self.today + timedelta(days=days)
        self.run(
            self.conn.execute(
                "INSERT INTO voucher_caps VALUES ($1, $2, $3, $4, $5) ON CONFLICT (organiser_id, voucher_id, starts_on)"
                " DO UPDATE SET weekly_visits = excluded.weekly_visits, weekly_minutes = excluded.weekly_minutes",
                self.book.organiser_id, self.card.voucher_id, day, *caps,
            )
        )  # fmt: skip
        self.change("caps_changed = true")
        self.voucher.caps = [cap for cap in self.voucher.caps if cap[0] != day] + [(day, *caps)]

    @rule(granted=st.sampled_from([-4, -1, 0, 1, 3]), longer=st.sampled_from([None, None, -3, 2, 9]))
    def decide_later(self, granted: int, longer: int | None) -> None:
        """Another total, or a later end, from today on."""
        step, version = self.voucher.programme.rules_on(self.today).step, uuid7()
        total = max(self.voucher.granted + granted * step * 4, step)
        valid_to = longer and self.voucher.valid_to + timedelta(days=longer)
        self.run(
            self.conn.execute(
                "INSERT INTO decision_versions (organiser_id, version_id, voucher_id, decision_ref, starts_on, granted,"
                " sets_visits, sets_minutes, valid_to, reason, created_by)"
                " VALUES ($1, $2, $3, $2::uuid::text, $4, $5, false, false, $6, 'need', 'test')",
                self.book.organiser_id, version, self.card.voucher_id, self.today, total, valid_to,
            )
        )  # fmt: skip
        apply = "SELECT apply_version($1, $2)"
        outcome = self.run(self.conn.fetchval(apply, self.book.organiser_id, version))
        assert outcome == self.voucher.decide_later(total, valid_to, today=self.today)
        assert self.run(self.conn.fetchval(apply, self.book.organiser_id, version)) is None

    @rule(provider=st.sampled_from(PROVIDERS[:2]), days=st.integers(-9, 3), prices=rates())
    def ask_other_prices(self, provider: str, days: int, prices: dict[str, int]) -> None:
        """A new list, or another one for the same day: from tomorrow on, or for whoever has none yet, from any day."""
        begins, programme = self.today + timedelta(days=days), self.voucher.programme
        known = dict(programme.prices.get(provider, ()))
        if begins <= self.today and any(begun <= self.today for begun in known):
            return
        self.run(self.book.write_prices(self.conn, provider, begins, prices))
        asked = tuple((known | {begins: prices}).items())
        self.rewrite(replace(programme, prices={**programme.prices, provider: asked}))

    @rule(days=st.integers(1, 3), drawn=st.data())
    def rule_otherwise(self, days: int, drawn: st.DataObject) -> None:
        begins, programme = self.today + timedelta(days=days), self.voucher.programme
        if any(begins <= begun for begun, _ in programme.versions) or len(programme.versions) > 2:
            return
        rules = replace(drawn.draw(versions_of_rules(programme.unit)), step=programme.versions[0][1].step)
        self.run(self.book.write_rules(self.conn, begins, rules))
        self.rewrite(replace(programme, versions=(*programme.versions, (begins, rules))))

    def rewrite(self, programme: Programme) -> None:
        self.voucher.programme = self.book.programme = programme

    @precondition(lambda self: self.voucher.state not in ("expired", "closed"))
    @rule(pick=PICK)
    def suspend_or_resume(self, pick: int) -> None:
        """As caseworkers do, by the statements that they use."""
        voucher = self.voucher
        if voucher.state == "suspended" or voucher.late_entry_stopped:
            voucher.resume()
            self.run(resume_voucher(self.conn, organiser_id=self.book.organiser_id, voucher_id=self.card.voucher_id))
        elif pick % 4 == 0:  # or most histories would be about suspended vouchers
            voucher.suspend()
            self.run(suspend_voucher(self.conn, organiser_id=self.book.organiser_id, voucher_id=self.card.voucher_id))

    @precondition(lambda self: self.voucher.state != "closed")
    @rule(days=st.integers(-3, 5), pick=PICK)
    def cancel(self, days: int, pick: int) -> None:
        """Or correct the day of the end."""
        if self.voucher.state != "cancelled" and pick % 10:
            return
        day, subject = self.today + timedelta(days=days), (self.book.organiser_id, self.card.voucher_id)
        self.run(cancel_voucher(self.conn, organiser_id=subject[0], voucher_id=subject[1], from_date=day))
        self.voucher.cancel(day)

    @precondition(lambda self: self.voucher.debits)
    @rule(pick=PICK)
    def settle(self, pick: int) -> None:
        debit_id, debit = list(self.voucher.debits.items())[pick % len(self.voucher.debits)]
        if pick % 5 == 0 and not debit.settled:
            debit.settled = True
            insert = "INSERT INTO settled_entries (organiser_id, entry_id) VALUES ($1, $2)"
            self.run(self.conn.execute(insert, self.book.organiser_id, UUID(debit_id)))

    def change(self, assignments: str, *values: object) -> None:
        self.run(
            self.conn.execute(
                f"UPDATE vouchers SET {assignments} WHERE organiser_id = $1 AND voucher_id = $2",
                self.book.organiser_id, self.card.voucher_id, *values,
            )
        )  # fmt: skip

    # What always holds.

    @invariant()
    def the_books_balance(self) -> None:
        if not hasattr(self, "card"):
            return
        type(self).steps += 1
        row, voucher = self.run(self.card.state(self.conn)), self.voucher
        assert row["granted"] == sum(row[of] for of in ("available", "held", "debited", "expired", "cancelled"))
        assert min(row["available"], row["held"], row["debited"], row["expired"], row["cancelled"]) >= 0
        assert (row["debited"], row["held"]) == (row["entries"], row["holds"])
        assert (row["expired"], row["cancelled"]) == (row["gone_expired"], row["gone_cancelled"])
        assert row["granted"] == row["first_granted"] + row["raised"] - row["lowered"]
        for name in ("state", "late_entry_stopped", "granted", "available", "held", "debited", "expired", "cancelled"):
            assert (name, row[name]) == (name, getattr(voucher, name))

    @invariant()
    def every_debit_is_as_the_rules_left_it(self) -> None:
        if not hasattr(self, "card"):
            return
        expected = {
            debit_id: (d.left, d.visits_left(), d.minutes_left(), d.cents_left(d.pays), d.cents_left(d.own))
            for debit_id, d in self.voucher.debits.items()
        }
        assert self.run(self.card.debits(self.conn)) == expected


@pytest.fixture
def machine(servers: Addresses) -> Iterator[type[RuleMachine]]:
    with asyncio.Runner() as runner:
        conn = runner.run(open_world(servers, "machine"))
        yield machine_of(runner.run, conn)
        runner.run(conn.close())


def machine_of(run: Callable[[Awaitable[Any]], Any], conn: asyncpg.Connection[asyncpg.Record]) -> type[RuleMachine]:
    return type("Machine", (RuleMachine,), {"run": staticmethod(run), "conn": conn, "seen": {}})


def play(machine: type[RuleMachine], *, histories: int, steps: int, derandomize: bool) -> None:
    profile = settings(
        max_examples=histories,
        stateful_step_count=steps,
        derandomize=derandomize,
        deadline=None,
        database=None,
        print_blob=not derandomize,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=profile)


def test_the_rule_book_in_python_and_in_the_database_play_the_same_histories(machine: type[RuleMachine]) -> None:
    play(machine, histories=15, steps=30, derandomize=True)
    assert machine.histories >= 15


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(1800)
def test_thousands_of_histories_are_played_the_same(machine: type[RuleMachine]) -> None:
    play(machine, histories=3000, steps=40, derandomize=False)
    print(f"{machine.histories} histories, {machine.steps} steps: {sorted(machine.seen.items())}")
