"""`python -m service provider | key …`"""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from dataclasses import astuple
from datetime import UTC, date, datetime
from typing import Annotated
from uuid import UUID

import typer
from rich.console import Console
from rich.table import Table

from service.command_line import print_table, run_in_transaction
from service.db import Connection
from service.money import Unit, format_amount
from service.providers import operations
from service.providers.model import LIVE_KEYS_MAX, SUPPORT_KEYS_MAX, ApiKey, Provider
from service.providers.prices import PriceList

provider_app = typer.Typer(help="Providers: the companies that serve families.", no_args_is_help=True)
price_app = typer.Typer(help="What a provider asks, in lists that begin on a day.", no_args_is_help=True)
provider_app.add_typer(price_app, name="price")
key_app = typer.Typer(help="API keys of organisers, providers and support.", no_args_is_help=True)

BusinessId = Annotated[str, typer.Argument(help="The Y-tunnus, e.g. 1234567-1.", show_default=False)]
KeyOrganiser = Annotated[str | None, typer.Option("--organiser", help="The owner: an organiser's short name.")]
KeyProvider = Annotated[str | None, typer.Option("--provider", help="The owner: a provider's Y-tunnus.")]
KeySupport = Annotated[bool, typer.Option("--support", help="The owner: whoever runs the installation.")]
Day = typer.Option(formats=["%Y-%m-%d"], metavar="YYYY-MM-DD", show_default=False)


@provider_app.command("add")
def add_provider(business_id: BusinessId, name: Annotated[str, typer.Option(help="The company's name.")]) -> None:
    """Add a provider. The same again changes nothing."""
    provider = run_in_transaction(lambda conn: operations.add_provider(conn, business_id=business_id, name=name))
    _say(f"Provider {provider.business_id}: {provider.name}")


@provider_app.command("approve")
def approve(
    business_id: BusinessId,
    programme: Annotated[str, typer.Option(help="The programme's short name.")],
    valid_from: Annotated[datetime, Day],
    organiser: Annotated[str | None, typer.Option(help="By one organiser: its short name.")] = None,
    region: Annotated[str | None, typer.Option(help="By every organiser of a region: its short name.")] = None,
    valid_to: Annotated[datetime | None, Day] = None,
) -> None:
    """Let a provider be paid for a programme, from one day to another (both count). Again moves the dates."""
    last_day: date | None = None if valid_to is None else valid_to.date()
    approval = run_in_transaction(
        lambda conn: operations.approve(
            conn,
            business_id=business_id,
            programme=programme,
            organiser_slug=organiser,
            region_slug=region,
            valid_from=valid_from.date(),
            valid_to=last_day,
        )
    )
    until = "until further notice" if approval.valid_to is None else f"to {approval.valid_to}"
    _say(f"{business_id} is approved for {programme} by {organiser or region} from {approval.valid_from} {until}")


@provider_app.command("list")
def list_providers() -> None:
    """List the providers with their approvals."""
    providers = run_in_transaction(operations.list_providers)
    table = Table("Y-tunnus", "Name", "State", "Approvals")
    for each in providers:
        table.add_row(
            each.provider.business_id, each.provider.name, _state(each.provider), "\n".join(each.approvals) or "–"
        )
    print_table(table)


@provider_app.command("suspend")
def suspend(business_id: BusinessId) -> None:
    """Refuse every key of a provider from the next request on."""
    provider = run_in_transaction(lambda conn: operations.suspend(conn, business_id=business_id))
    _say(f"{provider.name} is suspended: its keys are refused")


@provider_app.command("resume")
def resume(business_id: BusinessId) -> None:
    """Let a suspended provider's keys work again."""
    provider = run_in_transaction(lambda conn: operations.resume(conn, business_id=business_id))
    _say(f"{provider.name} is active: its keys work")


