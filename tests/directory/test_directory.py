"""Who is listed, in which order, and for what: held to what a debit then really charges."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from service.db import Connection
from service.directory.model import GENERAL, NotListed, Profile, ProfileUnfit
from service.directory.operations import find_listed, list_offers, profiles_of, search, set_profile
from service.directory.search import BEGINNING, Search
from service.organisers.model import ProgrammeUnknown
from service.organisers.operations import find_organiser
from service.providers.operations import add_provider, approve, find_provider, resume, set_prices, suspend
from service.sandbox.sample import COUNTY, HOME_HELP, TOWN, load_sample
from tests.installations import Installation

FAMILY_SERVICES, HOME_AID, TOWNSPEOPLE = "9000101-4", "9000202-5", "9000404-7"
THERAPY, CLEANING = "pariterapia", "siivousapu"


async def names(conn: Connection, organiser: str = TOWN, programme: str = HOME_HELP, **asked: Any) -> list[str]:
    found, _ = await search(conn, organiser=organiser, programme=programme, asked=Search(**asked))
    assert found.total == len(found.listings)
    return [each.name.split()[1] for each in found.listings]


async def id_of(conn: Connection, business_id: str) -> UUID:
    return (await find_provider(conn, business_id)).provider_id


async def tell(conn: Connection, business_id: str, programme: str = GENERAL, **told: Any) -> Profile:
    profile = Profile(**{"descriptions": {}, **told})
    provider_id = await id_of(conn, business_id)
    return await set_profile(conn, provider_id=provider_id, programme=programme, profile=profile, actor="test")


async def test_who_is_approved_today_is_listed_and_nobody_else(db: Connection) -> None:
    await load_sample(db)
    everybody = ["Käpylintu", "Apu", "Pihlajanmarja"]
    assert await names(db) == everybody
    assert await names(db, COUNTY) == ["Käpylintu", "Pihlajanmarja"]  # who is approved by the town alone is not there
    await suspend(db, business_id=HOME_AID)
    assert await names(db) == everybody[1:]
    await resume(db, business_id=HOME_AID)
    assert await names(db) == everybody
    today = await db.fetchval("SELECT helsinki_today()")
    for days in ((-9, -1), (1, None)):
        begins, ends = (None if each is None else today + timedelta(days=each) for each in days)
        await approve(
            db,
            business_id=TOWNSPEOPLE,
            programme=HOME_HELP,
            organiser_slug=TOWN,
            valid_from=begins,
            valid_to=ends,
        )
        assert await names(db) == ["Käpylintu", "Pihlajanmarja"]
        assert TOWNSPEOPLE not in {each.business_id for each in await listed_for(db, TOWNSPEOPLE, HOME_HELP)}
    await approve(db, business_id=TOWNSPEOPLE, programme=HOME_HELP, organiser_slug=TOWN, valid_from=today)
    assert await names(db) == everybody


async def listed_for(conn: Connection, business_id: str, programme: str) -> list[Any]:
    return list(await find_listed(conn, business_ids=[business_id], programme=programme))


async def test_the_directory_lists_whom_a_debit_finds_approved(db: Connection) -> None:
    """Two SQL functions say so, one for all at once: they must be of one mind."""
    await load_sample(db)
    await approve(
        db,
        business_id=HOME_AID,
        programme=THERAPY,
        organiser_slug=COUNTY,
        valid_from=date(2020, 1, 1),
        valid_to=date(2020, 12, 31),
    )
    differing = await db.fetch(
        """
        SELECT o.slug, p.programme, v.name, d.day
          FROM organisers o JOIN programmes p USING (organiser_id), providers v,
               unnest(ARRAY['2019-06-01', '2020-06-01', '2025-12-31', '2026-01-01']::date[] || helsinki_today()) d (day)
         WHERE provider_is_approved(v.provider_id, o.organiser_id, p.programme, d.day)
            <> (v.provider_id IN (SELECT listed_providers(o.organiser_id, p.programme, d.day)))
        """
    )
    assert differing == []


async def test_a_search_narrows_by_what_providers_have_told(db: Connection) -> None:
    await load_sample(db)
    assert await names(db, area="leppä") == ["Apu", "Pihlajanmarja"]
    assert await names(db, area="LEPPA") == ["Apu", "Pihlajanmarja"]
    assert await names(db, area="lahti") == []
    assert await names(db, name="PIHLA") == ["Pihlajanmarja"]
    assert await names(db, name="kapylintu") == ["Käpylintu"]
    assert await names(db, name="%") == []
    assert await names(db, when="evening") == ["Apu", "Pihlajanmarja"]
    assert await names(db, when="holiday") == ["Pihlajanmarja"]
    assert await names(db, language="ru") == ["Käpylintu", "Apu"]
    assert await names(db, takes_new=True) == ["Käpylintu", "Pihlajanmarja"]
    assert await names(db, area="leppälahti", when="evening", language="uk") == ["Apu"]


async def test_the_order_is_that_of_the_figures_which_are_shown(db: Connection) -> None:
    await load_sample(db)
    for number, (weekday, evening) in enumerate([(3350, 9000), (4000, 4020), (3000, 4100), (3500, 3000)]):
        business_id = f"{2077470 + number}"
        check = next(digit for digit in range(10) if _is_business_id(f"{business_id}-{digit}"))
        await _approved(db, f"{business_id}-{check}", f"Oy Yritys {number}", weekday, evening)
    for when, band in (("", "weekday"), ("evening", "evening")):
        for each in ("name", "price", "own"):
            asked = Search(sort=each)  # type: ignore[arg-type]
            if when:
                await db.execute('UPDATE provider_profiles SET hours = \'{"evening": ""}\'')
                asked = Search(sort=each, when=when)  # type: ignore[arg-type]
            found, _ = await search(db, organiser=TOWN, programme=HOME_HELP, asked=asked)
            rows = [
                (listing.estimate_of(band).own_cents, listing.price_of(band), listing.name)
                for listing in found.listings
            ]
            key = {"own": lambda row: row[:2], "price": lambda row: row[1], "name": lambda row: row[2].lower()}[each]
            assert rows == sorted(rows, key=key), (when, each)
            assert len(rows) >= 2


def _is_business_id(text: str) -> bool:
    from stdnum.fi import ytunnus

    return bool(ytunnus.is_valid(text))


async def _approved(conn: Connection, business_id: str, name: str, weekday: int, evening: int) -> None:
    await add_provider(conn, business_id=business_id, name=name)
    where = {"business_id": business_id, "programme": HOME_HELP, "organiser_slug": TOWN}
    await approve(conn, **where, valid_from=date(2026, 1, 1))  # type: ignore[arg-type]
    await set_prices(
        conn,
        **where,  # type: ignore[arg-type]
        starts_on=date(2026, 1, 1),
        weekday_cents=weekday,
        evening_cents=evening,
        actor="test",
    )
    await tell(conn, business_id, hours={"weekday": ""})


async def test_finnish_names_stand_in_finnish_order(db: Connection) -> None:
    shuffled = ["zeta", "Ärjä", "Öljy", "Aalto", "åbo", "Edla", "Éden"]
    assert [
        row[0]
        for row in await db.fetch('SELECT n FROM unnest($1::text[]) n ORDER BY name_order(n) COLLATE "C"', shuffled)
    ] == ["Aalto", "Éden", "Edla", "zeta", "åbo", "Ärjä", "Öljy"]


async def test_a_long_list_is_read_page_by_page_and_nobody_is_left_out_or_told_twice(db: Connection) -> None:
    await load_sample(db)
    organiser = await find_organiser(db, TOWN)
    for number in range(57):
        provider_id = uuid7()
        await db.execute(
            "INSERT INTO providers (provider_id, business_id, name) VALUES ($1, $2, $3)",
            provider_id,
            f"{number:07}-x",
            f"Yritys {number % 5}",  # many of one name
        )
        await db.execute(
            "INSERT INTO approvals (approval_id, provider_id, organiser_id, programme, valid_from)"
            " VALUES ($1, $2, $3, $4, '2026-01-01')",
            uuid7(),
            provider_id,
            organiser.organiser_id,
            HOME_HELP,
        )
    for sort in ("own", "price", "name"):
        seen: list[str] = []
        place: Any = BEGINNING
        while place is not None:
            found, _ = await search(
                db,
                organiser=TOWN,
                programme=HOME_HELP,
                asked=Search(sort=sort),  # type: ignore[arg-type]
                after=place,
            )
            assert found.total == 60
            seen += [each.business_id for each in found.listings]
            place = found.next_place
        assert len(seen) == len(set(seen)) == 60, sort


async def test_what_is_told_of_one_programme_takes_the_place_of_what_is_told_in_general(db: Connection) -> None:
    await load_sample(db)
    [therapy] = [each for each in await listed_for(db, FAMILY_SERVICES, THERAPY) if each.offer.organiser == TOWN]
    [home_help] = [each for each in await listed_for(db, FAMILY_SERVICES, HOME_HELP) if each.offer.organiser == TOWN]
    assert therapy.profile.areas == ("Kuusiranta", "Leppälahti")
    assert len(home_help.profile.areas or ()) == 5
    assert therapy.profile.phone == home_help.profile.phone
    assert therapy.profile.descriptions["fi"] != home_help.profile.descriptions["fi"]
    await tell(db, FAMILY_SERVICES, phone="014 555 0999")
    [therapy] = [each for each in await listed_for(db, FAMILY_SERVICES, THERAPY) if each.offer.organiser == TOWN]
    assert (therapy.profile.phone, therapy.profile.languages) == ("014 555 0999", None)


async def test_telling_is_noted_once_and_changes_nothing_when_it_is_told_again(db: Connection) -> None:
    await load_sample(db)
    noted = "SELECT reason FROM audit WHERE action = 'provider.set_profile' AND actor = 'test' ORDER BY audit_id"
    first = await tell(db, HOME_AID, CLEANING, areas=("Vaasa",), takes_new=False)
    assert await tell(db, HOME_AID, CLEANING, areas=("Vaasa",), takes_new=False) == first
    assert [row["reason"] for row in await db.fetch(noted)] == ["siivousapu: descriptions, areas, hours"]
    kept = await profiles_of(db, provider_id=await id_of(db, HOME_AID))
    assert kept.profiles[CLEANING] == first
    with pytest.raises(ProgrammeUnknown):
        await tell(db, HOME_AID, THERAPY, takes_new=True)  # it is not approved for that
    with pytest.raises(ProfileUnfit):
        await tell(db, HOME_AID, web="http://apu.example")


async def test_only_who_is_there_is_found_and_four_at_most(db: Connection) -> None:
    await load_sample(db)
    for organiser, programme in (("nowhere", HOME_HELP), (TOWN, "nothing"), ("", ""), ("\\", "'; --")):
        with pytest.raises(NotListed):
            await search(db, organiser=organiser, programme=programme, asked=Search())
    asked = ["x", FAMILY_SERVICES, "FI90002025", FAMILY_SERVICES, "9000404-7", "9000303-6", "9000505-8"]
    found = await find_listed(db, business_ids=asked, organiser=TOWN, programme=HOME_HELP)
    assert [each.business_id for each in found] == [FAMILY_SERVICES, HOME_AID, TOWNSPEOPLE]


async def test_offers_count_who_is_listed_and_who_has_told_to_work_there(db: Connection) -> None:
    await load_sample(db)
    counted = {(each.organiser, each.programme): each.providers for each in await list_offers(db)}
    assert counted[TOWN, HOME_HELP] == 3
    near = {(each.organiser, each.programme): each.providers for each in await list_offers(db, area="koivu")}
    assert (near[TOWN, HOME_HELP], near[TOWN, THERAPY], near[TOWN, CLEANING]) == (2, 0, 2)
    assert {each.organiser for each in await list_offers(db, organiser=COUNTY)} == {COUNTY}


def day_of(weekday: int, today: date) -> date:
    """The last such day before today that is no public holiday."""
    from service.public_holidays import holidays_among

    day = today - timedelta(days=1)
    while day.isoweekday() != weekday or holidays_among([day]):
        day -= timedelta(days=1)
    return day


@pytest.mark.parametrize("business_id", [FAMILY_SERVICES, HOME_AID, TOWNSPEOPLE])
async def test_what_is_estimated_is_what_a_debit_then_charges(here: Installation, business_id: str) -> None:
    async with here.resources.pool.acquire() as conn:
        [listing] = await find_listed(conn, business_ids=[business_id], organiser=TOWN, programme=HOME_HELP)
        today = await conn.fetchval("SELECT helsinki_today()")
    made = await here.decide(TOWN, granted=6000, valid_from=str(today - timedelta(days=60)))
    code = await here.code_of(made["voucher_id"])
    visits = {"weekday": (2, 9), "evening": (2, 18), "saturday": (6, 9), "sunday": (7, 9)}
    for band, (weekday, hour) in visits.items():
        day = day_of(weekday, today)
        times = {"starts_at": f"{day}T{hour:02}:00", "ends_at": f"{day}T{hour + 2:02}:00"}
        answer = await here.call(business_id, "POST", "/v1/debits", {"code": code, **times}, key=f"{band}")
        charged = await answer.json()
        assert answer.status == 201, charged
        estimate = listing.estimate_of(band)
        assert charged["amount"] == listing.offer.example
        assert (charged["voucher_pays_cents"], charged["family_pays_cents"]) == (
            estimate.pays_cents,
            estimate.own_cents,
        ), band


async def test_a_session_is_estimated_as_it_is_charged(here: Installation) -> None:
    async with here.resources.pool.acquire() as conn:
        [listing] = await find_listed(conn, business_ids=["9000303-6"], organiser=COUNTY, programme=THERAPY)
        today = await conn.fetchval("SELECT helsinki_today()")
    made = await here.decide(COUNTY, programme=THERAPY, granted=5, valid_from=str(today - timedelta(days=60)))
    code, day = await here.code_of(made["voucher_id"]), day_of(2, today)
    answer = await here.call("9000303-6", "POST", "/v1/debits", {"code": code, "service_date": str(day)}, key="1")
    charged = await answer.json()
    assert answer.status == 201, charged
    found = listing.estimate_of("weekday")
    assert (charged["voucher_pays_cents"], charged["family_pays_cents"]) == (found.pays_cents, found.own_cents)
    assert found.own_cents == 1000


async def test_a_service_that_is_free_by_law_is_never_said_to_cost_anything(db: Connection) -> None:
    await load_sample(db)
    await db.execute("UPDATE programme_rules SET free_by_law = true")
    listings = await find_listed(db, business_ids=[FAMILY_SERVICES, HOME_AID], organiser=TOWN, programme=HOME_HELP)
    dear, cheap = (each.estimate_of("weekday") for each in listings)
    assert (dear.is_refused, cheap.is_refused, cheap.own_cents) == (True, False, 0)


async def test_a_sum_of_money_has_no_estimate(db: Connection) -> None:
    await load_sample(db)
    found, _ = await search(db, organiser=TOWN, programme=CLEANING, asked=Search())
    assert {each.estimates[0].own_cents for each in found.listings} == {None}
    assert [each.prices and each.prices["weekday"] for each in found.listings] == [3800, None, None]
