"""`python -m service staff …`: providers' workers, for whoever runs the service. (`worker` is the process.)"""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Annotated, TypeVar
from uuid import UUID

import typer
from rich.table import Table

from service.command_line import errors_as_sentences, print_table
from service.db import Connection, transaction
from service.providers.operations import find_provider
from service.resources import Resources, open_resources
from service.settings import load_settings
from service.staff import operations
from service.staff.model import NewPin

staff_app = typer.Typer(help="Providers' workers, who may charge by text message.", no_args_is_help=True)

ProviderOption = Annotated[str, typer.Option("--provider", help="The provider's Y-tunnus.", show_default=False)]
WorkerId = Annotated[UUID, typer.Argument(help="The worker's id, as `staff list` shows it.", show_default=False)]

T = TypeVar("T")


class Language(StrEnum):
    FI = "fi"
    SV = "sv"
    EN = "en"


@staff_app.command("add")
def add(
    provider: ProviderOption,
    name: Annotated[str, typer.Option(help="The worker's name, as the provider knows it.")],
    phone: Annotated[str, typer.Option(help="A mobile number that is this worker's alone.")],
    language: Annotated[Language, typer.Option(help="Of the answers to its texts.")] = Language.FI,
) -> None:
    """Register a worker's phone and show its PIN once."""

    async def work(conn: Connection, resources: Resources) -> NewPin:
        return await operations.add_worker(
            conn,
            resources.keys,
            provider_id=(await find_provider(conn, provider)).provider_id,
            name=name,
            phone=phone,
            language=language.value,
            countries=resources.settings.sms_countries,
            actor=_actor(),
        )

    _show_pin(_run(work))


@staff_app.command("list")
def list_staff(provider: ProviderOption) -> None:
    """List a provider's workers."""

    async def work(conn: Connection, _resources: Resources) -> Table:
        found = await find_provider(conn, provider)
        table = Table("Id", "Name", "Phone", "Language", "State")
        for worker in await operations.list_workers(conn, provider_id=found.provider_id):
            table.add_row(str(worker.worker_id), worker.name, worker.phone_hint, worker.language, worker.state)
        return table

    print_table(_run(work))


@staff_app.command("new-pin")
def new_pin(worker_id: WorkerId) -> None:
    """Give a worker another PIN and show it once."""
    _show_pin(
        _run(
            lambda conn, resources: operations.new_pin(
                conn, resources.keys, provider_id=None, worker_id=worker_id, actor=_actor()
            )
        )
    )


@staff_app.command("unlock")
def unlock(worker_id: WorkerId) -> None:
    """Let a worker charge again after three wrong PINs; it gets a new one, shown once."""
    _show_pin(
        _run(
            lambda conn, resources: operations.unlock_worker(
                conn, resources.keys, provider_id=None, worker_id=worker_id, actor=_actor()
            )
        )
    )


@staff_app.command("remove")
def remove(worker_id: WorkerId) -> None:
    """From the next text on the phone charges nothing; number and PIN are forgotten. Again is harmless."""
    worker = _run(
        lambda conn, _resources: operations.remove_worker(conn, provider_id=None, worker_id=worker_id, actor=_actor())
    )
    typer.echo(f"{worker.name} is removed")


def _run(work: Callable[[Connection, Resources], Awaitable[T]]) -> T:
    async def run() -> T:
        async with open_resources(load_settings()) as resources, transaction(resources.pool) as conn:
            return await work(conn, resources)

    with errors_as_sentences():
        return asyncio.run(run())


def _show_pin(made: NewPin) -> None:
    # Plain and alone on its line, so that a script can take it.
    typer.echo(made.pin)
    typer.echo(
        f"This is the only time the PIN of {made.worker.name} is shown. The worker's id is {made.worker.worker_id}.",
        err=True,
    )


def _actor() -> str:
    return f"command line:{getpass.getuser()}"
