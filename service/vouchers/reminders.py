"""Reminders to families: a voucher that nobody has used yet, a voucher that is about to end with value left.

Driven by rows. A voucher is reminded of once in each way, and once more of the end that a renewal gives it
(messages_reminded_once): neither a second run, nor another machine, nor a clock that is put back writes twice. The
words are made when a reminder is sent: one whose voucher has been used, renewed, suspended, cancelled or has ended by
then is not sent.

Each is searched for once a day, in the morning: a search goes through every voucher of the last weeks.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
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
BATCH = 2000  # a search starts anew for each: few, while a transaction still takes less than a second
MORNING_HOUR = 8  # on the clock in Helsinki

Search = Callable[[Connection], Awaitable[int]]


def daily_rounds(
    pool: Pool, quiet: QuietHours, *, from_hour: int = MORNING_HOUR
) -> Sequence[Callable[[], Awaitable[int]]]:
    """What is to be run every now and then, each by itself, again while it returns more than 0.

    They queue the reminders that are due, at most BATCH at a time, and put on the caseworkers' list whom reminding did
    not help. No reminder for a voucher whose family is known not to have got its text: a person is at that. Idempotent.
    """
    searches: Mapping[str, Search] = {
        UNUSED: partial(queries.queue_unused, quiet=quiet, limit=BATCH),
        EXPIRING: partial(queries.queue_expiring, quiet=quiet, limit=BATCH),
        NEVER_USED: _list_never_used,
    }
    return [partial(_search_once_a_day, pool, name, search, from_hour) for name, search in searches.items()]


async def _search_once_a_day(pool: Pool, name: str, search: Search, from_hour: int) -> int:
    async with transaction(pool) as conn:
        if not await queries.take_daily_search(conn, search=name, from_hour=from_hour):
            return 0
        found = await search(conn)
        if found == 0:
            await queries.finish_daily_search(conn, search=name)
        return found


async def _list_never_used(conn: Connection) -> int:
    found = await queries.select_never_used(conn, limit=BATCH)
    for organiser_id, voucher_id in found:
        await attention.open_item(conn, organiser_id=organiser_id, reason=NEVER_USED, subject_id=voucher_id)
    return len(found)


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
