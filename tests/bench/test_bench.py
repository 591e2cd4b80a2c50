"""Every measurement works on a small scale, and its numbers are those of a service that runs. No speed is judged."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from bench import report
from bench.__main__ import LONG_NAMES, NAMES, measure
from bench.machine import CpuClock, describe
from bench.report import Result
from service.sandbox.postgres import find_binaries


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [name if name == "debits" else pytest.param(name, marks=pytest.mark.long) for name in NAMES + LONG_NAMES]
)
@pytest.mark.timeout(600)
def test_a_measurement_works_and_its_checks_hold(name: str, server_folder: Path) -> None:
    told = io.StringIO()
    results = measure([name], server_folder, seconds=None, quick=True, console=Console(file=told))
    assert [result.name for result in results] == [name], told.getvalue()
    (result,) = results
    assert result.is_correct, result.checks
    assert result.value > 0
    assert result.cpu_ms["postgres"] > 0
    assert not list(server_folder.glob(f"{name}/*")), "the folder is taken away again"


def a_result(*, value: float, at_least: bool, checks: dict[str, bool]) -> Result:
    return Result("debits", "debits", value, 0.5, "×", at_least, figures={"seen": [1, 2]}, checks=checks)


@pytest.mark.parametrize(
    ("value", "at_least", "is_met", "ratio"),
    [(0.4, True, False, 0.8), (0.6, True, True, 1.2), (0.25, False, True, 2.0), (1.0, False, False, 0.5)],
)
def test_a_goal_is_met_from_its_own_side(value: float, at_least: bool, is_met: bool, ratio: float) -> None:
    result = a_result(value=value, at_least=at_least, checks={})
    assert result.is_met is is_met
    assert result.ratio == ratio


def test_a_failed_check_is_told_in_the_table_and_in_the_file(tmp_path: Path) -> None:
    result = a_result(value=0.6, at_least=True, checks={"adds up": True, "every answer 201": False})
    machine = describe(find_binaries())
    told = io.StringIO()
    report.show([result], machine, Console(file=told, width=120))
    report.write(tmp_path / "results.json", report.as_json([result], machine, quick=False))
    stored = json.loads((tmp_path / "results.json").read_text())
    assert "NO" in told.getvalue()
    assert stored["results"][0]["is_correct"] is False
    assert stored["machine"]["cpus"] >= 1
    assert stored["machine"]["postgresql"].startswith("postgres")


def test_what_was_measured_earlier_stays_with_its_time_until_it_is_measured_again(tmp_path: Path) -> None:
    result = a_result(value=0.6, at_least=True, checks={})
    path = tmp_path / "results.json"
    first = report.as_json([result, replace(result, name="growth")], {"cpus": 2}, quick=False)
    report.write(path, report.merge(path, first | {"measured_at": "then"}))
    report.write(path, report.merge(path, report.as_json([replace(result, value=0.7)], {"cpus": 4}, quick=False)))
    again, kept = json.loads(path.read_text())["results"]
    assert (again["name"], again["value"]) == ("debits", 0.7)
    assert (kept["name"], kept["measured_at"], kept["machine"]) == ("growth", "then", {"cpus": 2})


def test_a_percentile_is_one_of_the_values_and_never_beyond_the_last() -> None:
    values = [float(number) for number in range(100, 0, -1)]
    assert report.percentile(values, 0.5) == 51.0
    assert report.percentile(values, 0.99) == 100.0
    assert report.percentile(values, 1.0) == 100.0
    assert report.percentile([], 0.5) == 0.0


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processor times are read from /proc")
def test_the_processor_clock_counts_what_a_process_uses() -> None:
    import os
    import time

    before = CpuClock.read({"me": os.getpid()})
    until = time.process_time() + 0.1
    while time.process_time() < until:
        pass
    assert 0.05 <= CpuClock.read({"me": os.getpid()}).since(before)["me"] < 5
