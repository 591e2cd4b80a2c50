"""The sample data of the demo: an invented region with two organisers, three programmes and five providers.

Loaded through the operations that the command line uses, so what they refuse cannot be in it, and loading it again
changes nothing. No such region, company or business id exists: Y-tunnus numbers that begin with 9 are not given out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time

from service.db import Connection
from service.money import Unit
from service.organisers.operations import add_organiser, add_programme, add_region, list_programmes
from service.organisers.rules import RulesChange
from service.providers.operations import (
    add_provider,
    approve,
    authenticate,
    create_key,
    list_keys,
    list_prices,
    revoke_key,
    set_prices,
)
from service.providers.prices import Prices
from service.sandbox.profiles import load_profiles

REGION = "kuusiranta"
COUNTY = "kuusirannan-hva"
TOWN = "leppalahti"

HOME_HELP = "kotipalvelu"
COUPLE_THERAPY = "pariterapia"
CLEANING = "siivousapu"

APPROVED_FROM = date(2026, 1, 1)


LOADED_BY = "sample data"


@dataclass(frozen=True)
class _Programme:
    programme: str
    names: dict[str, str]
    unit: Unit
    rules: dict[str, RulesChange]
    """By organiser. Charging the county's home help asks for no hours: there the evening is worth what the day is."""


@dataclass(frozen=True)
class _Provider:
    business_id: str
    name: str
    for_region: tuple[str, ...] = ()  # programmes that every organiser of the region has approved it for
    for_town: tuple[str, ...] = ()
    home_help: dict[str, Prices] = field(default_factory=dict)  # what it asks, by organiser; else the voucher's value
    others: dict[str, Prices] = field(
        default_factory=dict
    )  # the same by programme, of every organiser that approved it


_HOME_HELP: RulesChange = {
    "step": 15,
    "weekday_cents": 3350,
    "saturday_cents": 4470,
    "sunday_cents": 5580,
    "task_types": ("lastenhoito", "ruoanlaitto", "siivous"),
}
_COUPLE_THERAPY: RulesChange = {"weekday_cents": 9500, "no_show_allowed": True}

PROGRAMMES = (
    _Programme(
        HOME_HELP,
        {"fi": "Kotipalvelu", "sv": "Hemservice", "en": "Home help"},
        Unit.MINUTES,
        {
            COUNTY: _HOME_HELP,
            TOWN: {**_HOME_HELP, "evening_cents": 4020, "evening_from": time(18), "evening_to": time(22)},
        },
    ),
    _Programme(
        COUPLE_THERAPY,
        {"fi": "Pariterapia", "sv": "Parterapi", "en": "Couple therapy"},
        Unit.SESSIONS,
        {COUNTY: _COUPLE_THERAPY, TOWN: _COUPLE_THERAPY},
    ),
    _Programme(
        CLEANING,
        {"fi": "Siivousapu", "sv": "Städhjälp", "en": "Cleaning"},
        Unit.CENTS,
        {COUNTY: {}, TOWN: {}},
    ),
)
_EVERY_PROGRAMME = tuple(each.programme for each in PROGRAMMES)
FAMILY_SERVICES = _Provider(
    "9000101-4",
    "Perhepalvelu Pihlajanmarja Oy",
    for_region=(HOME_HELP, COUPLE_THERAPY),
    home_help={COUNTY: Prices(3600, 3600, 4800, 5950), TOWN: Prices(3600, 4350, 4800, 5950)},  # above the value
)
HOME_AID = _Provider(
    "9000202-5",
    "Kotiapu Käpylintu Oy",
    for_region=(HOME_HELP, CLEANING),
    home_help={COUNTY: Prices(3190, 3190, 4250, 5390), TOWN: Prices(3190, 3850, 4250, 5390)},  # below it
)
PROVIDERS = (
    FAMILY_SERVICES,
    HOME_AID,
    _Provider(
        "9000303-6",
        "Terapiahuone Tyynesatama Osk",
        for_region=(COUPLE_THERAPY,),
        others={COUPLE_THERAPY: Prices(10500, 10500, 12000, 12000)},
    ),
    _Provider(
        "9000404-7",
        "Arjen Apu Leppälahti Ky",
        for_town=(HOME_HELP, CLEANING),
        home_help={TOWN: Prices(3350, 4020, 4470, 5580)},
    ),
    _Provider(
        "9000505-8",
        "Siivous Kirkas Kuura Oy",
        for_region=(CLEANING,),
        others={CLEANING: Prices(3800, 3800, 5700, 7600)},
    ),
)


