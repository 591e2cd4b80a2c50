"""Ids that sort by the time they were made at. No I/O."""

from __future__ import annotations

import uuid

import uuid_utils
from asyncpg.pgproto import pgproto


def new_id() -> uuid.UUID:
    """A UUIDv7 in the database driver's own class, a third of the work of making a plain one.

    For what is made by the hundred thousand; elsewhere `uuid7` does. It stands for a `uuid.UUID` everywhere: the
    driver gives nothing else back.
    """
    return pgproto.UUID(uuid_utils.uuid7().bytes)
