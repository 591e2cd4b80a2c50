"""Two more organisers of the sample's region, for the demo alone: a region of two is told nothing of itself (I9).

As invented as the others, loaded through the same operations, and loading them again changes nothing.
"""

from __future__ import annotations

from service.db import Connection
from service.organisers.operations import add_organiser
from service.sandbox.sample import CLEANING, COUNTY, HOME_HELP, REGION, load_programmes

ISLAND_TOWN = "vuorisaari"
SHORE_TOWN = "lehtoranta"
NEIGHBOURS = (
    (ISLAND_TOWN, "Vuorisaaren kaupunki", "014 555 0303"),
    (SHORE_TOWN, "Lehtorannan kunta", "014 555 0404"),
)


async def load_neighbours(conn: Connection) -> None:
    """Add what is missing of them; idempotent. The sample is there already. Call it in a transaction."""
    for slug, name, help_phone in NEIGHBOURS:
        await add_organiser(
            conn,
            slug=slug,
            name=name,
            region_slug=REGION,
            help_phone=help_phone,
            directory_address=f"{slug}.example/ps",
        )
        await load_programmes(conn, slug, only=(HOME_HELP, CLEANING), rules_of=COUNTY)
