"""A past for the stage: messages that were sent and delivered before anything is measured.

Sessions keep the plans of their statements. On tables that have never held a row the planner takes any index that
begins with `organiser_id` for as good as the right one, and keeps to it until autovacuum comes by, within a minute.
That minute happens once in an installation's life; what is measured here is the years after it.
"""

from __future__ import annotations

import time

from bench.decisions import import_command, write_csv
from bench.stage import BenchFailed, Stage
from service.db import Connection

STALLED_AFTER_S = 30.0
LOOK_EVERY_S = 0.25

DELIVERED = "SELECT count(*) FROM messages WHERE state = 'delivered'"


def live_through(stage: Stage, *, messages: int) -> None:
    """Send `messages` messages the whole way. The caller takes the numbers after these for its own families."""
    path = write_csv(stage.home.folder / "history.csv", messages, series="history")
    stage.run_to_end("import", import_command(path))
    with stage.running("sandbox"), stage.running("web"), stage.running("worker"):
        wait_until(stage, DELIVERED, messages)
    stage.settle()


def wait_until(stage: Stage, count: str, wanted: int) -> None:
    """Look from time to time, on one connection, until the count is there. Raises BenchFailed when it stands still."""

    async def look(conn: Connection) -> None:
        last, moved_at = -1, time.monotonic()
        while (now := int(await conn.fetchval(count))) < wanted:
            if now != last:
                last, moved_at = now, time.monotonic()
            if time.monotonic() - moved_at > STALLED_AFTER_S:
                raise BenchFailed(f"stands still at {now} of {wanted}: {count}\n{stage.last_lines('worker')}")
            time.sleep(LOOK_EVERY_S)  # noqa: ASYNC251 - nothing else runs in this process

    stage.ask(look)