async def load_sample(conn: Connection) -> None:
    """Add what is missing of the sample data; idempotent. Call it in a transaction."""
    await add_region(conn, slug=REGION, name="Kuusirannan seutu")
    await add_organiser(
        conn,
        slug=COUNTY,
        name="Kuusirannan hyvinvointialue",
        region_slug=REGION,
        help_phone="014 555 0101",
        directory_address="kuusiranta.example/ps",
    )
    await add_organiser(
        conn,
        slug=TOWN,
        name="Leppälahden kaupunki",
        region_slug=REGION,
        help_phone="014 555 0202",
        directory_address="leppalahti.example/ps",
    )
    for organiser in (COUNTY, TOWN):
        await load_programmes(conn, organiser)
    for provider in PROVIDERS:
        await _load_provider(conn, provider)
    await load_profiles(conn, actor=LOADED_BY)


async def load_programmes(
    conn: Connection, organiser: str, *, only: Sequence[str] = _EVERY_PROGRAMME, rules_of: str | None = None
) -> None:
    """The sample's programmes, or some of them, with the rules that `rules_of` has if it is given.

    Those that are there keep their rules, which may be those of an earlier version of this file.
    """
    known = {each.programme for each in await list_programmes(conn, organiser_slug=organiser)}
    for programme in PROGRAMMES:
        if programme.programme in only and programme.programme not in known:
            await add_programme(
                conn,
                organiser_slug=organiser,
                programme=programme.programme,
                names=programme.names,
                unit=programme.unit,
                rules=programme.rules[rules_of or organiser],
                actor=LOADED_BY,
            )


async def _load_provider(conn: Connection, provider: _Provider) -> None:
    await add_provider(conn, business_id=provider.business_id, name=provider.name)
    for programme in provider.for_region:
        await approve(
            conn,
            business_id=provider.business_id,
            programme=programme,
            region_slug=REGION,
            valid_from=APPROVED_FROM,
        )
    for programme in provider.for_town:
        await approve(
            conn,
            business_id=provider.business_id,
            programme=programme,
            organiser_slug=TOWN,
            valid_from=APPROVED_FROM,
        )
    known, _ = await list_prices(conn, business_id=provider.business_id)
    wanted = [(organiser, HOME_HELP, prices) for organiser, prices in provider.home_help.items()]
    wanted += [(place, programme, prices) for programme, prices in provider.others.items() for place in (COUNTY, TOWN)]
    for organiser, programme, prices in wanted:
        if not any((each.organiser, each.programme) == (organiser, programme) for each in known):
            await set_prices(
                conn,
                business_id=provider.business_id,
                programme=programme,
                organiser_slug=organiser,
                starts_on=APPROVED_FROM,
                weekday_cents=prices.weekday_cents,
                evening_cents=prices.evening_cents,
                saturday_cents=prices.saturday_cents,
                sunday_cents=prices.sunday_cents,
                actor=LOADED_BY,
            )


@dataclass(frozen=True)
class DemoKeys:
    """The keys that scripts drive the demo with: the county's case system's, one provider's, and support's."""

    organiser_key: str
    provider_key: str
    support_key: str = ""  # data of an earlier version have none: then one is made


KEY_NAME = "demo"


async def load_keys(conn: Connection, known: DemoKeys | None) -> DemoKeys:
    """The known keys where they still work, new ones where not. Call it in a transaction.

    Keys that an earlier start made and that nobody remembers any more are revoked first: an owner has two at most.
    """
    return DemoKeys(
        organiser_key=await load_key(conn, None if known is None else known.organiser_key, organiser_slug=COUNTY),
        provider_key=await load_key(
            conn, None if known is None else known.provider_key, business_id=FAMILY_SERVICES.business_id
        ),
        support_key=await load_key(conn, None if known is None else known.support_key, support=True),
    )


async def load_key(
    conn: Connection,
    known: str | None,
    *,
    organiser_slug: str | None = None,
    business_id: str | None = None,
    support: bool = False,
) -> str:
    """The known key of one owner, or a new one in place of those that an earlier start made. In a transaction."""
    now = datetime.now(UTC)
    if known is not None and await authenticate(conn, known, now) is not None:
        return known
    for key in await list_keys(conn, organiser_slug=organiser_slug, business_id=business_id, support=support):
        if key.name == KEY_NAME and key.is_live(now):
            await revoke_key(conn, key_id=key.key_id)
    created = await create_key(
        conn, organiser_slug=organiser_slug, business_id=business_id, support=support, name=KEY_NAME
    )
    return created.key
