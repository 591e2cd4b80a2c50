"""`python -m service block list | lift | acknowledge`"""

from __future__ import annotations

import getpass
from datetime import datetime
from typing import Annotated
from uuid import UUID

import typer
from rich.console import Console
from rich.table import Table

from service.command_line import print_table, run_in_transaction
from service.guessing import operations
from service.guessing.model import Breaker, Suspect

block_app = typer.Typer(help="Keys and workers stopped for guessing codes, and the alarm.", no_args_is_help=True)

Reason = Annotated[str, typer.Option(help="What the matter was; kept in the audit log.", show_default=False)]


@block_app.command("list")
def list_blocks() -> None:
    """Show who is stopped, who else tried unknown codes in the last 24 hours, and whether the alarm is on."""
    seen = run_in_transaction(operations.overview)
    _say(_in_words(seen.breaker))
    if not seen.blocks and not seen.others:
        _say("Nobody is stopped, and nobody tried an unknown code in the last 24 hours.")
        return
    table = Table("id", "provider", "key or worker", "misses, hour", "day", "stopped since (UTC)", "until")
    for suspect in (*seen.blocks, *seen.others):
        table.add_row(
            str(suspect.credential_id),
            f"{suspect.provider_name or '–'} {suspect.business_id or ''}".strip(),
            _credential(suspect),
            str(suspect.misses_last_hour),
            str(suspect.misses_last_day),
            _minute(suspect.blocked_at),
            _minute(suspect.blocked_until),
        )
    print_table(table)


@block_app.command("lift")
def lift(
    credential_id: Annotated[UUID, typer.Argument(metavar="ID", help="As `block list` shows it.")], reason: Reason
) -> None:
    """Let a stopped key or worker go on, and forgive its misses. Again is harmless."""
    lifting = run_in_transaction(
        lambda conn: operations.lift_block(conn, credential_id=credential_id, actor=_actor(), reason=reason)
    )
    _say(f"Lifted at {_minute(lifting.lifted_at)} UTC by {lifting.lifted_by}: {lifting.reason}")


@block_app.command("acknowledge")
def acknowledge(reason: Reason) -> None:
    """End the alarm and its stricter limits, once you know what it was. Again is harmless."""
    done = run_in_transaction(lambda conn: operations.acknowledge_breaker(conn, actor=_actor(), reason=reason))
    _say(f"Acknowledged at {_minute(done.acknowledged_at)} UTC by {done.acknowledged_by}: {done.reason}")


def _in_words(breaker: Breaker) -> str:
    if breaker.is_tripped:
        return (
            f"ALARM since {_minute(breaker.tripped_at)} UTC, after {breaker.misses_that_tripped} misses in 24 hours"
            f" (now {breaker.misses_today}): {breaker.misses_an_hour_tripped} misses an hour stop a key until"
            " `block acknowledge`"
        )
    return f"No alarm: {breaker.misses_today} misses in 24 hours; it rings at {breaker.misses_of_all}"


def _credential(suspect: Suspect) -> str:
    if suspect.name is None:
        return "not known"
    kind = suspect.kind if suspect.kind in ("worker", "person") else "key"
    return f"{kind} {suspect.name} ({suspect.hint})" if suspect.hint else f"{kind} {suspect.name}"


def _minute(moment: datetime | None) -> str:
    return "–" if moment is None else f"{moment:%Y-%m-%d %H:%M}"


def _actor() -> str:
    return f"command line:{getpass.getuser()}"


def _say(sentence: str) -> None:
    Console(soft_wrap=True).print(sentence, highlight=False, markup=False)
