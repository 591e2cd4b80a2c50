"""`python -m service voucher …`, `import decisions`, `rotate-keys`."""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from service.command_line import LANGUAGE, errors_as_sentences, print_table
from service.db import Connection, transaction
from service.money import format_amount
from service.organisers.model import Organiser
from service.organisers.operations import find_organiser
from service.resources import Resources, open_resources
from service.settings import load_settings
from service.vouchers import operations
from service.vouchers.decisions import helsinki_day
from service.vouchers.imports import ImportReport, import_decisions
from service.vouchers.model import VoucherView
from service.vouchers.operations import Sent
from service.vouchers.operations.rotation import Rotation, rotate

voucher_app = typer.Typer(help="Vouchers: look at one, send its code again, replace it.", no_args_is_help=True)
import_app = typer.Typer(help="Bring in many at once.", no_args_is_help=True)

SOME_REJECTED = 3

OrganiserSlug = Annotated[str, typer.Option("--organiser", help="The organiser's short name.", show_default=False)]
DecisionRef = Annotated[str, typer.Option("--decision-ref", help="The decision's number.", show_default=False)]
Reason = Annotated[str, typer.Option(help="Why; kept in the audit log.", show_default=False)]

Change = Callable[[Connection, Resources, Organiser, UUID, date], Awaitable[Sent]]


@voucher_app.command("show")
def show(organiser: OrganiserSlug, decision_ref: DecisionRef) -> None:
    """Show a voucher: state, balance, hints of the contacts. Never a code."""

    async def run() -> VoucherView:
        async with open_resources(load_settings()) as resources, transaction(resources.pool) as conn:
            found = await find_organiser(conn, organiser)
            voucher_id = await operations.find_voucher_of_ref(
                conn, organiser_id=found.organiser_id, decision_ref=decision_ref
            )
            return await operations.voucher_view(
                conn, resources.keys, organiser_id=found.organiser_id, voucher_id=voucher_id, today=_today()
            )

    with errors_as_sentences():
        _print_view(asyncio.run(run()))


@voucher_app.command("resend")
def resend(organiser: OrganiserSlug, decision_ref: DecisionRef, reason: Reason) -> None:
    """Send the same code again to the same contact."""

    async def change(
        conn: Connection, resources: Resources, organiser: Organiser, voucher_id: UUID, today: date
    ) -> Sent:
        return await operations.resend(
            conn,
            resources.keys,
            organiser=organiser,
            voucher_id=voucher_id,
            actor=_actor(),
            reason=reason,
            today=today,
            per_day=resources.settings.resends_per_day,
        )

    _send(organiser, decision_ref, change)


@voucher_app.command("replace-code")
def replace_code(organiser: OrganiserSlug, decision_ref: DecisionRef, reason: Reason) -> None:
    """Make a new code and send it to the same contact; the old one ends."""

    async def change(
        conn: Connection, resources: Resources, organiser: Organiser, voucher_id: UUID, today: date
    ) -> Sent:
        return await operations.replace_code(
            conn,
            resources.keys,
            organiser=organiser,
            voucher_id=voucher_id,
            actor=_actor(),
            reason=reason,
            today=today,
            code_digits=resources.settings.code_digits,
        )

    _send(organiser, decision_ref, change)


@import_app.command("decisions")
def import_(
    file: Annotated[Path, typer.Argument(help="A CSV file with a header; see docs/import.md.", exists=True)],
    organiser: OrganiserSlug,
    language: Annotated[str, typer.Option(help="Of the reasons in the file of rejected rows: fi, sv or en.")] = "fi",
) -> None:
    """Grant every decision in a CSV file. Running it again repeats nothing.

    Ends with status 0 when every row is in, 3 when some were rejected (they are in FILE.rejected.csv with the reasons).
    """

    async def run() -> ImportReport:
        with _progress() as progress:
            task = progress.add_task("decisions", total=None)
            async with open_resources(load_settings()) as resources:
                return await import_decisions(
                    resources,
                    organiser,
                    file,
                    created_by=_actor(),
                    language=language,
                    on_progress=lambda done, total: progress.update(task, completed=done, total=max(done, total)),
                )

    with errors_as_sentences():
        report = asyncio.run(run())
    console = Console(highlight=False, soft_wrap=True)
    console.print(
        f"{report.issued} issued, {report.already_there} already there, {len(report.rejected)} rejected", markup=False
    )
    if report.rejected_file is not None:
        console.print(f"Rejected rows and reasons: {report.rejected_file}", markup=False)
        raise typer.Exit(SOME_REJECTED)


def rotate_keys() -> None:
    """Move every code and contact to the newest keys. Safe under load; stop it at any time and run it again.

    First give all processes the new key behind the old one, then in front of it; take the old one away when this has
    ended (docs/import.md).
    """

    async def run() -> Rotation:
        with _progress() as progress:
            tasks = {}

            def tell(step: str, done: int, total: int) -> None:
                if step not in tasks:
                    tasks[step] = progress.add_task(step, total=total)
                progress.update(tasks[step], completed=done, total=max(done, total))

            async with open_resources(load_settings()) as resources:
                return await rotate(resources.pool, resources.keys, on_progress=tell, also=resources.rotations)

    with errors_as_sentences():
        rotation = asyncio.run(run())
    for step, moved in rotation.moved.items():
        typer.echo(f"{step}: {moved} moved")


def _send(organiser_slug: str, decision_ref: str, change: Change) -> None:
    async def run() -> Sent:
        async with open_resources(load_settings()) as resources:
            async with transaction(resources.pool) as conn:
                organiser = await find_organiser(conn, organiser_slug)
                voucher_id = await operations.find_voucher_of_ref(
                    conn, organiser_id=organiser.organiser_id, decision_ref=decision_ref
                )
                sent = await change(conn, resources, organiser, voucher_id, _today())
            resources.wakeups.wake(sent.message_id)
            return sent

    with errors_as_sentences():
        sent = asyncio.run(run())
    typer.echo(f"voucher {sent.voucher_id}: message {sent.message_id} is queued")


def _print_view(view: VoucherView) -> None:
    voucher, unit = view.voucher, view.voucher.unit
    live, *superseded = view.codes
    table = Table(show_header=False, box=None)
    contacts = " / ".join(hint for hint in (view.phone_hint, view.email_hint) if hint)
    for name, value in (
        ("voucher", str(voucher.voucher_id)),
        ("decision", f"{voucher.decision_ref} ({voucher.status})"),
        ("programme", voucher.programme),
        ("state", view.state.value),
        ("valid", f"{voucher.valid_from} – {voucher.valid_to}"),
        ("granted", format_amount(voucher.granted, unit, LANGUAGE)),
        ("available", format_amount(voucher.available, unit, LANGUAGE)),
        ("held", format_amount(voucher.held, unit, LANGUAGE)),
        ("debited", format_amount(voucher.debited, unit, LANGUAGE)),
        ("contact", f"{contacts} ({view.language})"),
        ("code ends in", live.last_four),
        ("superseded codes", ", ".join(code.last_four for code in superseded) or "–"),
    ):
        table.add_row(name, value)
    print_table(table)


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    )


def _actor() -> str:
    return f"command line:{getpass.getuser()}"


def _today() -> date:
    return helsinki_day(datetime.now(UTC))
