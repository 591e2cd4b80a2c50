"""`python -m service person …`: the first admin of an owner, and what only the operator may do."""

from __future__ import annotations

import asyncio
import getpass
from typing import Annotated
from uuid import UUID

import typer
from rich.table import Table

from service.command_line import errors_as_sentences, print_table, run_in_transaction
from service.db import Connection, transaction
from service.organisers.operations import find_organiser
from service.people.model import ALL_ROLES, Owner
from service.people.operations import accounts, administration
from service.people.operations.links import PATHS, Invited, invite
from service.providers.model import OwnerAmbiguous
from service.providers.operations import find_provider
from service.resources import open_resources
from service.settings import load_settings

person_app = typer.Typer(help="People who log in: caseworkers, and providers' staff.", no_args_is_help=True)

PersonOrganiser = Annotated[str | None, typer.Option("--organiser", help="Whose: an organiser's short name.")]
PersonProvider = Annotated[str | None, typer.Option("--provider", help="Whose: a provider's Y-tunnus.")]


@person_app.command("invite")
def invite_person(
    name: Annotated[str, typer.Option(help="The person's name; they can correct it.")],
    email: Annotated[str, typer.Option(help="Their own address, never a shared mailbox.")],
    role: Annotated[str, typer.Option(help=f"One of {', '.join(sorted(ALL_ROLES))}.")],
    organiser: PersonOrganiser = None,
    provider: PersonProvider = None,
    language: Annotated[str, typer.Option(help="fi, sv or en.")] = "fi",
) -> None:
    """Invite a person, usually the first admin of an owner: the link goes by e-mail, and is printed once, too."""
    if language not in ("fi", "sv", "en"):
        raise typer.BadParameter("one of fi, sv, en", param_hint="--language")

    async def run() -> tuple[Invited, str]:
        async with open_resources(load_settings()) as resources:
            async with transaction(resources.pool) as conn:
                owner, owner_id, owner_name = await _find_owner(conn, organiser, provider)
                invited = await invite(
                    conn,
                    resources.keys,
                    owner=owner,
                    owner_id=owner_id,
                    role=role,
                    name=name,
                    email=email,
                    language=language,
                    inviter=owner_name,
                    actor=_actor(),
                )
            resources.wakeups.wake(invited.message_id)
            return invited, resources.settings.public_url

    with errors_as_sentences():
        invited, public_url = asyncio.run(run())
    # Plain and alone on its line, so that a script can take it.
    typer.echo(f"{public_url}{PATHS['invitation']}{invited.token}")
    typer.echo(
        f"The link works once, for seven days, and is shown only now. Person {invited.person_id} is invited.", err=True
    )


@person_app.command("list")
def list_people(organiser: PersonOrganiser = None, provider: PersonProvider = None) -> None:
    """List everybody of an owner."""

    async def run(conn: Connection) -> list[tuple[str, ...]]:
        owner, owner_id, _ = await _find_owner(conn, organiser, provider)
        people = await accounts.list_people(conn, owner=owner, owner_id=owner_id)
        return [
            (
                str(one.person_id),
                one.name,
                one.role,
                one.email_hint or "–",
                "removed" if one.disabled_at else "in use" if one.has_second_factor else "invited",
                f"{one.last_seen_at:%Y-%m-%d}" if one.last_seen_at else "–",
            )
            for one in people
        ]

    table = Table("Id", "Name", "Role", "E-mail", "State", "Last seen")
    for row in run_in_transaction(run):
        table.add_row(*row)
    print_table(table)


@person_app.command("disable")
def disable_person(person_id: Annotated[UUID, typer.Argument(help="The id, as `person list` shows it.")]) -> None:
    """Let a person sign in no more, from this moment on; forgets their address and secrets."""

    async def run(conn: Connection) -> str:
        person = await accounts.find_person(conn, person_id)
        await administration.remove_person(conn, person, actor=_actor())
        return person.name

    typer.echo(f"{run_in_transaction(run)} can no longer sign in")


@person_app.command("reset")
def reset_person(person_id: Annotated[UUID, typer.Argument(help="The id, as `person list` shows it.")]) -> None:
    """Forget a person's second step: for an owner's only admin who lost their phone."""

    async def run(conn: Connection) -> str:
        person = await accounts.find_person(conn, person_id)
        await administration.reset_person(conn, person, actor=_actor())
        return person.name

    typer.echo(f"{run_in_transaction(run)} sets up a new second step at the next sign-in")


async def _find_owner(conn: Connection, organiser: str | None, provider: str | None) -> tuple[Owner, UUID, str]:
    if organiser is not None and provider is None:
        found = await find_organiser(conn, organiser)
        return "organiser", found.organiser_id, found.name
    if provider is not None and organiser is None:
        company = await find_provider(conn, provider)
        return "provider", company.provider_id, company.name
    raise OwnerAmbiguous


def _actor() -> str:
    return f"command line:{getpass.getuser()}"
