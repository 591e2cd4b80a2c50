"""Something breaks for a few seconds each, and nothing is lost or repeated: the short version of `make chaos`.

One installation of real processes sees all of it: three faults in `make test`; in CI all but one, and workers that die
while they send (`slow`). The faults by themselves are for `make proofs` (`long`). docs/reliability.md has the figures
of a longer run.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from service.sandbox.processes import spawn
from tests.chaos.leaks import Canaries
from tests.chaos.ledger import Charge, Family, Json
from tests.chaos.told import wrong_after_stop, wrong_attention, wrong_messages, wrong_receipts

REPOSITORY = Path(__file__).parents[1]
SEED = "7"
GIVES_UP_AFTER_S = 580

pytestmark = pytest.mark.timeout(GIVES_UP_AFTER_S + 20)


def chaos(output: Path, *options: str) -> tuple[int, str]:
    """Run the harness; status and output. It dies with us, and everything it started dies with it."""
    with output.open("wb") as log:
        process = spawn(
            [sys.executable, "-m", "tests.chaos", "--seed", SEED, *options],
            env={"PYTHONPATH": str(REPOSITORY), "PATH": os.environ.get("PATH", os.defpath)},
            death_signal=signal.SIGKILL,
            log=log,
        )
    try:
        status = process.wait(GIVES_UP_AFTER_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        pytest.fail(f"it did not end:\n{output.read_text('utf-8', errors='replace')}")
    return status, output.read_text("utf-8", errors="replace")


# Its cheaper sister is the demo's story, in which the worker, web, Valkey and PostgreSQL are killed.
@pytest.mark.slow
def test_nothing_is_lost_or_repeated_when_a_worker_the_database_and_a_gateway_fail(tmp_path: Path) -> None:
    plan = ("--seconds", "3", "--faults", "kill worker,kill postgres,gateway", "--points", "none")
    status, said = chaos(tmp_path / "output", *plan)
    assert status == 0, said


# Everything but "kill anything", which is more of the same.
ALL = "kill worker,kill web,kill postgres,kill valkey,FLUSHALL,Redis off,gateway,receipts,mail"


@pytest.mark.slow
def test_nothing_is_lost_or_repeated_whatever_breaks_and_wherever_a_worker_dies(tmp_path: Path) -> None:
    plan = ("--seconds", "9", "--faults", ALL, "--workers", "2", "--points", "36")
    status, said = chaos(tmp_path / "output", *plan)
    assert status == 0, said


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize(
    "plan",
    [
        ("--seconds", "8", "--faults", "kill,FLUSHALL,Redis off", "--points", "none"),
        ("--seconds", "7", "--faults", "gateway,receipts,mail", "--points", "none", "--workers", "2"),
        ("--faults", "nothing", "--points", "12,24,36,48,60"),
    ],
    ids=["processes", "gateways", "while sending"],
)
def test_nothing_is_lost_or_repeated_when_a_part_of_it_breaks_alone(plan: tuple[str, ...], tmp_path: Path) -> None:
    status, said = chaos(tmp_path / "output", *plan)
    assert status == 0, said


@pytest.mark.slow
@pytest.mark.long
def test_a_worker_that_sleeps_past_its_lease_changes_nothing_when_it_wakes(tmp_path: Path) -> None:
    status, said = chaos(tmp_path / "output", "--faults", "nothing", "--points", "none", "--sleeper")
    assert status == 0, said


@pytest.mark.slow
@pytest.mark.long
def test_a_worker_that_resends_blindly_is_caught(tmp_path: Path) -> None:
    blindly = ("--mutant", "resend-blindly", "--points", "none")
    status, said = chaos(tmp_path / "output", "--seconds", "3", "--faults", "gateway", *blindly)
    assert status == 1, said
    assert "SOMETHING DOES NOT HOLD" in said


def a_family(*charges: tuple[int, int]) -> Family:
    """One that was charged for so many minutes each, with so many left after it."""
    family = Family("a fault", {"beneficiary": {"phone": "+358401234567"}}, "voucher", ["told"])
    for amount, available in charges:
        family.charges.append(Charge("/v1/debits", "key", {}, 201, b"", {"amount": amount, "available": available}))
    return family


def a_text(body: str) -> Json:
    return {"body": body, "at": "2026-11-21T20:00:00Z"}


def a_message(state: str, **more: str | None) -> Json:
    message = {"message_id": "told", "kind": "voucher", "state": state, "channel": "sms", "reason": None}
    return {**message, "fallback_of": None, **more}


RECEIPT = "Seteli 9268: Arjen Apu veloitti 2 t (21.11.). Jäljellä 10 t. Jos käyntiä ei ollut, vastaa EI."


@pytest.mark.parametrize(
    ("texts", "is_wrong"),
    [([], False), ([RECEIPT], False), ([RECEIPT, RECEIPT], True), ([RECEIPT.replace("10 t", "9 t")], True)],
)
def test_a_receipt_says_once_what_a_charge_was_answered(texts: list[str], is_wrong: bool) -> None:
    found = list(wrong_receipts(a_family((120, 600)), [a_text(body) for body in texts]))
    assert bool(found) is is_wrong, found


@pytest.mark.parametrize(("at", "is_wrong"), [("2026-11-21T19:59:59.9Z", False), ("2026-11-21T20:00:00.1Z", True)])
def test_a_text_that_is_begun_after_stop_is_seen(at: str, is_wrong: bool) -> None:
    family = a_family()
    family.stopped_at = datetime(2026, 11, 21, 20, tzinfo=UTC).timestamp()
    message = {**a_message("delivered"), "attempts": [{"started_at": at}]}
    assert bool(list(wrong_after_stop(family, [message]))) is is_wrong


@pytest.mark.parametrize(
    ("messages", "items", "is_wrong"),
    [
        ([a_message("delivered")], [], False),
        ([a_message("delivered")], [{"reason": "bad_contact", "message_id": "told"}], True),
        ([a_message("escalated", reason="bad_contact")], [{"reason": "bad_contact", "message_id": "told"}], False),
        ([a_message("escalated", reason="bad_contact")], [{"reason": "bad_contact", "message_id": "told"}] * 2, True),
        ([a_message("escalated", reason="bad_contact")], [], True),
        ([a_message("escalated", reason="bad_contact"), a_message("delivered", message_id="again")], [], False),
    ],
)
def test_on_the_list_is_who_needs_a_person(messages: list[Json], items: list[Json], is_wrong: bool) -> None:
    assert bool(list(wrong_attention(messages, items))) is is_wrong


@pytest.mark.parametrize(
    ("questions", "answers", "is_wrong"), [(0, 0, False), (1, 1, False), (1, 0, True), (1, 2, True)]
)
def test_a_question_is_answered_once(questions: int, answers: int, is_wrong: bool) -> None:
    family = a_family()
    family.questions = questions
    messages = [a_message("delivered"), *[a_message("delivered", kind="reply_balance")] * answers]
    assert bool(list(wrong_messages(family, messages))) is is_wrong


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('{"event": "sent to 0401234567"}', "phone number"),
        ("Key (phone)=(+358401234567) already exists", "phone number"),
        ("040 123 4567", "phone number"),
        ("code 4827 0315 9268", "code"),
        ("?code=482703159268&", "code"),
        ("4827-0315-9268", "code"),
        ("RCPT TO:<canary-0000abcd@posti.example>", "e-mail address"),
        ("Authorization: Bearer stl_live_x", "key"),
    ],
)
def test_a_canary_is_seen_however_it_is_written(text: str, kind: str) -> None:
    canaries = Canaries({"482703159268"}, {"401234567"}, {"canary-0000abcd"}, {"stl_live_x"})
    assert kind in set(canaries.found_in(text))


def test_what_is_no_canary_is_let_pass() -> None:
    canaries = Canaries({"482703159268"}, {"401234567"}, {"canary-0000abcd"}, {"stl_live_x"})
    assert list(canaries.found_in("2026-11-21T20:57:43.769165Z 401234568 … 567 9268 m…@… 01a1ffe7-1bb9-711a")) == []
