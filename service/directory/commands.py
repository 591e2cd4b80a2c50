"""`python -m service provider profile …`: what the public directory tells of a provider."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

import typer
from rich.table import Table

from service.command_line import print_table, run_in_transaction
from service.db import Connection
from service.directory import operations
from service.directory.model import GENERAL, HOURS, LANGUAGES, NOTHING_TOLD, Profile
from service.directory.operations import KeptProfiles
from service.providers.operations import find_provider

profile_app = typer.Typer(help="What the public directory tells of a provider.", no_args_is_help=True)

BusinessId = Annotated[str, typer.Argument(help="The Y-tunnus, e.g. 1234567-1.", show_default=False)]
Programme = Annotated[
    str, typer.Option(help="Of one programme, where it is otherwise than in general: its short name.")
]
Text = Annotated[str | None, typer.Option(help="What the company does; '' takes it away.")]


@profile_app.command("set")
def set_profile(
    business_id: BusinessId,
    programme: Programme = GENERAL,
    description_fi: Text = None,
    description_sv: Text = None,
    description_en: Text = None,
    area: Annotated[
        list[str] | None, typer.Option(help="A municipality; repeatable, in place of those before.")
    ] = None,
    hours: Annotated[
        list[str] | None,
        typer.Option(help=f"One of {', '.join(HOURS)}, or with times: weekday=08:00-16:00; repeatable."),
    ] = None,
    language: Annotated[list[str] | None, typer.Option(help=f"One of {', '.join(LANGUAGES)}; repeatable.")] = None,
    phone: Annotated[str | None, typer.Option(help="The company's; '' takes it away.")] = None,
    email: Annotated[str | None, typer.Option(help="The company's; '' takes it away.")] = None,
    web: Annotated[str | None, typer.Option(help="An https address; '' takes it away.")] = None,
    takes_new: Annotated[
        bool | None, typer.Option("--takes-new/--full", help="Whether new customers are taken.", show_default=False)
    ] = None,
) -> None:
    """Change what is told of a provider. What is not given stays; it shows at once."""
    descriptions = {"fi": description_fi, "sv": description_sv, "en": description_en}

    async def store(conn: Connection) -> KeptProfiles:
        provider_id = (await find_provider(conn, business_id)).provider_id
        kept = (await operations.profiles_of(conn, provider_id=provider_id)).profiles.get(programme, NOTHING_TOLD)
        told = {name: text for name, text in descriptions.items() if text is not None}
        wanted = replace(
            kept,
            descriptions={**kept.descriptions, **told},
            areas=kept.areas if area is None else tuple(area),
            hours=kept.hours if hours is None else dict(_told_hours(each) for each in hours),
            languages=kept.languages if language is None else tuple(language),
            phone=kept.phone if phone is None else phone,
            email=kept.email if email is None else email,
            web=kept.web if web is None else web,
            takes_new=kept.takes_new if takes_new is None else takes_new,
        )
        await operations.set_profile(
            conn,
            provider_id=provider_id,
            programme=programme,
            profile=wanted,
            actor=f"command line:{getpass.getuser()}",
        )
        return await operations.profiles_of(conn, provider_id=provider_id)

    print_table(_table(run_in_transaction(store)))


@profile_app.command("show")
def show_profile(business_id: BusinessId) -> None:
    """Show what is told of a provider, in general and of single programmes."""

    async def read(conn: Connection) -> KeptProfiles:
        return await operations.profiles_of(conn, provider_id=(await find_provider(conn, business_id)).provider_id)

    print_table(_table(run_in_transaction(read)))


def _told_hours(text: str) -> tuple[str, str]:
    kind, _, times = text.partition("=")
    return kind, times


def _table(kept: KeptProfiles) -> Table:
    table = Table("", *(programme or "in general" for programme in kept.profiles), title=kept.name)
    for label, cells in zip(_LABELS, zip(*map(_cells, kept.profiles.values()), strict=True), strict=True):
        table.add_row(label, *cells)
    return table


_LABELS = ("fi", "sv", "en", "Areas", "Hours", "Languages", "Phone", "E-mail", "Web", "New customers")


def _cells(profile: Profile) -> Sequence[str]:
    return (
        *(profile.descriptions.get(language, "–") for language in ("fi", "sv", "en")),
        ", ".join(profile.areas or ()) or "–",
        ", ".join(f"{kind} {times}".strip() for kind, times in (profile.hours or {}).items()) or "–",
        ", ".join(profile.languages or ()) or "–",
        profile.phone or "–",
        profile.email or "–",
        profile.web or "–",
        {None: "–", True: "taken", False: "not now"}[profile.takes_new],
    )
