"""Everything breaks for a few seconds each, and nothing is lost or repeated: the short version of `make chaos`.

Each test has an installation of its own, of real processes. docs/reliability.md has the figures of a longer run.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from service.sandbox.processes import spawn
from tests.chaos.leaks import Canaries

REPOSITORY = Path(__file__).parents[1]
SEED = "7"
GIVES_UP_AFTER_S = 150

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
        pytest.fail(f"it did not end:\n{output.read_text()}")
    return status, output.read_text()


def test_nothing_is_lost_or_repeated_when_processes_are_killed_and_redis_is_emptied(tmp_path: Path) -> None:
    status, said = chaos(
        tmp_path / "output", "--seconds", "8", "--faults", "kill,FLUSHALL,Redis off", "--points", "none"
    )
    assert status == 0, said


def test_nothing_is_lost_or_repeated_when_gateways_and_receipts_fail(tmp_path: Path) -> None:
    status, said = chaos(tmp_path / "output", "--seconds", "7", "--faults", "gateway,receipts,mail", "--points", "none")
    assert status == 0, said


def test_a_worker_that_dies_while_it_sends_neither_loses_nor_repeats(tmp_path: Path) -> None:
    status, said = chaos(tmp_path / "output", "--faults", "nothing", "--points", "22,38")
    assert status == 0, said


def test_a_worker_that_resends_blindly_is_caught(tmp_path: Path) -> None:
    blindly = ("--mutant", "resend-blindly", "--points", "none")
    status, said = chaos(tmp_path / "output", "--seconds", "3", "--faults", "gateway", *blindly)
    assert status == 1, said
    assert "SOMETHING DOES NOT HOLD" in said


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
