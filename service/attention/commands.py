"""`python -m service attention list | resolve`"""

from __future__ import annotations

import getpass
from typing import Annotated
from uuid import UUID

import typer
from rich.console import Console
from rich.table import Table

from service.attention import operations
from service.attention.model import AttentionUnknown, Item
from service.attention.words import words_for
from service.command_line import LANGUAGE, errors_as_sentences, print_table, run_in_transaction
from service.db import Connection
from service.organisers.operations import find_organiser

attention_app = typer.Typer(help="What needs a person: see the list, take things off it.", no_args_is_help=True)

SHOWN = 200


@attention_app.command("list")
def list_items(
    organiser: Annotated[str, typer.Option("--organiser", help="The organiser's short name.", show_default=False)],
    language: Annotated[str, typer.Option(help="Of the sentences: fi, sv or en.")] = LANGUAGE,
) -> None:
    """List what needs a person, oldest first, with the reason and what resolves it."""

    async def find(conn: Connection) -> list[Item]:
        found = await find_organiser(conn, organiser)
        return await operations.list_open(conn, organiser_id=found.organiser_id, after=None, limit=SHOWN)

    items = run_in_transaction(find)
    console = Console(highlight=False)
    if not items:
        console.print("Nothing needs a person.")
        return
    table = Table("since (UTC)", "decision", "why, and what to do", "id", show_lines=True)
    for item in items:
        words = words_for(item.reason, language)
        table.add_row(
            f"{item.opened_at:%Y-%m-%d %H:%M}",
            item.decision_ref or str(item.voucher_id or item.import_id),
            f"{words.sentence} {words.action}",
            str(item.attention_id),
        )
    print_table(table)


@attention_app.command("resolve")
def resolve(
    attention_id: Annotated[str, typer.Argument(metavar="ID", help="As `attention list` shows it.")],
    reason: Annotated[str, typer.Option(help="What was done; kept in the audit log.", show_default=False)],
) -> None:
    """Take one thing off the list, and note who did it and why."""

    async def change(conn: Connection) -> Item:
        item_id = _parse(attention_id)
        return await operations.resolve_item(
            conn,
            organiser_id=await operations.organiser_of(conn, item_id),
            attention_id=item_id,
            actor=f"command line:{getpass.getuser()}",
            resolution=reason,
        )

    with errors_as_sentences():
        item = run_in_transaction(change)
    typer.echo(f"resolved {item.attention_id}")


def _parse(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise AttentionUnknown from None
