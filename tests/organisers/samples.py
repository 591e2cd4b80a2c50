"""An organiser and a programme to begin a test with."""

from __future__ import annotations

from uuid import UUID

from service.db import Connection
from service.money import Unit
from service.organisers import operations
from service.organisers.model import Organiser, Programme

LAKESHORE = Organiser(
    organiser_id=UUID(int=1),
    slug="jarvenranta",
    name="Järvenrannan hyvinvointialue",
    region_id=None,
    default_language="fi",
    help_phone="014 555 0101",
    directory_address="jarvenranta.example/ps",
)
HOME_HELP = Programme(
    organiser_id=UUID(int=1),
    programme="kotipalvelu",
    names={"fi": "Kotipalvelu", "sv": "Hemservice", "en": "Home help"},
    unit=Unit.MINUTES,
    step=15,
    unit_value_cents=3550,
)


async def add_lakeshore(
    conn: Connection,
    *,
    name: str = LAKESHORE.name,
    region_slug: str | None = None,
    help_phone: str = LAKESHORE.help_phone,
) -> Organiser:
    return await operations.add_organiser(
        conn,
        slug=LAKESHORE.slug,
        name=name,
        region_slug=region_slug,
        help_phone=help_phone,
        directory_address=LAKESHORE.directory_address,
    )


async def add_home_help(conn: Connection, organiser: Organiser) -> Programme:
    return await operations.add_programme(
        conn,
        organiser_slug=organiser.slug,
        programme=HOME_HELP.programme,
        names=HOME_HELP.names,
        unit=HOME_HELP.unit,
        step=HOME_HELP.step,
        unit_value_cents=HOME_HELP.unit_value_cents,
    )
