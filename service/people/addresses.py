"""E-mail addresses of people: sealed, and as an index to find them by. Pure."""

from __future__ import annotations

from uuid import UUID

from service.channels.contacts import parse_email
from service.crypto import Keys

PURPOSE = "person email"


def plain_email(text: str) -> str:
    """As it is compared: people do not remember which letters they wrote large. Raises EmailInvalid."""
    return parse_email(text).casefold()


def email_context(person_id: UUID) -> bytes:
    return b"person email" + person_id.bytes


def seal_email(keys: Keys, person_id: UUID, email: str) -> tuple[bytes, bytes]:
    """The sealed address, as it was written, and its index."""
    return keys.sealer.seal(email, email_context(person_id)), keys.index.current(PURPOSE, plain_email(email))


def open_email(keys: Keys, person_id: UUID, sealed: bytes) -> str:
    """Raises SealBroken."""
    return keys.sealer.open(sealed, email_context(person_id))
