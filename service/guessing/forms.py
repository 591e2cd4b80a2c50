"""Whether a form was sent from our own page by whoever was shown it. Pure.

A browser adds a Basic password to every request by itself, also to one that another site made it send. So a form
carries a token that only we can make, for one key and one hour, and its request must not say that it comes from
elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from urllib.parse import urlsplit
from uuid import UUID

from service.crypto import BlindIndex

PURPOSE = "support form"
HOURS_VALID = 2  # the hour it was made in and the next: an hour at least


def make_token(index: BlindIndex, key_id: UUID, now: datetime) -> str:
    return index.current(PURPOSE, _subject(key_id, _hour(now))).hex()


def is_token(index: BlindIndex, key_id: UUID, now: datetime, token: str) -> bool:
    """True for one that was made for this key within the last hour or two, under any index key that still counts."""
    try:
        digest = bytes.fromhex(token)
    except ValueError:
        return False
    hours = range(_hour(now) - HOURS_VALID + 1, _hour(now) + 1)
    return any(index.matches(digest, PURPOSE, _subject(key_id, hour)) for hour in hours)


def is_from_here(headers: Mapping[str, str], *, public_url: str, host: str) -> bool:
    """True when the browser says so. One that says nothing at all is no browser, or too old to be trusted with this."""
    origin, fetch_site = headers.get("Origin"), headers.get("Sec-Fetch-Site")
    if origin is None and fetch_site is None:
        return False
    if fetch_site not in (None, "same-origin"):
        return False
    return origin is None or origin == public_url or (origin != "null" and urlsplit(origin).netloc == host)


def _subject(key_id: UUID, hour: int) -> str:
    return f"{key_id} {hour}"


def _hour(now: datetime) -> int:
    return int(now.timestamp()) // 3600
