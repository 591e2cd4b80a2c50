"""`python -m service channel pause | resume | status`: stop a gateway by hand, let it go on, see how it is."""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import Awaitable, Callable
from datetime import datetime
from enum import StrEnum
from typing import Annotated, TypeVar

import typer
from rich.table import Table

from service.channels import operations
from service.channels.operations import ChannelStatus, Resumed
from service.command_line import errors_as_sentences, print_table
from service.db import Connection, transaction
from service.resources import Resources, open_resources
from service.settings import load_settings

channel_app = typer.Typer(help="Channels: pause a gateway, resume it, see its state.", no_args_is_help=True)

T = TypeVar("T")


class ChannelChoice(StrEnum):
    SMS = "sms"
    EMAIL = "email"


Channel = Annotated[ChannelChoice, typer.Argument(help="Which channel.")]


@channel_app.command("pause")
def pause(
    channel: Channel,
    reason: Annotated[str, typer.Option(help="Why; shown on /health/ready.", show_default=False)],
) -> None:
    """Keep a channel's messages until `channel resume`. What is past its deadline goes to the other channel."""
    reason = reason.strip()
    if not 1 <= len(reason) <= 200 or not reason.isprintable():
        raise typer.BadParameter("a reason is 1 to 200 printable characters", param_hint="--reason")

    async def work(conn: Connection, resources: Resources) -> None:
        gateway = resources.delivery.gateways[channel.value].name
        await operations.pause(conn, gateway=gateway, reason=reason, actor=_actor())

    _run(work)
    typer.echo(f"{channel.value} is paused until `channel resume {channel.value}`")


@channel_app.command("resume")
def resume(
    channel: Channel,
    extra_parts: Annotated[
        int | None,
        typer.Option(min=1, help="When the day's budget was spent: how much more today. As much again by default."),
    ] = None,
) -> None:
    """Let a channel send again, whoever paused it. The service pauses it anew if its fault is still there."""

    async def work(conn: Connection, resources: Resources) -> Resumed:
        gateway = resources.delivery.gateways[channel.value].name
        extra = extra_parts or resources.settings.sms_parts_per_day
        return await operations.resume(conn, gateway=gateway, extra_parts=extra)

    resumed = _run(work)
    typer.echo(f"{channel.value} sends again" if resumed.was_paused else f"{channel.value} was not paused")
    if resumed.extra_parts:
        typer.echo(f"today's budget is {resumed.extra_parts} parts higher")


@channel_app.command("status")
def status() -> None:
    """Show each channel: whether it is paused and why, what waits, and what of the day's budget is spent."""

    async def work(conn: Connection, resources: Resources) -> list[ChannelStatus]:
        return await operations.channel_statuses(conn, resources.delivery)

    table = Table("channel", "gateway", "state", "reason", "since (UTC)", "until (UTC)", "by", "due", "parts today")
    for line in _run(work):
        held = line.pause
        table.add_row(
            line.channel,
            line.gateway,
            "open" if held is None else "probing" if held.is_probing else "paused",
            held.reason if held else "",
            _moment(held.since) if held else "",
            (_moment(held.until) if held.until else "resumed by hand") if held else "",
            (held.paused_by or "the service") if held else "",
            str(line.due),
            f"{line.parts} of {line.budget}" if line.budget else str(line.parts),
        )
    print_table(table)


def _run(work: Callable[[Connection, Resources], Awaitable[T]]) -> T:
    async def run() -> T:
        async with open_resources(load_settings()) as resources, transaction(resources.pool) as conn:
            return await work(conn, resources)

    with errors_as_sentences():
        return asyncio.run(run())


def _actor() -> str:
    return f"command line:{getpass.getuser()}"


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M}"
