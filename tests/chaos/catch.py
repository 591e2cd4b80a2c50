"""`python -m tests.chaos.catch`: the faults of `mutants.py` one by one; status 0 only if each is caught.

Each of their runs is made without a fault first: a judge who finds fault with everybody catches everything.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence

from tests.chaos.mutants import MUTANTS

PATIENCE_S = "25"
TIMEOUT_S = 240
HOLDS, DOES_NOT = "Everything holds.", "SOMETHING DOES NOT HOLD."


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.catch", description=__doc__)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--only", default="", help="names, with commas; default: all of them")
    options = parser.parse_args()
    names = [name for name in options.only.split(",") if name] or list(MUTANTS)
    is_good = True
    for run in dict.fromkeys(MUTANTS[name].options for name in names):
        said, took_s = _run([*run, "--seed", options.seed])
        is_good &= HOLDS in said
        _tell("no fault", HOLDS in said, "holds" if HOLDS in said else "DOES NOT HOLD", took_s, said)
    for name in names:
        said, took_s = _run([*MUTANTS[name].options, "--seed", options.seed, "--mutant", name])
        is_good &= DOES_NOT in said
        _tell(name, DOES_NOT in said, _how(said) if DOES_NOT in said else "NOT CAUGHT", took_s, said)
    return 0 if is_good else 1


def _run(options: Sequence[str]) -> tuple[str, float]:
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos", "--patience", PATIENCE_S, *options],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    return done.stdout + done.stderr, time.monotonic() - started


def _how(said: str) -> str:
    """What gave it away: the columns that are not 0, and the violations."""
    lines = said.splitlines()
    columns = lines[0].split("  ")
    titles = [title.strip() for title in columns if title.strip()]
    found: list[str] = []
    for line in lines[2:]:
        if not line.strip():
            break
        figures = dict(zip(titles[1:], line.split()[-len(titles[1:]) :], strict=True))
        found += [f"{figures[title]} {title}" for title in ("lost", "repeated", "stuck") if figures[title] != "0"]
    found += [line.partition("): ")[2] for line in lines if line.startswith("VIOLATION")]
    return "; ".join(dict.fromkeys(found))


def _tell(name: str, is_as_expected: bool, how: str, took_s: float, said: str) -> None:
    print(f"| {name} | {how} | {took_s:.0f} s |", flush=True)
    if not is_as_expected:
        print(said, flush=True)


if __name__ == "__main__":
    sys.exit(main())
