"""What the county's office has under way when the demo starts: next year's rules, a provider of its own, a file.

Only what its admins and caseworkers could do at the desk, through the same operations. Idempotent for the same day.
"""

from __future__ import annotations

from datetime import date, timedelta

from service.crypto import Keys
from service.db import Pool, transaction
from service.imports import operations as imports
from service.organisers.operations import find_organiser, set_rules
from service.organisers.rules import RulesChange
from service.providers.operations import approve
from service.quiet_hours import QuietHours
from service.sandbox.people import CASEWORKER, ORGANISER_ADMIN, actor_of
from service.sandbox.sample import CLEANING, COUNTY, HOME_HELP

OWN_PROVIDER = "9000404-7"
NEXT_YEARS: RulesChange = {"weekday_cents": 3450, "saturday_cents": 4600, "sunday_cents": 5750}
FILE_NAME = "paatokset.csv"
_COLUMNS = "decision_ref;programme;status;client_ref;granted;valid_from;valid_to;phone;email;language"
# The sandbox's numbers and invented ones; the last two are what caseworkers mistype: a landline, and an end before now.
_ROWS = (
    ("T1", HOME_HELP, 720, 60, "040 555 0231", ""),
    ("T2", HOME_HELP, 960, 90, "040 555 0232", ""),
    ("T3", CLEANING, 30_000, 120, "", "perhe233@posti.example"),
    ("T4", HOME_HELP, 720, 60, "014 555 0909", ""),
    ("T5", HOME_HELP, 720, -2, "040 555 0235", ""),
)


async def load_paperwork(pool: Pool, keys: Keys, day: date) -> None:
    """For an installation whose people are loaded. Raises what the operations raise."""
    async with transaction(pool) as conn:
        county = await find_organiser(conn, COUNTY)
        await approve(
            conn,
            business_id=OWN_PROVIDER,
            programme=CLEANING,
            organiser_slug=COUNTY,
            valid_from=day - timedelta(days=240),
        )
        await set_rules(
            conn,
            organiser_slug=COUNTY,
            programme=HOME_HELP,
            starts_on=date(day.year + 1, 1, 1),
            change=NEXT_YEARS,
            actor=await actor_of(conn, keys, ORGANISER_ADMIN),
        )
        caseworker = await actor_of(conn, keys, CASEWORKER)
        if await imports.list_imports(conn, keys, organiser_id=county.organiser_id, limit=1):
            return  # an earlier start has sent it
    import_id = await imports.upload(
        pool,
        keys,
        organiser_id=county.organiser_id,
        name=FILE_NAME,
        content=_file(day).encode(),
        actor=caseworker,
    )
    async with transaction(pool) as conn:
        await imports.grant(
            conn,
            organiser_id=county.organiser_id,
            import_id=import_id,
            actor=caseworker,
            at_once=True,
            quiet=QuietHours(0, 0),
        )


def _file(day: date) -> str:
    lines = [
        f"KP-{day:%y%m%d}-{ref};{programme};confirmed;perhe-{day:%y%m%d}-{ref};{granted};{day};"
        f"{day + timedelta(days=days)};{phone};{email};fi"
        for ref, programme, granted, days, phone, email in _ROWS
    ]
    return "\n".join((_COLUMNS, *lines)) + "\n"
