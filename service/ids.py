"""Ids that sort by the time they were made at. No I/O."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime, timedelta

import uuid_utils
from asyncpg.pgproto import pgproto

CLOCKS_DIFFER = timedelta(days=1)
"""An id is made by a web process, the time of entry by the database: more than they can be apart."""


def first_id(day: date) -> uuid.UUID:
    """The smallest UUIDv7 of a day, in UTC."""
    at = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return uuid.UUID(int=max(0, int(at.timestamp() * 1000)) << 80)


def new_id() -> uuid.UUID:
    """A UUIDv7 in the database driver's own class, a third of the work of making a plain one.

    For what is made by the hundred thousand; elsewhere `uuid7` does. It stands for a `uuid.UUID` everywhere: the
    driver gives nothing else back.
    """
    return pgproto.UUID(uuid_utils.uuid7().bytes)
