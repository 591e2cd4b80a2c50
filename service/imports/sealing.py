"""What an import keeps sealed, and what each is bound to: nothing can be moved to another place unnoticed. No I/O."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from service.crypto import Keys

Kind = Literal["name", "chunk", "rejected"]


def context(kind: Kind, import_id: UUID, place: int = 0) -> bytes:
    return b"import" + kind.encode() + import_id.bytes + place.to_bytes(4, "big")


def seal(keys: Keys, text: str, kind: Kind, import_id: UUID, place: int = 0) -> bytes:
    return keys.sealer.seal(text, context(kind, import_id, place))


def open_sealed(keys: Keys, sealed: bytes, kind: Kind, import_id: UUID, place: int = 0) -> str:
    """Raises SealBroken."""
    return keys.sealer.open(sealed, context(kind, import_id, place))
