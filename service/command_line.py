"""What every command shares: one run in a transaction, and errors as a sentence instead of a traceback."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import typer
from rich.console import Console
from rich.table import Table

from service.crypto import SealBroken
from service.db import Connection, close_pool, open_pool, transaction
from service.errors import SeteliError
from service.problems import problem
from service.settings import MissingSettings, load_settings

NEXT_STEPS = {
    "database_unavailable": "See that PostgreSQL runs and DATABASE_URL leads to it; then run the command again."
}
"""Where what a program is told to do next is no use to whoever types a command."""
LANGUAGE = "en"  # as the options and their help

T = TypeVar("T")


def run_in_transaction(work: Callable[[Connection], Awaitable[T]]) -> T:
    """Run `work` in one transaction, commit, and return its result. Nothing else of a process is opened.

    What a person can put right (a refusal, a missing setting, a database that is down) is printed to the standard
    error as a sentence with a next step, and ends the command with status 1.
    """

    async def run() -> T:
        url = load_settings().database_url.get_secret_value()
        pool = await open_pool(url, size=1, application_name="seteli command")
        try:
            async with transaction(pool) as conn:
                return await work(conn)
        finally:
            await close_pool(pool)

    with errors_as_sentences():
        return asyncio.run(run())


@contextmanager
def errors_as_sentences() -> Iterator[None]:
    """Print what a person can put right as a sentence, and end with status 1."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        yield
    except SeteliError as error:
        told = problem(error.code, error.details, LANGUAGE)
        console.print(f"{told.detail} {NEXT_STEPS.get(error.code, told.next_step)}", style="red", markup=False)
        raise typer.Exit(1) from error
    except (MissingSettings, SealBroken) as error:
        console.print(str(error), style="red", markup=False)
        raise typer.Exit(1) from error


PIPE_WIDTH = 400


def print_table(table: Table) -> None:
    """Print a table whose cells are never cut off: folded on a terminal, as wide as they need in a pipe.

    An id stays on one line, so that it can be copied.
    """
    for column in table.columns:
        column.overflow = "fold"
        column.no_wrap = str(column.header).lower() == "id"
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console = Console(highlight=False, markup=False, width=PIPE_WIDTH)
    console.print(table)
