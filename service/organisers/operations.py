"""Adding and finding regions, organisers and programmes.

Adding is idempotent, whoever else adds at the same time: the same content again gives what is there, other content is
a conflict that changes nothing. Nothing here deletes, and of a programme only what families are told can change:
vouchers point at these rows for six years.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from uuid_utils.compat import uuid7

from service.channels.sms_text import prepare
from service.db import Connection
from service.money import Unit
from service.organisers import queries
from service.organisers.model import (
    Organiser,
    OrganiserDiffers,
    OrganiserUnknown,
    Programme,
    ProgrammeDiffers,
    ProgrammeUnknown,
    Receipts,
    Region,
    RegionDiffers,
    RegionUnknown,
    check_organiser,
    check_programme,
    check_region,
)


async def add_region(conn: Connection, *, slug: str, name: str) -> Region:
    """Add a region, or return the one that is there. Raises SlugMalformed, NameUnfit, RegionDiffers."""
    region = Region(uuid7(), slug, prepare(name))
    check_region(region)
    await queries.insert_region(conn, region=region)
    kept = await find_region(conn, slug)
    if replace(region, region_id=kept.region_id) != kept:
        raise RegionDiffers(region=slug)
    return kept


async def find_region(conn: Connection, slug: str) -> Region:
    """Raises RegionUnknown."""
    region = await queries.select_region(conn, slug=slug)
    if region is None:
        raise RegionUnknown(region=slug)
    return region


async def add_organiser(
    conn: Connection,
    *,
    slug: str,
    name: str,
    region_slug: str | None = None,
    default_language: str = "fi",
    help_phone: str,
    directory_address: str,
) -> Organiser:
    """Add an organiser, or return the one that is there.

    Raises RegionUnknown, SlugMalformed, NameUnfit, LanguageUnserved, TextUnfit, OrganiserDiffers.
    """
    region = None if region_slug is None else await find_region(conn, region_slug)
    organiser = Organiser(
        organiser_id=uuid7(),
        slug=slug,
        name=prepare(name),
        region_id=None if region is None else region.region_id,
        default_language=default_language,
        help_phone=prepare(help_phone),
        directory_address=prepare(directory_address),
    )
    check_organiser(organiser)
    await queries.insert_organiser(conn, organiser=organiser)
    kept = await find_organiser(conn, slug)
    if replace(organiser, organiser_id=kept.organiser_id) != kept:
        raise OrganiserDiffers(organiser=slug)
    return kept


async def find_organiser(conn: Connection, slug: str) -> Organiser:
    """Raises OrganiserUnknown."""
    organiser = await queries.select_organiser(conn, slug=slug)
    if organiser is None:
        raise OrganiserUnknown(organiser=slug)
    return organiser


async def organiser_by_id(conn: Connection, organiser_id: UUID) -> Organiser:
    """Raises OrganiserUnknown."""
    organiser = await queries.select_organiser_by_id(conn, organiser_id=organiser_id)
    if organiser is None:
        raise OrganiserUnknown(organiser=str(organiser_id))
    return organiser


async def list_organisers(conn: Connection) -> Sequence[tuple[Organiser, str | None]]:
    """Every organiser with the name of its region, by name."""
    return await queries.select_organisers(conn)


async def add_programme(
    conn: Connection,
    *,
    organiser_slug: str,
    programme: str,
    names: Mapping[str, str],
    unit: Unit,
    step: int = 1,
    unit_value_cents: int | None = None,
    neutral_texts: bool = False,
    receipts: Receipts = Receipts.EACH,
) -> Programme:
    """Add a programme to an organiser, or return the one that is there.

    Amounts are granted and charged in multiples of `step`; `unit_value_cents` is what an hour, visit or session is
    worth. Raises OrganiserUnknown, SlugMalformed, LanguageUnserved, TextUnfit, UnitValueUnfit, ProgrammeDiffers.
    """
    organiser = await find_organiser(conn, organiser_slug)
    wanted = Programme(
        organiser_id=organiser.organiser_id,
        programme=programme,
        names={language: prepare(name) for language, name in names.items()},
        unit=unit,
        step=step,
        unit_value_cents=unit_value_cents,
        neutral_texts=neutral_texts,
        receipts=receipts,
    )
    check_programme(wanted)
    await queries.insert_programme(conn, programme=wanted)
    kept = await find_programme(conn, organiser.organiser_id, programme)
    if wanted != kept:
        raise ProgrammeDiffers(programme=programme, organiser=organiser_slug)
    return kept


async def change_programme(
    conn: Connection,
    *,
    organiser_slug: str,
    programme: str,
    names: Mapping[str, str] | None = None,
    neutral_texts: bool | None = None,
    receipts: Receipts | None = None,
) -> Programme:
    """Change what families are told: the names given (others stay), neutral texts, receipts. None leaves as it is.

    Messages queued before keep their wording. Idempotent. Raises OrganiserUnknown, ProgrammeUnknown,
    LanguageUnserved, TextUnfit.
    """
    organiser = await find_organiser(conn, organiser_slug)
    kept = await queries.lock_programme(conn, organiser_id=organiser.organiser_id, programme=programme)
    if kept is None:
        raise ProgrammeUnknown(programme=programme)
    changed = replace(
        kept,
        names={**kept.names, **{language: prepare(name) for language, name in (names or {}).items()}},
        neutral_texts=kept.neutral_texts if neutral_texts is None else neutral_texts,
        receipts=kept.receipts if receipts is None else receipts,
    )
    check_programme(changed)
    await queries.update_programme(conn, programme=changed)
    return changed


async def find_programme(conn: Connection, organiser_id: UUID, programme: str) -> Programme:
    """Raises ProgrammeUnknown."""
    found = await queries.select_programme(conn, organiser_id=organiser_id, programme=programme)
    if found is None:
        raise ProgrammeUnknown(programme=programme)
    return found


async def check_region_has_programme(conn: Connection, region: Region, programme: str) -> None:
    """Raises ProgrammeUnknown unless at least one organiser of the region has the programme."""
    if not await queries.select_region_has_programme(conn, region_id=region.region_id, programme=programme):
        raise ProgrammeUnknown(programme=programme)


async def list_programmes(conn: Connection, *, organiser_slug: str) -> Sequence[Programme]:
    """An organiser's programmes, by their short name. Raises OrganiserUnknown."""
    organiser = await find_organiser(conn, organiser_slug)
    return await queries.select_programmes(conn, organiser_id=organiser.organiser_id)
