"""The command line: `python -m service …`. Also what the Procfile starts.

Each noun brings its own commands; here they are only put together, with the processes themselves.
"""

from __future__ import annotations

import asyncio
import base64
import errno
import os
import secrets as random
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import structlog
import typer

from service.command_line import errors_as_sentences
from service.logs import configure_logs
from service.settings import KEY_BYTES, Settings, load_settings

log = structlog.get_logger()

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Seteli: decisions become vouchers on families' phones, and providers charge them.",
)

Process = Callable[[Settings, asyncio.Event], Coroutine[Any, Any, None]]


def run_process(process: Process) -> None:
    """Run a process until SIGTERM or SIGINT, and let it finish what is in flight."""
    with errors_as_sentences():
        settings = load_settings()
    configure_logs(level=settings.log_level, form=settings.log_format)

    async def main() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await process(settings, stop)

    try:
        run(main())
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES):
            raise
        typer.echo(f"Cannot listen on {settings.host}: {os.strerror(error.errno)}. Set HOST and PORT.", err=True)
        raise typer.Exit(1) from error


def run(main: Coroutine[Any, Any, None]) -> None:
    """asyncio.run on uvloop where there is one."""
    if sys.platform == "win32":
        asyncio.run(main)
    else:
        import uvloop

        uvloop.run(main)


@app.command()
def web() -> None:
    """Serve the API. Needs DATABASE_URL, REDIS_URL and the keys; never migrates."""
    from service.app import run_web

    run_process(run_web)


@app.command()
def worker() -> None:
    """Deliver messages. Needs DATABASE_URL, REDIS_URL and the keys; never migrates."""
    from service.workers.process import run_worker

    run_process(run_worker)


@app.command()
def migrate() -> None:
    """Bring the database's tables up to date. Safe to run twice, and twice at once."""
    from service.db import MigrationError
    from service.db import migrate as apply_migrations

    with errors_as_sentences():
        settings = load_settings()
        try:
            applied = asyncio.run(apply_migrations(settings.database_url.get_secret_value()))
        except MigrationError as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(1) from error
    typer.echo("\n".join(f"applied {name}" for name in applied) or "nothing to do")


@app.command("words")
def show_missing_words() -> None:
    """List the texts of the pages that a language lacks, as entries for its catalogue; status 1 when there are any."""
    from service.web.pages.words import missing_entries

    found = {language: missing_entries(language) for language in ("fi", "sv")}
    for language, entries in found.items():
        typer.echo(f"# {language}: {len(entries)} missing\n" + "\n".join(entries))
    raise typer.Exit(1 if any(found.values()) else 0)


@app.command("secrets")
def make_secrets() -> None:
    """Print a fresh set of keys, as environment variables. Keep them outside the database and its backups."""
    for name in ("ENCRYPTION_KEYS", "INDEX_KEYS"):
        typer.echo(f"{name}=1:{base64.b64encode(random.token_bytes(KEY_BYTES)).decode()}")


def add_commands() -> None:
    """Hang the nouns' commands in."""
    from service.attention.commands import attention_app
    from service.channels.commands.bounces import take_bounce_from_pipe
    from service.channels.commands.channel import channel_app
    from service.channels.commands.template import template_app
    from service.directory.commands import profile_app
    from service.guessing.commands import block_app
    from service.organisers.commands import organiser_app, programme_app, region_app
    from service.people.commands import person_app
    from service.providers.commands import key_app, provider_app
    from service.sandbox.commands import demo
    from service.staff.commands import staff_app
    from service.vouchers.commands import import_app, rotate_keys, voucher_app

    provider_app.add_typer(profile_app, name="profile")
    for name, commands in (
        ("region", region_app),
        ("organiser", organiser_app),
        ("programme", programme_app),
        ("provider", provider_app),
        ("staff", staff_app),
        ("person", person_app),
        ("key", key_app),
        ("voucher", voucher_app),
        ("import", import_app),
        ("channel", channel_app),
        ("template", template_app),
        ("attention", attention_app),
        ("block", block_app),
    ):
        app.add_typer(commands, name=name)
    app.command("rotate-keys")(rotate_keys)
    app.command("bounces")(take_bounce_from_pipe)
    app.command("demo")(demo)


if __name__ == "__main__":
    add_commands()
    app()
