"""The jobs that arq runs: wake-ups and clock ticks. A job's argument is one id; what is to be done is in the rows."""

from __future__ import annotations

from typing import Any

from service.queue import DISPATCH_JOB, IMPORT_JOB
from service.workers.dispatcher import Dispatcher

REPAIR_JOB = "repair"
FAMILIES_JOB = "families"
SCHEDULES_JOB = "schedules"
DISPATCHER = "dispatcher"  # where arq's context holds it

Context = dict[str, Any]


async def dispatch(context: Context, message_id: str) -> None:
    """A message was queued and committed: look now."""
    _dispatcher(context).wake()


async def grant_import(context: Context, import_id: str) -> None:
    """Somebody has said "grant these": look now."""
    _dispatcher(context).take_imports()


async def repair(context: Context) -> None:
    """Every minute: find what should have a message and has none."""
    _dispatcher(context).look_for_repairs()


async def families(context: Context) -> None:
    """Every ten minutes: reminders, the evening's summaries, and whom reminding did not help."""
    _dispatcher(context).tell_families()


async def schedules(context: Context) -> None:
    """Every minute: holds lapse, later decisions begin, vouchers expire and are closed, the overview is counted."""
    _dispatcher(context).keep_schedules()


def _dispatcher(context: Context) -> Dispatcher:
    dispatcher: Dispatcher = context[DISPATCHER]
    return dispatcher


JOBS = {
    DISPATCH_JOB: dispatch,
    IMPORT_JOB: grant_import,
    REPAIR_JOB: repair,
    FAMILIES_JOB: families,
    SCHEDULES_JOB: schedules,
}