@price_app.command("set")
def set_prices(
    business_id: BusinessId,
    programme: Annotated[str, typer.Option(help="The programme's short name.")],
    starts_on: Annotated[datetime, Day],
    weekday_cents: Annotated[int, typer.Option(help="Of an hour, a visit or a session on weekdays, in cents.")],
    evening_cents: Annotated[int | None, typer.Option(help="On evenings; as weekdays unless given.")] = None,
    saturday_cents: Annotated[int | None, typer.Option(help="On Saturdays; as weekdays unless given.")] = None,
    sunday_cents: Annotated[
        int | None, typer.Option(help="On Sundays and public holidays; as weekdays unless given.")
    ] = None,
    organiser: Annotated[str | None, typer.Option(help="Of one organiser: its short name.")] = None,
    region: Annotated[str | None, typer.Option(help="Of every organiser of a region: its short name.")] = None,
) -> None:
    """Set a price list. The first begins on any day, the next ones tomorrow or later; what has begun never changes."""

    async def store(conn: Connection) -> tuple[Sequence[PriceList], date]:
        await operations.set_prices(
            conn,
            business_id=business_id,
            programme=programme,
            organiser_slug=organiser,
            region_slug=region,
            starts_on=starts_on.date(),
            weekday_cents=weekday_cents,
            evening_cents=evening_cents,
            saturday_cents=saturday_cents,
            sunday_cents=sunday_cents,
            actor=f"command line:{getpass.getuser()}",
        )
        return await operations.list_prices(conn, business_id=business_id)

    print_table(_price_table(*run_in_transaction(store)))


@price_app.command("list")
def list_prices(business_id: BusinessId) -> None:
    """List every price list of a provider, past and future ones too."""
    print_table(_price_table(*run_in_transaction(lambda conn: operations.list_prices(conn, business_id=business_id))))


@key_app.command(
    "create",
    help=f"Make a key and show it once. An owner has at most {LIVE_KEYS_MAX} live keys, support {SUPPORT_KEYS_MAX}.",
)
def create_key(
    name: Annotated[str, typer.Option(help="What the key is for, e.g. the name of the system that calls.")],
    organiser: KeyOrganiser = None,
    provider: KeyProvider = None,
    support: KeySupport = False,
    permission: Annotated[
        list[str] | None, typer.Option(help="One permission; repeatable. Without it all that such an owner may have.")
    ] = None,
    expires: Annotated[datetime | None, Day] = None,
) -> None:
    created = run_in_transaction(
        lambda conn: operations.create_key(
            conn,
            organiser_slug=organiser,
            business_id=provider,
            support=support,
            name=name,
            permissions=frozenset(permission) if permission else None,
            expires_at=None if expires is None else expires.replace(tzinfo=UTC),
        )
    )
    # Plain and alone on its line, so that a script can take it: `key create … 2>/dev/null`.
    typer.echo(created.key)
    typer.echo(
        f"This is the only time the key is shown: keep it now. Its id is {created.key_id}, it ends in {created.hint}.",
        err=True,
    )


@key_app.command("list")
def list_keys(organiser: KeyOrganiser = None, provider: KeyProvider = None, support: KeySupport = False) -> None:
    """List all keys that an owner ever had, without the keys themselves."""
    keys = run_in_transaction(
        lambda conn: operations.list_keys(conn, organiser_slug=organiser, business_id=provider, support=support)
    )
    now = datetime.now(UTC)
    table = Table("Id", "Ends in", "Name", "May", "Made", "State")
    for key in keys:
        permissions = ", ".join(key.permissions)
        table.add_row(str(key.key_id), key.hint, key.name, permissions, f"{key.created_at:%Y-%m-%d}", _life(key, now))
    print_table(table)


@key_app.command("revoke")
def revoke_key(key_id: Annotated[UUID, typer.Argument(help="The key's id, as `key list` shows it.")]) -> None:
    """Refuse a key from the next request on. Again is harmless."""
    key = run_in_transaction(lambda conn: operations.revoke_key(conn, key_id=key_id))
    _say(f"The key {key.name} that ends in {key.hint} is revoked")


def _price_table(lists: Sequence[PriceList], today: date) -> Table:
    table = Table("Organiser", "Programme", "From", "Weekday", "Evening", "Saturday", "Sunday, holiday", "State")
    begun = {(each.organiser, each.programme): each for each in lists if each.starts_on <= today}  # the last one stays
    for each in lists:
        is_in_force = begun.get((each.organiser, each.programme)) is each
        table.add_row(
            each.organiser,
            each.programme,
            str(each.starts_on),
            *(format_amount(cents, Unit.CENTS, "en") for cents in astuple(each.prices)),
            "in force" if is_in_force else "to come" if each.starts_on > today else "over",
        )
    return table


def _state(provider: Provider) -> str:
    return "active" if provider.suspended_at is None else f"suspended {provider.suspended_at:%Y-%m-%d}"


def _life(key: ApiKey, now: datetime) -> str:
    if key.revoked_at is not None:
        return f"revoked {key.revoked_at:%Y-%m-%d}"
    if key.expires_at is None:
        return "live"
    return f"{'live until' if key.is_live(now) else 'expired'} {key.expires_at:%Y-%m-%d}"


def _say(sentence: str) -> None:
    Console(soft_wrap=True).print(sentence, highlight=False, markup=False)
