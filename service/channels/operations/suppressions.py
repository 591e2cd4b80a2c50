"""Contacts that must not be written to: put on the list, looked up, taken off. Of the whole installation.

While index keys rotate a contact may be on the list under either of them, so every look-up asks for both. Whoever needs
to know goes through `standing`; what a message does about it is for `sending` (when it is claimed) and `outbox` (when
it is queued).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from service import metrics
from service.channels.gateway import ChannelName
from service.channels.queries import suppressions as queries
from service.channels.queries.suppressions import count_suppressions
from service.channels.suppressions import PURPOSE, WISHES, Suppression, SuppressionReason, suppression_context
from service.crypto import Keys
from service.db import Connection

__all__ = [
    "Suppressed",
    "contact_indexes",
    "count_suppressions",
    "lift",
    "rotate_suppressions",
    "standing",
    "suppress",
    "suppress_all",
]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Suppressed:
    """A contact and why it must not be written to any more."""

    channel: ChannelName
    contact: str = field(repr=False)
    reason: SuppressionReason


def contact_indexes(keys: Keys, channel: str, contact: str) -> list[bytes]:
    """What a contact may be found by: under the newest key, and under the one before it while they rotate."""
    return keys.index.all(PURPOSE[channel], contact)


async def suppress(conn: Connection, keys: Keys, *, channel: ChannelName, contact: str, reason: str) -> None:
    """Put one contact on the list; see `suppress_all`. `reason` is one of SuppressionReason."""
    await suppress_all(conn, keys, [Suppressed(channel, contact, SuppressionReason(reason))])


async def suppress_all(conn: Connection, keys: Keys, found: Iterable[Suppressed]) -> None:
    """Put contacts on the list, in the caller's transaction. Idempotent; a wish (STOP) is not replaced by a fault.

    What already waits to be sent to someone who wished so is looked at again at once.
    """
    by_contact: dict[tuple[str, str], Suppressed] = {}
    for item in found:
        known = by_contact.get((item.channel, item.contact))
        if known is None or (item.reason in WISHES and known.reason not in WISHES):
            by_contact[item.channel, item.contact] = item
    if not by_contact:
        return
    rows = [
        (
            item.channel,
            keys.index.current(PURPOSE[item.channel], item.contact),
            keys.sealer.seal(item.contact, suppression_context(item.channel)),
            item.reason.value,
        )
        for item in by_contact.values()
    ]
    for row in await queries.suppress(conn, rows=rows, index_key=keys.index.key_id):
        metrics.suppressions.labels(row["channel"], row["reason"]).inc()
        log.info("contact_suppressed", channel=row["channel"], reason=row["reason"])
    for item in by_contact.values():
        if item.reason in WISHES:
            indexes = contact_indexes(keys, item.channel, item.contact)
            await queries.hurry_pending(conn, channel=item.channel, contact_indexes=indexes)


async def standing(
    conn: Connection, keys: Keys, contacts: Sequence[tuple[ChannelName, str]]
) -> Mapping[tuple[str, str], Suppression]:
    """Those of the contacts (channel, number or address) that must not be written to now, each with its reason."""
    if not contacts:
        return {}
    wanted = [
        (channel, index, contact) for channel, contact in contacts for index in contact_indexes(keys, channel, contact)
    ]
    rows = await queries.select_standing(
        conn, channels=[channel for channel, _, _ in wanted], contact_indexes=[index for _, index, _ in wanted]
    )
    found: dict[tuple[str, str], Suppression] = {}
    by_index = {(channel, index): contact for channel, index, contact in wanted}
    for row in rows:
        place = (row["channel"], by_index[row["channel"], row["contact_index"]])
        reason = SuppressionReason(row["reason"])
        if place not in found or reason in WISHES:
            found[place] = Suppression(row["channel"], reason, row["since"])
    return found


async def lift(
    conn: Connection,
    keys: Keys,
    *,
    channel: ChannelName,
    contact: str,
    lifted_by: str,
    reason: str | None,
    only: SuppressionReason | None = None,
) -> bool:
    """Let a contact be written to again; with `only`, if it was on the list for that. Idempotent; False: it was not."""
    return await queries.lift(
        conn,
        channel=channel,
        contact_indexes=contact_indexes(keys, channel, contact),
        lifted_by=lifted_by,
        lift_reason=reason,
        only=None if only is None else only.value,
    )


async def rotate_suppressions(
    conn: Connection, keys: Keys, *, after: tuple[str, bytes], limit: int
) -> tuple[int, int, tuple[str, bytes] | None]:
    """Bring the next rows of the list under the newest keys, in the caller's transaction.

    Returns how many were looked at, how many were moved, and where to go on; None: there are no more. Idempotent.
    Raises SealBroken.
    """
    rows = await queries.lock_suppressions(conn, after=after, limit=limit)
    moved = 0
    for row in rows:
        channel, old_index, sealed = row["channel"], row["contact_index"], row["contact_sealed"]
        contact = keys.sealer.open(sealed, suppression_context(channel))
        new_index = keys.index.current(PURPOSE[channel], contact)
        if new_index == old_index and keys.sealer.is_current(sealed):
            continue
        moved += 1
        sealed = keys.sealer.seal(contact, suppression_context(channel))
        if new_index == old_index:
            await queries.reseal_suppression(
                conn, channel=channel, contact_index=old_index, contact_sealed=sealed, index_key=keys.index.key_id
            )
        else:
            await queries.move_suppression(
                conn,
                channel=channel,
                old_index=old_index,
                new_index=new_index,
                contact_sealed=sealed,
                index_key=keys.index.key_id,
            )
    last = rows[-1] if len(rows) == limit else None
    return len(rows), moved, None if last is None else (last["channel"], last["contact_index"])
