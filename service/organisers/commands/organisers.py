"""`python -m service organiser | region | programme …`; a programme's rules are in `rules`."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from service.channels.kinds import DIRECTORY_MAX, HELP_PHONE_MAX, PROGRAMME_NAME_MAX
from service.channels.languages import MESSAGE_LANGUAGES, SERVED
from service.command_line import errors_as_sentences, print_table, run_in_transaction
from service.money import MAX_AMOUNT, Unit, format_amount
from service.organisers import operations
from service.organisers.commands.rules import actor, rules_app, worth
from service.organisers.model import NAMES_REQUIRED, Receipts, own_directory
from service.settings import load_settings

organiser_app = typer.Typer(help="Organisers: who decides and pays.", no_args_is_help=True)
region_app = typer.Typer(help="Regions: organisers that share approvals of providers.", no_args_is_help=True)
programme_app = typer.Typer(help="Programmes: what an organiser grants vouchers for.", no_args_is_help=True)
programme_app.add_typer(rules_app, name="rules")

OrganiserSlug = Annotated[str, typer.Option("--organiser", help="The organiser's short name.", show_default=False)]

DirectoryAddress = Annotated[
    str | None,
    typer.Option(
        help=f"Where the approved providers are listed; in every text, at most {DIRECTORY_MAX} characters. "
        "Without it this installation's own directory."
    ),
]

OtherNames = Annotated[
    list[str] | None,
    typer.Option(
        "--name",
        metavar="LANGUAGE=NAME",
        help=f"The name in one more language, e.g. et=Koduabi; can be repeated. Of {', '.join(MESSAGE_LANGUAGES)}.",
        show_default=False,
    ),
]


@region_app.command("add")
def add_region(
    slug: Annotated[str, typer.Argument(help="A short name: a–z, 0–9 and hyphens.")],
    name: Annotated[str, typer.Option(help="The name as people know it.")],
) -> None:
    """Add a region. The same again changes nothing."""
    region = run_in_transaction(lambda conn: operations.add_region(conn, slug=slug, name=name))
    Console().print(f"Region {region.slug}: {region.name}", highlight=False, markup=False)


@organiser_app.command("add")
def add_organiser(
    slug: Annotated[str, typer.Argument(help="A short name: a–z, 0–9 and hyphens.")],
    name: Annotated[str, typer.Option(help="The name as people know it.")],
    help_phone: Annotated[
        str, typer.Option(help=f"Whom families call; printed in every text, at most {HELP_PHONE_MAX} characters.")
    ],
    directory_address: DirectoryAddress = None,
    region: Annotated[str | None, typer.Option(help="The region's short name.")] = None,
    language: Annotated[str, typer.Option(help=f"The default language: {', '.join(MESSAGE_LANGUAGES)}.")] = "fi",
) -> None:
    """Add an organiser. The same again changes nothing."""
    organiser = run_in_transaction(
        lambda conn: operations.add_organiser(
            conn,
            slug=slug,
            name=name,
            region_slug=region,
            default_language=language,
            help_phone=help_phone,
            directory_address=directory_address or _own_directory(slug),
        )
    )
    Console().print(
        f"Organiser {organiser.slug}: {organiser.name}; providers are listed at {organiser.directory_address}",
        highlight=False,
        markup=False,
    )


@organiser_app.command("change")
def change_organiser(
    slug: Annotated[str, typer.Argument(help="The organiser's short name.")],
    help_phone: Annotated[
        str | None, typer.Option(help=f"Whom families call; at most {HELP_PHONE_MAX} characters.")
    ] = None,
    directory_address: DirectoryAddress = None,
    own_directory: Annotated[
        bool, typer.Option("--own-directory", help="Texts lead to this installation's directory.")
    ] = False,
) -> None:
    """Change what families are told of an organiser. What is not given stays; messages queued before keep theirs."""
    changed = run_in_transaction(
        lambda conn: operations.change_organiser(
            conn,
            slug=slug,
            help_phone=help_phone,
            directory_address=_own_directory(slug) if own_directory else directory_address,
            actor=actor(),
        )
    )
    Console().print(
        f"Organiser {changed.slug}: families call {changed.help_phone}, providers are listed at "
        f"{changed.directory_address}",
        highlight=False,
        markup=False,
    )


def _own_directory(slug: str) -> str:
    """This installation's directory, as short as texts need it: the organiser's own list where that fits."""
    with errors_as_sentences():
        public_url = load_settings().public_url
    return own_directory(public_url, slug)


@organiser_app.command("list")
def list_organisers() -> None:
    """List the organisers."""
    organisers = run_in_transaction(operations.list_organisers)
    table = Table("Short name", "Name", "Region", "Language", "Families call", "Providers listed at")
    for organiser, region in organisers:
        table.add_row(
            organiser.slug,
            organiser.name,
            region or "–",
            organiser.default_language,
            organiser.help_phone,
            organiser.directory_address,
        )
    print_table(table)


@programme_app.command("add")
def add_programme(
    organiser: OrganiserSlug,
    programme: Annotated[str, typer.Argument(help="A short name: a–z, 0–9 and hyphens.")],
    unit: Annotated[Unit, typer.Option(help="What is granted and charged.")],
    name_fi: Annotated[
        str, typer.Option(help=f"The name in Finnish; in every text, at most {PROGRAMME_NAME_MAX} characters.")
    ],
    name_sv: Annotated[str, typer.Option(help="The name in Swedish.")],
    name_en: Annotated[str, typer.Option(help="The name in English.")],
    step: Annotated[
        int, typer.Option(min=1, max=MAX_AMOUNT, help="Amounts are multiples of this, e.g. 15 minutes.")
    ] = 1,
    unit_value_cents: Annotated[
        int | None,
        typer.Option(min=1, max=MAX_AMOUNT, help="What an hour, a visit or a session is worth, in cents."),
    ] = None,
    name: OtherNames = None,
    neutral_texts: Annotated[
        bool, typer.Option("--neutral-texts", help="Texts leave out the name of the service and of who provides it.")
    ] = False,
    receipts: Annotated[Receipts, typer.Option(help="How families hear of debits.")] = Receipts.EACH,
) -> None:
    """Add a programme to an organiser. The same again changes nothing."""
    added = run_in_transaction(
        lambda conn: operations.add_programme(
            conn,
            organiser_slug=organiser,
            programme=programme,
            names={**_names(name), "fi": name_fi, "sv": name_sv, "en": name_en},
            unit=unit,
            step=step,
            unit_value_cents=unit_value_cents,
            neutral_texts=neutral_texts,
            receipts=receipts,
            actor=actor(),
        )
    )
    Console().print(f"Programme {added.programme} of {organiser}", highlight=False, markup=False)


@programme_app.command("change")
def change_programme(
    organiser: OrganiserSlug,
    programme: Annotated[str, typer.Argument(help="The programme's short name.")],
    name: OtherNames = None,
    neutral_texts: Annotated[
        bool | None,
        typer.Option(
            "--neutral-texts/--plain-texts", help="Whether texts leave out the service's name.", show_default=False
        ),
    ] = None,
    receipts: Annotated[Receipts | None, typer.Option(help="How families hear of debits.")] = None,
) -> None:
    """Change what families are told. What is not given stays; what is granted and charged never changes."""
    changed = run_in_transaction(
        lambda conn: operations.change_programme(
            conn,
            organiser_slug=organiser,
            programme=programme,
            names=_names(name),
            neutral_texts=neutral_texts,
            receipts=receipts,
        )
    )
    texts = "neutral" if changed.neutral_texts else "plain"
    Console().print(
        f"Programme {changed.programme} of {organiser}: {texts} texts, receipts {changed.receipts}, "
        f"named in {', '.join(changed.names)}",
        highlight=False,
        markup=False,
    )


@programme_app.command("list")
def list_programmes(organiser: OrganiserSlug) -> None:
    """List an organiser's programmes."""
    programmes = run_in_transaction(lambda conn: operations.list_programmes(conn, organiser_slug=organiser))
    table = Table("Short name", "suomi", "svenska", "English", "Also named in", "Step", "Worth", "Texts", "Receipts")
    for programme in programmes:
        table.add_row(
            programme.programme,
            *(programme.names[language] for language in NAMES_REQUIRED),
            ", ".join(sorted(set(programme.names) - set(NAMES_REQUIRED))) or "–",
            format_amount(programme.step, programme.unit, "en"),
            worth(programme.unit_value_cents, programme.unit),
            "neutral" if programme.neutral_texts else "plain",
            programme.receipts.value,
        )
    print_table(table)


def _names(given: list[str] | None) -> dict[str, str]:
    names = {}
    for one in given or ():
        language, equals, name = one.partition("=")
        if not equals or language not in SERVED:
            raise typer.BadParameter(f"not LANGUAGE=NAME with one of {', '.join(MESSAGE_LANGUAGES)}: {one}")
        names[language] = name
    return names
