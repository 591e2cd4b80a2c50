"""Price lists: only where approved, for a region in one go, and never changed once they have begun."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from service.db import Connection
from service.organisers import operations as organisers
from service.organisers.model import UnitValueUnfit
from service.organisers.rules import StartsTooEarly
from service.providers import operations, queries
from service.providers.model import OwnerAmbiguous, ProviderUnknown
from service.providers.prices import NotApprovedForProgramme, PriceList, Prices, check_start, prices_of
from tests.organisers.samples import add_home_help, add_lakeshore

BUSINESS_ID = "2077474-0"
FIRST = date(2026, 1, 1)


@pytest.fixture
async def today(db: Connection) -> date:
    """A region with two organisers that have home help and one that has not; one provider, approved by the first."""
    await organisers.add_region(db, slug="lakes", name="Järvien alue")
    await add_home_help(db, await add_lakeshore(db, region_slug="lakes"))
    for slug in ("saari", "kallio"):
        other = await organisers.add_organiser(
            db, slug=slug, name=slug, region_slug="lakes", help_phone="014 000", directory_address="x.example/ps"
        )
        if slug == "saari":
            await add_home_help(db, other)
    await operations.add_provider(db, business_id=BUSINESS_ID, name="Kotiapu Onni Oy")
    await operations.approve(
        db, business_id=BUSINESS_ID, programme="kotipalvelu", organiser_slug="jarvenranta", valid_from=FIRST
    )
    return await queries.select_today(db)


async def set_prices(db: Connection, starts_on: date, cents: int, **changes: object) -> list[PriceList]:
    known = {"business_id": BUSINESS_ID, "programme": "kotipalvelu", "organiser_slug": "jarvenranta", "actor": "test"}
    return list(await operations.set_prices(db, starts_on=starts_on, weekday_cents=cents, **(known | changes)))


async def listed(db: Connection) -> list[PriceList]:
    return list((await operations.list_prices(db, business_id=BUSINESS_ID))[0])


def test_a_band_that_is_not_given_costs_as_weekdays_do() -> None:
    assert prices_of(3600) == Prices(3600, 3600, 3600, 3600)
    assert prices_of(3600, sunday_cents=6000) == Prices(3600, 3600, 3600, 6000)


@pytest.mark.parametrize("bad", [{"weekday_cents": 0}, {"weekday_cents": 3600, "sunday_cents": 10**7}])
def test_a_price_is_a_sum_that_somebody_could_ask(bad: dict[str, int]) -> None:
    with pytest.raises(UnitValueUnfit):
        prices_of(**bad)


def test_the_first_list_begins_on_any_day_and_the_next_tomorrow_at_the_earliest() -> None:
    today = date(2026, 8, 3)
    check_start(FIRST, today=today, has_begun=False)
    check_start(date(2026, 8, 4), today=today, has_begun=True)
    for starts_on, has_begun in ((today, True), (FIRST, True), (date(1999, 12, 31), False)):
        with pytest.raises(StartsTooEarly):
            check_start(starts_on, today=today, has_begun=has_begun)


async def test_the_same_again_changes_nothing(db: Connection, today: date) -> None:
    first = await set_prices(db, FIRST, 3600, sunday_cents=6000)
    assert first == [PriceList("jarvenranta", "kotipalvelu", FIRST, Prices(3600, 3600, 3600, 6000))]
    ids = await db.fetch("SELECT price_list_id, created_at FROM price_lists")
    assert await set_prices(db, FIRST, 3600, sunday_cents=6000) == first
    assert await db.fetch("SELECT price_list_id, created_at FROM price_lists") == ids
    assert await listed(db) == first
    audited = await db.fetch("SELECT action, reason FROM audit")
    assert [tuple(each) for each in audited] == [
        ("provider.set_prices", "kotipalvelu from 2026-01-01: 3600/3600/3600/6000 cents")
    ]


async def test_what_has_begun_never_changes_and_what_has_not_is_replaced(db: Connection, today: date) -> None:
    begun = await set_prices(db, FIRST, 3600)
    for starts_on in (FIRST, today, FIRST + timedelta(days=1)):
        with pytest.raises(StartsTooEarly) as raised:
            await set_prices(db, starts_on, 3700)
        assert raised.value.details == {"earliest": str(today + timedelta(days=1))}
    tomorrow = today + timedelta(days=1)
    await set_prices(db, tomorrow, 3700)
    replaced = await set_prices(db, tomorrow, 3800)
    assert await listed(db) == begun + replaced
    # Nor by the statement itself, whatever the caller thinks the day is.
    row = await db.fetchrow("SELECT organiser_id, provider_id FROM price_lists LIMIT 1")
    await queries.upsert_price_list(
        db,
        price_list_id=row["organiser_id"],
        organiser_id=row["organiser_id"],
        provider_id=row["provider_id"],
        programme="kotipalvelu",
        starts_on=FIRST,
        prices=prices_of(1),
        created_by="test",
    )
    assert await listed(db) == begun + replaced


async def test_before_the_first_list_has_begun_another_may_begin_earlier(db: Connection, today: date) -> None:
    later = await set_prices(db, today + timedelta(days=30), 3700)
    sooner = await set_prices(db, FIRST, 3600)
    assert await listed(db) == sooner + later


async def test_prices_are_for_programmes_that_the_provider_is_approved_for(db: Connection, today: date) -> None:
    for changes in ({"programme": "siivous"}, {"organiser_slug": "saari"}, {"organiser_slug": "kallio"}):
        with pytest.raises(NotApprovedForProgramme):
            await set_prices(db, FIRST, 3600, **changes)
    await operations.approve(
        db,
        business_id=BUSINESS_ID,
        programme="kotipalvelu",
        organiser_slug="jarvenranta",
        valid_from=FIRST,
        valid_to=date(2026, 3, 31),
    )
    with pytest.raises(NotApprovedForProgramme):
        await set_prices(db, date(2026, 4, 1), 3600)
    assert await set_prices(db, date(2026, 3, 31), 3600)
    with pytest.raises(ProviderUnknown):
        await set_prices(db, FIRST, 3600, business_id="9000101-4")
    for changes in ({"organiser_slug": None}, {"region_slug": "lakes"}):
        with pytest.raises(OwnerAmbiguous):
            await set_prices(db, FIRST, 3600, **changes)


async def test_a_regions_list_is_for_each_organiser_that_has_the_programme_and_approved_the_provider(
    db: Connection, today: date
) -> None:
    region = {"organiser_slug": None, "region_slug": "lakes"}
    assert [each.organiser for each in await set_prices(db, FIRST, 3600, **region)] == ["jarvenranta"]
    await operations.approve(
        db, business_id=BUSINESS_ID, programme="kotipalvelu", region_slug="lakes", valid_from=FIRST
    )
    assert [each.organiser for each in await set_prices(db, FIRST, 3600, **region)] == ["jarvenranta", "saari"]
    assert [each.organiser for each in await listed(db)] == ["jarvenranta", "saari"]
    with pytest.raises(StartsTooEarly):  # for neither of them
        await set_prices(db, FIRST, 3700, **region)
    assert {each.prices.weekday_cents for each in await listed(db)} == {3600}


async def test_the_database_asks_the_list_of_the_day(db: Connection, today: date) -> None:
    await set_prices(db, FIRST, 3600)
    await set_prices(db, today + timedelta(days=2), 3800)
    asked = await db.fetch(
        "SELECT d::date - $1 AS day, (prices_on(l.organiser_id, l.provider_id, l.programme, d::date)).weekday_cents"
        "  FROM generate_series($1::date, $1::date + 3, interval '1 day') d,"
        "       (SELECT DISTINCT organiser_id, provider_id, programme FROM price_lists) l ORDER BY d",
        today,
    )
    assert [each[1] for each in asked] == [3600, 3600, 3800, 3800]
