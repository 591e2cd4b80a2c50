"""What the tests of imports share: files, and a worker that works one off."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from service.db import transaction
from service.imports import operations
from service.imports.model import Import
from service.imports.operations import Forecast
from service.quiet_hours import QuietHours
from service.vouchers.decision_rows import OPTIONAL, REQUIRED
from service.vouchers.decisions import helsinki_day
from tests.vouchers.worlds import Site, World

COLUMNS = REQUIRED + OPTIONAL
NEVER_QUIET = QuietHours(0, 0)


def row(number: int, **changes: object) -> dict[str, object]:
    """A good row, valid for a year from today on."""
    today = helsinki_day(datetime.now(UTC))
    known = {
        "decision_ref": f"KH-{number}",
        "programme": "kotipalvelu",
        "status": "provisional",
        "client_ref": f"perhe-{number}",
        "granted": 720,
        "valid_from": today,
        "valid_to": today + timedelta(days=365),
        "phone": f"040 {1000000 + number}",
    }
    return known | changes


def table(rows: Sequence[dict[str, object]], *, delimiter: str = ",", encoding: str = "utf-8") -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode(encoding)


async def send(site: Site, world: World, content: bytes, *, name: str = "perheet.csv") -> UUID:
    return await operations.upload(
        site.pool,
        site.keys,
        organiser_id=world.organiser.organiser_id,
        name=name,
        content=content,
        actor="test",
    )


async def let_go(site: Site, world: World, import_id: UUID) -> None:
    async with transaction(site.pool) as conn:
        await operations.grant(
            conn,
            organiser_id=world.organiser.organiser_id,
            import_id=import_id,
            actor="test",
            at_once=False,
            quiet=NEVER_QUIET,
        )


async def work(site: Site) -> None:
    """Everything that is due now."""
    while await operations.grant_next(site.pool, site.keys, site.settings):
        pass


async def look(site: Site, world: World, import_id: UUID) -> Import:
    async with transaction(site.pool) as conn:
        return await operations.find_import(
            conn, site.keys, organiser_id=world.organiser.organiser_id, import_id=import_id
        )


async def foresee(site: Site, world: World, import_id: UUID) -> Forecast:
    found = await look(site, world, import_id)
    today = helsinki_day(datetime.now(UTC))
    async with transaction(site.pool) as conn:
        return await operations.forecast(conn, site.keys, site.settings, found=found, actor="test", today=today)


async def download(site: Site, found: Import, language: str = "en") -> list[dict[str, str]]:
    parts = [
        part
        async for part in operations.rejected_csv(site.pool, site.keys, found=found, language=language, actor="test")
    ]
    lines = io.StringIO(b"".join(parts).decode("utf-8-sig"), newline="")
    return list(csv.DictReader(lines, delimiter=found.delimiter))


async def stored(site: Site) -> tuple[int, ...]:
    async with transaction(site.pool) as conn:
        tables = ("decisions", "vouchers", "beneficiaries", "codes", "voucher_codes", "messages")
        return tuple([await conn.fetchval(f"SELECT count(*) FROM {name}") for name in tables])
