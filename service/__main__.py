"""The command line: `python -m service …`. Also what the Procfile starts.

Each noun brings its own commands, which are imported when they are called; here are the processes themselves.
"""

from __future__ import annotations

import asyncio
import base64
import errno
import os
import secrets as random
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping
from importlib import import_module
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


@app.command("web")
def web() -> None:
    """Serve the API. Needs DATABASE_URL, REDIS_URL and the keys; never migrates."""
    from service.app import run_web

    run_process(run_web)


@app.command("worker")
def worker() -> None:
    """Deliver messages. Needs DATABASE_URL, REDIS_URL and the keys; never migrates."""
    from service.workers.process import run_worker

    run_process(run_worker)


@app.command("migrate")
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


OWN_COMMANDS = frozenset(command.name for command in app.registered_commands)

# Where the nouns' commands are: several under the noun's name, or the one of that name.
NOUNS: Mapping[str, tuple[str, str]] = {
    "region": ("service.organisers.commands", "region_app"),
    "organiser": ("service.organisers.commands", "organiser_app"),
    "programme": ("service.organisers.commands", "programme_app"),
    "provider": ("service.providers.commands", "provider_app"),
    "staff": ("service.staff.commands", "staff_app"),
    "person": ("service.people.commands", "person_app"),
    "key": ("service.providers.commands", "key_app"),
    "voucher": ("service.vouchers.commands", "voucher_app"),
    "import": ("service.vouchers.commands", "import_app"),
    "channel": ("service.channels.commands.channel", "channel_app"),
    "template": ("service.channels.commands.template", "template_app"),
    "attention": ("service.attention.commands", "attention_app"),
    "block": ("service.guessing.commands", "block_app"),
    "rotate-keys": ("service.vouchers.commands", "rotate_keys"),
    "bounces": ("service.channels.commands.bounces", "take_bounce_from_pipe"),
    "demo": ("service.sandbox.commands", "demo"),
}


def add_commands(called: str) -> None:
    """Hang in the commands of the noun that is called; of all of them, if a list of commands is asked for.

    Importing what every noun's commands stand on takes longer than most commands, and than a process needs to start.
    """
    if called in OWN_COMMANDS:
        return
    for name in NOUNS if called not in NOUNS else (called,):
        commands = _import_commands(*NOUNS[name])
        if name == "provider":  # what the directory tells of it is of a noun above
            commands.add_typer(_import_commands("service.directory.commands", "profile_app"), name="profile")
        if isinstance(commands, typer.Typer):
            app.add_typer(commands, name=name)
        else:
            app.command(name)(commands)


def _import_commands(module: str, name: str) -> Any:
    return getattr(import_module(module), name)


if __name__ == "__main__":
    add_commands(called=sys.argv[1] if len(sys.argv) > 1 else "")
    app()
