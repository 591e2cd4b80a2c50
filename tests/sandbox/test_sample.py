"""The sample data: whole, loaded twice without a trace, and with keys that work."""

from __future__ import annotations

from datetime import UTC, date, datetime

from stdnum.fi import ytunnus

from service.db import Connection
from service.organisers.operations import find_organiser, list_organisers, list_programmes, rules_of
from service.providers.operations import authenticate, list_keys, list_providers
from service.sandbox.sample import COUNTY, HOME_HELP, PROVIDERS, TOWN, load_keys, load_sample

TABLES = (
    *(
        "regions",
        "organisers",
        "programmes",
        "programme_rules",
        "providers",
        "approvals",
        "price_lists",
        "provider_profiles",
        "api_keys",
        "audit",
    ),
)


async def contents(conn: Connection) -> list[object]:
    return [await conn.fetch(f"SELECT * FROM {table} ORDER BY 1, 2") for table in TABLES]


async def test_there_are_two_organisers_in_one_region_three_programmes_and_five_providers(db: Connection) -> None:
    await load_sample(db)
    assert [region for _, region in await list_organisers(db)] == ["Kuusirannan seutu"] * 2
    for organiser in (COUNTY, TOWN):
        programmes = await list_programmes(db, organiser_slug=organiser)
        assert [(each.unit, each.step) for each in programmes] == [("minutes", 15), ("sessions", 1), ("cents", 1)]
    providers = await list_providers(db)
    assert len(providers) == 5
    assert all(each.approvals for each in providers)
    assert all(ytunnus.is_valid(each.business_id) for each in PROVIDERS)


async def test_loading_the_sample_again_changes_nothing(db: Connection) -> None:
    await load_sample(db)
    keys = await load_keys(db, None)
    before = await contents(db)
    await load_sample(db)
    assert await load_keys(db, keys) == keys
    assert await contents(db) == before


async def test_the_keys_belong_to_the_county_and_to_a_provider(db: Connection) -> None:
    await load_sample(db)
    keys = await load_keys(db, None)
    organiser = await authenticate(db, keys.organiser_key, datetime.now(UTC))
    provider = await authenticate(db, keys.provider_key, datetime.now(UTC))
    assert organiser is not None
    assert organiser.owner_id == (await find_organiser(db, COUNTY)).organiser_id
    assert provider is not None
    assert provider.owner == "provider"


async def test_forgotten_keys_are_revoked_and_made_anew_as_often_as_needed(db: Connection) -> None:
    await load_sample(db)
    first = await load_keys(db, None)
    for _ in range(3):
        latest = await load_keys(db, None)
    assert await authenticate(db, first.organiser_key, datetime.now(UTC)) is None
    assert await authenticate(db, latest.organiser_key, datetime.now(UTC)) is not None
    listed = await list_keys(db, organiser_slug=COUNTY)
    assert sum(key.revoked_at is None for key in listed) == 1


async def test_home_help_has_bands_and_providers_ask_less_as_much_or_more(db: Connection) -> None:
    await load_sample(db)
    day = date(2026, 3, 17)
    for slug, compared in ((COUNTY, [-1, 1]), (TOWN, [-1, 0, 1])):
        organiser = await find_organiser(db, slug)
        rules = await rules_of(db, organiser_id=organiser.organiser_id, programme=HOME_HELP, day=day)
        assert (rules.weekday_cents, rules.sunday_cents) == (3350, 5580)
        asked = await db.fetch(
            "SELECT weekday_cents FROM price_lists WHERE organiser_id = $1 AND programme = $2",
            organiser.organiser_id,
            HOME_HELP,
        )
        assert sorted((each[0] > 3350) - (each[0] < 3350) for each in asked) == compared


async def test_the_countys_home_help_is_charged_without_telling_the_hours(db: Connection) -> None:
    await load_sample(db)
    county = await find_organiser(db, COUNTY)
    rules = await rules_of(db, organiser_id=county.organiser_id, programme=HOME_HELP, day=date(2026, 3, 17))
    assert rules.evening_from is None


async def test_what_an_earlier_sample_left_stays(db: Connection) -> None:
    await load_sample(db)
    await db.execute("UPDATE programme_rules SET weekday_cents = 3000 WHERE weekday_cents IS NOT NULL")
    await db.execute("UPDATE price_lists SET weekday_cents = 3000")
    before = await contents(db)
    await load_sample(db)
    assert await contents(db) == before
