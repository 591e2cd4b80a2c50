"""`python -m tests.chaos.process web | worker`: the real process, impatient, and on request doomed or mutated.

    CHAOS_KILL_AT=n with CHAOS_KILL_MESSAGE=id   kill -9 itself at the n-th point of sending that message
    CHAOS_DOZE_MESSAGE=id                        stop itself when it is about to write down what became of that message
    CHAOS_MUTANT=name                            run with a fault of ours in the code (`mutants.py`)

Read here and nowhere else: the service knows nothing of it.
"""

from __future__ import annotations

import os
import sys

from service.__main__ import app
from tests.chaos import kill_points, mutants, pace


def main() -> None:
    pace.quicken()
    if name := os.environ.get("CHAOS_MUTANT"):
        mutants.MUTANTS[name].put_in()
    if message_id := os.environ.get("CHAOS_KILL_MESSAGE"):
        kill_points.doom(message_id, at=int(os.environ["CHAOS_KILL_AT"]))
    if message_id := os.environ.get("CHAOS_DOZE_MESSAGE"):
        kill_points.doze(message_id)
    sys.argv[0] = "service"
    app()


if __name__ == "__main__":
    main()
