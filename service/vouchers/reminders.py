"""Reminders to families: a voucher that nobody has used yet, a voucher that is about to end with value left.

Driven by rows. A voucher is reminded of once in each way, for ever (messages_reminded_once), so neither a second run,
nor another machine, nor a clock that is put back writes twice. The words are made when a reminder is sent: one whose
voucher has been used, suspended, cancelled or has ended by then is not sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from service.attention import operations as attention
from service.attention.model import NEVER_USED
from service.channels.kinds import NEUTRAL
from service.channels.phrases import format_day
from service.db import Connection, Pool, transaction
from service.money import Unit, format_amount
from service.organisers.operations import find_programme, organiser_by_id
from service.quiet_hours import QuietHours
from service.vouchers.queries import reminders as queries

UNUSED = "reminder_unused"
EXPIRING = "reminder_expiring"
KINDS = (UNUSED, EXPIRING)
BATCH = 500


async def remind(pool: Pool, quiet: QuietHours) -> int:
    """Queue the reminders that are due, and put on the caseworkers' list whom reminding did not help; how many.

    Never used three days after the voucher could be: a reminder; four days later: a person. Fourteen days before the
    end with value left: a reminder. Not for a voucher whose family is known not to have got its text, for a person is
    at that. At most BATCH of each at a time. Idempotent.
    """
    done = 0
    async with transaction(pool) as conn:
        done += await queries.queue_unused(conn, quiet=quiet, limit=BATCH)
    async with transaction(pool) as conn:
        done += await queries.queue_expiring(conn, quiet=quiet, limit=BATCH)
    async with transaction(pool) as conn:
        for organiser_id, voucher_id in await queries.select_never_used(conn, limit=BATCH):
            await attention.open_item(conn, organiser_id=organiser_id, reason=NEVER_USED, subject_id=voucher_id)
            done += 1
    return done


async def reminder_fields(
    kind: str, conn: Connection, wanted: Sequence[tuple[UUID, UUID]]
) -> Mapping[UUID, Mapping[str, str]]:
    """The words of reminders of one kind, by voucher, for (organiser, voucher) pairs.

    A voucher that is missing from the result has nothing to be reminded of any more.
    """
    rows = await queries.select_reminded(
        conn,
        kind=kind,
        organiser_ids=[organiser_id for organiser_id, _ in wanted],
        voucher_ids=[voucher_id for _, voucher_id in wanted],
    )
    words: dict[UUID, Mapping[str, str]] = {}
    for row in rows:
        organiser = await organiser_by_id(conn, row["organiser_id"])
        programme = await find_programme(conn, row["organiser_id"], row["programme"])
        language = row["language"]
        words[row["voucher_id"]] = {
            "programme": programme.name_in(language, organiser.default_language),
            "left": format_amount(row["available"], Unit(row["unit"]), language),
            "valid_to": format_day(row["valid_to"], row["today"], language),
            "directory": organiser.directory_address,
            "help_phone": organiser.help_phone,
            "last_four": row["last_four"],
            NEUTRAL: "yes" if programme.neutral_texts else "",
        }
    return words
