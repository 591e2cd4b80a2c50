"""The worker's part: the next chunk of whichever import's turn it is, in one transaction with its count.

A claim is committed first: a lease, so that others leave the import alone, and a fence, which every later claim and a
cancellation change. The chunk's row is deleted, its vouchers and messages are stored, its rejected rows are sealed and
the counts are raised in one transaction, whose last statement asks for the fence: whoever was overtaken rolls back. So
a worker may be killed at any instruction; at worst a lease runs out before another goes on.
"""

from __future__ import annotations

from datetime import UTC, datetime

import structlog

from service import metrics
from service.attention.model import IMPORT_FAILED
from service.attention.operations import open_item
from service.channels.model import PATIENT_PRIORITY
from service.crypto import Keys
from service.db import Pool, transaction
from service.imports import queries
from service.imports.files import pack_rejected, unpack_rows
from service.imports.model import TRIES_MAX, Claim, ImportState
from service.imports.operations.uploading import make_intake
from service.imports.sealing import open_sealed, seal
from service.settings import Settings
from service.vouchers.decisions import helsinki_day
from service.vouchers.operations.bulk import BULK_PRIORITY
from service.vouchers.operations.rows import in_rounds
from service.vouchers.rejected_rows import RejectedRow

log = structlog.get_logger()

# Some two hundred times what a chunk takes. A worker that is killed holds an import up for that long.
LEASE_S = 20.0
KIND = "import_rows"


class _Overtaken(Exception):
    """Another claim was made, or the import was cancelled: what this one has done is undone."""


async def grant_next(pool: Pool, keys: Keys, settings: Settings) -> int:
    """Do one chunk of one import; 1 when there may be more, 0 when there is nothing to do.

    Raises DatabaseUnavailable, OutcomeUnknown or RequestInFlight, after which the lease runs out and it is done again.
    """
    async with transaction(pool) as conn:
        quiet = (settings.quiet_hours.from_hour, settings.quiet_hours.to_hour)
        claimed = await queries.claim(conn, lease_s=LEASE_S, quiet=quiet)
        if claimed is None:
            await queries.put_off(conn, quiet=quiet)
        if claimed is not None and claimed.tries > TRIES_MAX:
            await queries.fail(conn, claimed=claimed)
            await open_item(conn, organiser_id=claimed.organiser_id, reason=IMPORT_FAILED, subject_id=claimed.import_id)
            log.error("import_failed", import_id=claimed.import_id)
            return 1
    if claimed is None:
        return 0
    try:
        state = await in_rounds(lambda: _grant_chunk(pool, keys, settings, claimed))
    except _Overtaken:
        log.info("import_overtaken", import_id=claimed.import_id)
        return 1
    if state == ImportState.DONE:
        log.info("import_done", import_id=claimed.import_id)
    return 1


async def _grant_chunk(pool: Pool, keys: Keys, settings: Settings, claimed: Claim) -> str:
    async with transaction(pool) as conn:
        chunk = await queries.take_chunk(conn, organiser_id=claimed.organiser_id, import_id=claimed.import_id)
        if chunk is None:  # overtaken: the last chunk ends the import
            raise _Overtaken
        place, sealed = chunk
        intake = await make_intake(
            conn,
            keys,
            settings,
            found=claimed,
            created_by=claimed.granted_by,
            today=helsinki_day(datetime.now(UTC)),
            priority=BULK_PRIORITY if claimed.at_once else PATIENT_PRIORITY,
        )
        rows = unpack_rows(open_sealed(keys, sealed, "chunk", claimed.import_id, place))
        good, unreadable = intake.read(rows)
        granted = await intake.grant(conn, good)
        rejected = sorted([*unreadable, *granted.rejected], key=lambda each: each.row.line)
        if rejected:
            kept = pack_rejected(RejectedRow(*each.row, each.error.code, each.error.details) for each in rejected)
            await queries.insert_rejection(
                conn,
                organiser_id=claimed.organiser_id,
                import_id=claimed.import_id,
                place=place,
                sealed=seal(keys, kept, "rejected", claimed.import_id, place),
            )
        state = await queries.record_chunk(
            conn,
            claimed=claimed,
            granted=granted.issued,
            already_there=granted.already_there,
            rejected=len(rejected),
        )
        if state is None:
            raise _Overtaken
    metrics.scheduled.labels(KIND).inc(len(rows))
    return state
