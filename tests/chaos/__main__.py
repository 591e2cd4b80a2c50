"""`python -m tests.chaos`: break everything, heal, judge. Status 0 only if nothing was lost, repeated or stuck."""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
from pathlib import Path

from tests.chaos.faults import FAULTS, masses
from tests.chaos.judge import CONVERGE_WITHIN_S
from tests.chaos.mutants import MUTANTS
from tests.chaos.report import table
from tests.chaos.run import Plan, run


def main() -> int:
    options = _options()
    folder = Path(tempfile.mkdtemp(prefix="seteli-chaos-"))
    folder.chmod(0o711)  # where root may not make user namespaces, PostgreSQL runs as `nobody`
    chosen = [fault for fault in FAULTS if any(word in fault.name for word in options.faults.split(","))]
    plan = Plan(
        seed=options.seed,
        faults=[*chosen, *masses(texts=options.texts, mails=options.mails)] if options.texts else chosen,
        seconds_each=options.seconds / max(len(chosen), 1),
        points=[int(point) for point in options.points.split(",")] if options.points not in ("all", "none") else (),
        all_points=options.points == "all",
        mutant=options.mutant,
        workers=options.workers,
        has_sleeper=options.sleeper or options.points == "all",
        patience_s=options.patience,
    )
    outcome = asyncio.run(run(plan, folder))
    print(table(outcome, seed=options.seed))
    is_as_expected = outcome.is_good or options.mutant is not None
    if is_as_expected and not options.keep:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        print(f"Logs, database and journal: {folder}")
    return 0 if outcome.is_good else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="of faults under load, shared by all of them")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--faults", default="", help="words in their names, with commas; default: all of them")
    parser.add_argument(
        "--texts", type=int, default=0, help="besides: about so many texts, through all that can happen"
    )
    parser.add_argument("--mails", type=int, default=0, help="… and mails")
    parser.add_argument("--workers", type=int, default=1, help="at once")
    parser.add_argument("--points", default="all", help="where workers die while sending: all, none, or 3,7,12")
    parser.add_argument(
        "--sleeper", action="store_true", help="a worker is stopped past its lease; with all points, too"
    )
    parser.add_argument("--patience", type=float, default=CONVERGE_WITHIN_S, help="seconds that all may take to settle")
    parser.add_argument("--mutant", choices=MUTANTS, help="run with a fault of ours in the code: it has to be caught")
    parser.add_argument("--keep", action="store_true", help="keep logs, database and journal")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
