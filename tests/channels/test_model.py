"""The state machine of messages: its table, its decisions, and random histories over the real statements."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from service.channels.gateway import (
    Absent,
    Accepted,
    Action,
    ContactFault,
    ReceiptMeaning,
    ReceiptState,
    Refused,
    Unknown,
)
from service.channels.model import (
    HAS_RECEIPTS,
    LEGAL_MOVES,
    RECEIPT_MOVES,
    Failure,
    MessageState,
    Move,
    Reason,
    Silence,
    action_of,
    after_answer,
    after_failure,
    after_look_up,
    after_receipt,
)
from service.channels.operations import (
    Answered,
    Sending,
    claim_due,
    claim_probes,
    claim_silent,
    decide_failures,
    expire_leases,
    look_up,
    record_answers,
)
from service.db import open_pool
from service.workers.retry import retry_in_s
from tests.channels.post_office import Office, Text

S = MessageState
FINAL = {S.DELIVERED, S.ESCALATED, S.SUPPRESSED}
CHANNELS = st.sampled_from(("sms", "email"))
Answer = TypeVar("Answer")


def test_the_table_names_every_state() -> None:
    assert set(LEGAL_MOVES) == set(MessageState)


def test_nothing_leaves_delivered_or_suppressed_and_only_delivery_leaves_escalated() -> None:
    assert LEGAL_MOVES[S.DELIVERED] == LEGAL_MOVES[S.SUPPRESSED] == frozenset()
    assert LEGAL_MOVES[S.ESCALATED] == {S.DELIVERED}


def test_a_receipt_only_moves_forward() -> None:
    order = [S.ACCEPTED, S.SENT, S.DELIVERED]
    for before, after in RECEIPT_MOVES:
        if before in order and after in order:
            assert order.index(before) < order.index(after)
        assert before not in (S.DELIVERED, S.SUPPRESSED)
        if before in (S.UNDELIVERED, S.FAILED, S.ESCALATED):
            assert after is S.DELIVERED


@pytest.mark.parametrize("action", Action)
def test_every_refusal_waits_to_be_decided_under_its_class(action: Action) -> None:
    move = after_answer(Refused("1", action), channel="sms", unknown_wait_s=120)
    assert (move.state, move.reason, move.due_in_s) == (S.FAILED, action.value, 0)
    assert action_of(str(move.reason)) is action


def test_a_class_of_error_that_this_version_does_not_know_is_unclassified() -> None:
    assert action_of("from_the_future") is Action.UNCLASSIFIED


@given(
    state=st.sampled_from((S.UNDELIVERED, S.FAILED)),
    channel=CHANNELS,
    reason=st.sampled_from([*(action.value for action in Action), Reason.SILENT.value]),
    tries=st.integers(0, 40),
    has_other=st.booleans(),
    left_s=st.floats(-1e6, 1e6),
    fault=st.sampled_from([None, *ContactFault]),
    pauses=st.integers(0, 3),
    may_be_route=st.booleans(),
    others_pass=st.booleans(),
    chance=st.floats(0, 1, exclude_max=True),
)
def test_every_failure_is_tried_again_in_time_told_another_way_or_told_to_a_person(
    state: MessageState,
    channel: Any,
    reason: str,
    tries: int,
    has_other: bool,
    left_s: float,
    fault: Any,
    pauses: int,
    may_be_route: bool,
    others_pass: bool,
    chance: float,
) -> None:
    failure = Failure(
        state=state,
        channel=channel,
        reason=reason,
        tries=tries,
        has_other_channel=has_other,
        left_s=left_s,
        contact_fault=fault,
        pauses_caused=pauses,
        may_be_route=may_be_route,
        others_pass=others_pass,
    )
    wait_s = None if reason == Reason.SILENT else retry_in_s(channel, Action(reason), tries=tries, chance=chance)
    move = after_failure(failure, retry_in_s=wait_s)
    assert move.state is state or move.state in LEGAL_MOVES[state]
    if move.state is S.PENDING:
        assert move.due_in_s is not None
        assert move.due_in_s < left_s
    else:
        assert move.due_in_s is None
        assert (move.state is S.ESCALATED) != move.uses_other_channel
        assert not move.uses_other_channel or has_other
    assert not (move.pauses_gateway and move.ends_probe)


def failed(reason: Action, **facts: Any) -> Failure:
    return Failure(S.FAILED, "sms", reason, tries=0, has_other_channel=False, left_s=9e9, **facts)


def test_a_fault_of_the_whole_gateway_keeps_its_message_however_often_it_is_met() -> None:
    for pauses in range(20):
        move = after_failure(failed(Action.PAUSE_GATEWAY, pauses_caused=pauses), retry_in_s=None)
        assert (move.state, move.pauses_gateway) == (S.PENDING, True)


@pytest.mark.parametrize(
    ("pauses", "may_be_route", "others_pass", "is_given_up"),
    [
        (0, True, False, False),
        (1, True, False, False),
        (2, True, False, True),
        (1, True, True, True),
        (1, False, True, False),
        (2, False, True, True),
    ],
)
def test_a_message_that_may_be_the_fault_itself_is_given_up_instead_of_pausing_again(
    pauses: int, may_be_route: bool, others_pass: bool, is_given_up: bool
) -> None:
    failure = failed(Action.PAUSE_GATEWAY, pauses_caused=pauses, may_be_route=may_be_route, others_pass=others_pass)
    move = after_failure(failure, retry_in_s=None)
    assert move.pauses_gateway is not is_given_up
    assert (move.state, move.reason) == (
        (S.ESCALATED, Reason.NOT_ROUTABLE) if is_given_up else (S.PENDING, Reason.GATEWAY_PAUSED)
    )


def test_what_nobody_knows_is_parked_with_a_person_whatever_other_channel_there_is() -> None:
    for has_other in (True, False):
        failure = Failure(S.FAILED, "sms", Action.UNCLASSIFIED, 0, has_other, 9e9)
        assert after_failure(failure, retry_in_s=None) == Move(S.ESCALATED, reason=Reason.UNCLASSIFIED)


@given(
    state=st.sampled_from((S.UNKNOWN, S.ACCEPTED, S.SENT)),
    channel=CHANNELS,
    lookups=st.integers(0, 5),
    unknowns=st.integers(0, 5),
    accepted_s=st.floats(0, 1e6),
    left_s=st.floats(-1e6, 1e6),
    found=st.sampled_from((Accepted("SM1"), Absent(), Unknown("x"))),
    meaning=st.sampled_from((None, *(ReceiptMeaning(said) for said in ReceiptState))),
)
def test_a_silent_message_is_always_due_again_or_at_an_end(
    state: MessageState,
    channel: Any,
    lookups: int,
    unknowns: int,
    accepted_s: float,
    left_s: float,
    found: Any,
    meaning: Any,
) -> None:
    silence = Silence(state, channel, lookups, unknowns, accepted_s, left_s)
    move = after_look_up(silence, found, meaning if isinstance(found, Accepted) else None, look_up_interval_s=30)
    assert move.state is state or move.state in LEGAL_MOVES[state]
    assert move.due_in_s is not None or move.state in (S.DELIVERED, S.ESCALATED, S.UNDELIVERED, S.FAILED)
    if move.state is S.PENDING and HAS_RECEIPTS[channel]:
        assert isinstance(found, Absent), "only a gateway that certainly does not have it makes us send again"
        assert lookups >= 1


@given(st.sampled_from(ReceiptState))
def test_what_a_receipt_asks_for_is_its_own_state(said: ReceiptState) -> None:
    assert after_receipt(ReceiptMeaning(said)).state == said.value


class Histories(RuleBasedStateMachine):
    """Claims, answers, losses, receipts, crashes and time in any order, over the real statements.

    The post office's own record is the judge: what lies there is what a family gets.
    """

    def __init__(self, url: str) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.office: Office = self.run(self.open(url))
        self.states: dict[UUID, MessageState] = {}
        self.calls: list[Sending] = []  # claimed, not yet handed over, lease still running
        self.answers: list[Answered] = []  # handed over, not yet written down
        self.fates: dict[str, str] = {}  # by reference: what the phone network will say in the end

    def run(self, work: Awaitable[Answer]) -> Answer:
        async def done() -> Answer:
            return await work

        return self.runner.run(done())

    async def open(self, url: str) -> Office:
        pool = await open_pool(url, size=3)
        await pool.execute("TRUNCATE messages, gateway_pauses, suppressions CASCADE")
        return Office(pool)

    def teardown(self) -> None:
        try:
            self.heal()
        finally:
            self.office.pool.terminate()
            self.runner.close()

    def step(self, work: Callable[[], Awaitable[Answer]], *, moves: int = 1) -> Answer:
        """Do one thing, and see that every message made at most `moves` legal moves."""
        result = self.run(work())
        for message_id, now in self.run(self.read_states()).items():
            before = self.states.get(message_id, S.PENDING)
            reachable = {before}
            for _ in range(moves):
                reachable |= {after for state in reachable for after in LEGAL_MOVES[state]}
            assert now in reachable, f"{before} → {now}"
            self.states[message_id] = now
        self.judge()
        return result

    async def read_states(self) -> dict[UUID, MessageState]:
        rows = await self.office.pool.fetch("SELECT message_id, state, due_at FROM messages")
        for row in rows:
            is_due = row["due_at"] is not None
            assert is_due or row["state"] not in ("pending", "sending", "unknown", "accepted"), "stuck for ever"
            assert not (is_due and MessageState(row["state"]) in FINAL), "work left at an end"
        return {row["message_id"]: MessageState(row["state"]) for row in rows}

    def judge(self) -> None:
        """No family gets a text twice: of a message's texts, all but one have certainly not arrived."""
        live: defaultdict[str, int] = defaultdict(int)
        for text in self.office.sms.texts:
            if self.fates[text.reference] != "undelivered":
                live[text.outgoing.recipient] += 1
        assert all(count == 1 for count in live.values()), "a text was repeated"

    @initialize(mails=st.lists(st.booleans(), min_size=1, max_size=3))
    def queue(self, mails: list[bool]) -> None:
        for number, has_mail in enumerate(mails):
            email = f"perhe{number}@x.fi" if has_mail else None
            self.step(lambda n=number, e=email: self.office.queue(phone=f"+35840000000{n}", email=e))

    @rule(limit=st.integers(1, 3))
    def claim(self, limit: int) -> None:
        self.calls += self.step(lambda: claim_due(self.office.delivery, limit=limit))

    @rule()
    def probe(self) -> None:
        self.calls += self.step(lambda: claim_probes(self.office.delivery))

    @precondition(lambda self: self.calls)
    @rule(data=st.data(), fate=st.sampled_from(("delivered", "undelivered")))
    def take(self, data: st.DataObject, fate: str) -> None:
        """The gateway takes it; its answer may get lost, or the worker may die before it is written down."""
        sending = self.calls.pop(data.draw(st.integers(0, len(self.calls) - 1)))
        office = self.office.sms if sending.channel == "sms" else self.office.email
        text = office.take(sending.outgoing)
        self.fates[text.reference] = fate
        answer = data.draw(st.sampled_from((Accepted(text.reference), Unknown("timeout"), None)))
        if answer is not None:
            self.answers.append(Answered(sending, answer))
        self.judge()

    @precondition(lambda self: self.calls)
    @rule(data=st.data(), action=st.sampled_from(Action), code=st.sampled_from(("30000", "21612")))
    def refuse(self, data: st.DataObject, action: Action, code: str) -> None:
        sending = self.calls.pop(data.draw(st.integers(0, len(self.calls) - 1)))
        self.answers.append(Answered(sending, Refused(code, action)))

    @precondition(lambda self: self.calls)
    @rule(data=st.data(), tells=st.booleans())
    def lose(self, data: st.DataObject, tells: bool) -> None:
        """It never reaches the gateway: the worker dies, or a connection breaks."""
        sending = self.calls.pop(data.draw(st.integers(0, len(self.calls) - 1)))
        if tells:
            self.answers.append(Answered(sending, Unknown("connection_lost")))

    @precondition(lambda self: self.answers)
    @rule(count=st.integers(1, 3), again=st.booleans())
    def write_down(self, count: int, again: bool) -> None:
        written, self.answers = self.answers[:count], self.answers[count:]
        for _ in range(1 + again):
            self.step(lambda: record_answers(self.office.delivery, written))

    @precondition(lambda self: self.office.sms.texts)
    @rule(data=st.data(), said=st.sampled_from(("queued", "sent", "end")))
    def receive(self, data: st.DataObject, said: str) -> None:
        """Receipts in any order, duplicated, early and late."""
        texts = self.office.sms.texts
        text = texts[data.draw(st.integers(0, len(texts) - 1))]
        status = self.fates[text.reference] if said == "end" else said
        self.run(self.tell(text, status))
        self.step(self.read_states)

    async def tell(self, text: Text, status: str) -> None:
        code = "30003" if status == "undelivered" else None
        await self.office.report(text, status, code)
        if text.status not in ("delivered", "undelivered"):
            text.status, text.error_code = status, code

    @rule(seconds=st.sampled_from((5, 35, 125, 700, 4000)))
    def pass_time(self, seconds: int) -> None:
        if seconds > self.office.times.lease_s:
            self.calls = []  # a worker does not hand over what it has held for longer than its lease
        self.step(lambda: self.office.pass_time(seconds))

    @rule()
    def keep_up(self) -> None:
        async def chores() -> None:
            await expire_leases(self.office.delivery)
            for silent in await claim_silent(self.office.delivery, limit=10):
                await look_up(self.office.delivery, silent)
            await decide_failures(
                self.office.delivery, lambda channel, action, tries: retry_in_s(channel, action, tries=tries, chance=0)
            )

        self.step(chores, moves=3)

    def heal(self) -> None:
        """With a gateway that works and time enough, every message comes to an end."""
        self.calls = []
        for _ in range(40):
            self.pass_time(4000)
            self.keep_up()
            self.claim(limit=3)
            self.probe()
            while self.calls:
                sending = self.calls.pop()
                office = self.office.sms if sending.channel == "sms" else self.office.email
                text = office.take(sending.outgoing)
                self.fates[text.reference] = text.status = "delivered"
                self.answers.append(Answered(sending, Accepted(text.reference)))
            while self.answers:
                self.write_down(count=3, again=False)
            if not self.run(self.office.pool.fetchval("SELECT count(*) FROM messages WHERE due_at IS NOT NULL")):
                break
        else:
            raise AssertionError(f"not all came to an end: {self.states}")
        self.run(self.check_ends())

    async def check_ends(self) -> None:
        rows = await self.office.pool.fetch(
            "SELECT m.state, m.channel, f.message_id AS fallback FROM messages m"
            " LEFT JOIN messages f ON f.organiser_id = m.organiser_id AND f.fallback_of = m.message_id"
        )
        for row in rows:
            has_ended = MessageState(row["state"]) in FINAL or (row["channel"], row["state"]) == ("email", "sent")
            assert has_ended or row["fallback"] is not None, dict(row)


@pytest.mark.hypothesis  # so that `make proofs` plays more of them
def test_no_history_moves_a_message_backwards_repeats_it_or_leaves_it_stuck(database_url: str) -> None:
    run_state_machine_as_test(
        lambda: Histories(database_url),
        settings=settings(
            max_examples=10 if settings.get_current_profile_name() == "quick" else settings.default.max_examples,
            phases=(Phase.generate,),  # a history is short enough to read; shrinking it would take minutes
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
