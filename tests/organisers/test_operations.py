"""Regions, organisers and programmes: adding is idempotent, and what goes into a text fits it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from uuid import uuid4

import pytest

from service.channels.kinds import PROGRAMME_NAME_MAX
from service.db import Connection, Pool, transaction
from service.money import Unit
from service.organisers import operations
from service.organisers.model import (
    NAMES_REQUIRED,
    LanguageUnserved,
    NameUnfit,
    OrganiserDiffers,
    OrganiserUnknown,
    ProgrammeDiffers,
    ProgrammeUnknown,
    Receipts,
    RegionDiffers,
    RegionUnknown,
    SlugMalformed,
    TextUnfit,
    UnitValueUnfit,
    check_organiser,
    check_programme,
)
from tests.organisers.samples import HOME_HELP, LAKESHORE, add_home_help, add_lakeshore


async def test_a_region_added_again_is_the_same_region(db: Connection) -> None:
    first = await operations.add_region(db, slug="lakes", name="Järvien alue")
    assert await operations.add_region(db, slug="lakes", name="Järvien alue") == first
    with pytest.raises(RegionDiffers):
        await operations.add_region(db, slug="lakes", name="Another")


async def test_an_organiser_added_again_is_the_same_organiser(db: Connection) -> None:
    await operations.add_region(db, slug="lakes", name="Järvien alue")
    first = await add_lakeshore(db, region_slug="lakes")
    assert await add_lakeshore(db, region_slug="lakes") == first
    assert await operations.organiser_by_id(db, first.organiser_id) == first
    assert await operations.list_organisers(db) == [(first, "Järvien alue")]
    for change in ({"help_phone": "014 000 000"}, {"name": "Other"}, {"region_slug": None}):
        with pytest.raises(OrganiserDiffers):
            await add_lakeshore(db, **{"region_slug": "lakes", **change})


async def test_what_nobody_added_is_unknown(db: Connection) -> None:
    with pytest.raises(RegionUnknown):
        await add_lakeshore(db, region_slug="nowhere")
    with pytest.raises(OrganiserUnknown):
        await operations.find_organiser(db, "nobody")
    with pytest.raises(OrganiserUnknown):
        await operations.organiser_by_id(db, uuid4())
    organiser = await add_lakeshore(db)
    with pytest.raises(ProgrammeUnknown):
        await operations.find_programme(db, organiser.organiser_id, "nothing")


async def test_a_programme_added_again_is_the_same_programme(db: Connection) -> None:
    organiser = await add_lakeshore(db)
    arguments = {
        "organiser_slug": organiser.slug,
        "programme": "kotipalvelu",
        "names": {"fi": "Kotipalvelu", "sv": "Hemservice", "en": "Home help"},
        "unit": Unit.MINUTES,
        "step": 15,
        "unit_value_cents": 3550,
    }
    first = await operations.add_programme(db, **arguments)
    assert await operations.add_programme(db, **arguments) == first
    assert await operations.find_programme(db, organiser.organiser_id, "kotipalvelu") == first
    assert await operations.list_programmes(db, organiser_slug=organiser.slug) == [first]
    with pytest.raises(ProgrammeDiffers):
        await operations.add_programme(db, **{**arguments, "step": 30})


async def test_only_what_families_are_told_of_a_programme_changes(db: Connection) -> None:
    organiser = await add_lakeshore(db)
    first = await add_home_help(db, organiser)
    assert (first.neutral_texts, first.receipts) == (False, Receipts.EACH)
    changed = await operations.change_programme(
        db,
        organiser_slug=organiser.slug,
        programme=first.programme,
        names={"ru": "Помощь на дому", "sv": "Hemhja\u0308lp"},
        neutral_texts=True,
        receipts=Receipts.DAILY,
    )
    names = {**first.names, "ru": "Помощь на дому", "sv": "Hemhjälp"}
    assert changed == replace(first, names=names, neutral_texts=True, receipts=Receipts.DAILY)
    assert await operations.find_programme(db, organiser.organiser_id, first.programme) == changed
    same = await operations.change_programme(db, organiser_slug=organiser.slug, programme=first.programme)
    assert same == changed
    with pytest.raises(TextUnfit):
        await operations.change_programme(
            db, organiser_slug=organiser.slug, programme=first.programme, names={"fi": "Помощь"}
        )
    with pytest.raises(ProgrammeUnknown):
        await operations.change_programme(db, organiser_slug=organiser.slug, programme="nothing")


async def test_a_programme_added_with_other_texts_is_another(db: Connection) -> None:
    organiser = await add_lakeshore(db)
    await add_home_help(db, organiser)
    with pytest.raises(ProgrammeDiffers):
        await operations.add_programme(
            db,
            organiser_slug=organiser.slug,
            programme=HOME_HELP.programme,
            names=HOME_HELP.names,
            unit=HOME_HELP.unit,
            step=HOME_HELP.step,
            unit_value_cents=HOME_HELP.unit_value_cents,
            receipts=Receipts.OFF,
        )


def test_a_name_may_be_in_any_language_served_and_its_letters() -> None:
    check_programme(replace(HOME_HELP, names={**HOME_HELP.names, "ar": "مساعدة منزلية", "et": "Koduõendus"}))
    check_organiser(replace(LAKESHORE, default_language="se"))


async def test_decomposed_letters_are_kept_composed(db: Connection) -> None:
    await operations.add_region(db, slug="lakes", name="Ja\u0308rvien alue")
    assert (await operations.find_region(db, "lakes")).name == "Järvien alue"


async def test_two_who_add_the_same_at_once_get_the_same(pool: Pool) -> None:
    async def add() -> object:
        async with transaction(pool) as conn:
            return await add_lakeshore(conn)

    first, *others = await asyncio.gather(*(add() for _ in range(8)))
    assert all(other == first for other in others)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"slug": "Ääkköset"}, SlugMalformed),
        ({"slug": "-x"}, SlugMalformed),
        ({"slug": "x" * 41}, SlugMalformed),
        ({"slug": "jarvi\n"}, SlugMalformed),
        ({"name": ""}, NameUnfit),
        ({"name": "a\0b"}, NameUnfit),
        ({"default_language": "de"}, LanguageUnserved),
        ({"help_phone": "+358 14 266 350 11"}, TextUnfit),
        ({"help_phone": ""}, TextUnfit),
        ({"directory_address": "x" * 31}, TextUnfit),
        ({"directory_address": "€" * 16}, TextUnfit),  # 32 septets
        ({"directory_address": "jarvi.fi/č"}, TextUnfit),  # would turn every text into UCS-2
        ({"directory_address": "jarvi.fi\n"}, TextUnfit),
    ],
)
def test_an_organiser_that_would_spoil_a_text_is_refused(change: dict[str, str], error: type[Exception]) -> None:
    check_organiser(LAKESHORE)
    with pytest.raises(error):
        check_organiser(replace(LAKESHORE, **change))


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"programme": "Koti palvelu"}, SlugMalformed),
        ({"names": {"fi": "Kotipalvelu"}}, LanguageUnserved),
        ({"names": dict.fromkeys((*NAMES_REQUIRED, "de"), "x")}, LanguageUnserved),
        ({"names": dict.fromkeys(NAMES_REQUIRED, "x" * (PROGRAMME_NAME_MAX + 1))}, TextUnfit),
        ({"names": dict.fromkeys(NAMES_REQUIRED, " x")}, TextUnfit),
        ({"names": {**HOME_HELP.names, "sv": "Помощь"}}, TextUnfit),  # would turn every Swedish text into UCS-2
        ({"names": {**HOME_HELP.names, "ru": "Ж" * (PROGRAMME_NAME_MAX + 1)}}, TextUnfit),
        ({"names": {**HOME_HELP.names, "ru": ""}}, TextUnfit),
        ({"step": 0}, UnitValueUnfit),
        ({"step": 10**30}, UnitValueUnfit),
        ({"unit_value_cents": 0}, UnitValueUnfit),
        ({"unit": Unit.CENTS}, UnitValueUnfit),  # a cent is worth a cent
    ],
)
def test_a_programme_that_makes_no_sense_is_refused(change: dict[str, object], error: type[Exception]) -> None:
    check_programme(HOME_HELP)
    with pytest.raises(error):
        check_programme(replace(HOME_HELP, **change))
