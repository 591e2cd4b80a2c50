"""The link in a family's mail, and a voucher's visits as the family sees them. Pure: no I/O, no clock.

A link holds nothing but the organiser's id, the code's id and the moment when it ends, sealed (AES-256-GCM, with the
key's id in front): nobody can make one or read one, and nothing of it is stored. The code's id is all that it has to
be bound to. A code belongs to one voucher, and is replaced whenever the contact changes: so the link dies with it.

SeteliError
└── FamilyLinkDead    whatever is wrong with a link
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

from service.crypto import SealBroken, Sealer
from service.errors import NotFound

LINK_PATH = "/f/"
"""Says nothing: the address stands in the history of a browser that others may use, too."""
LINK_MAX = 200
CONTEXT = b"family link"
DISPUTABLE_FOR = timedelta(days=14)
"""As by text: what was entered longer ago is for a person."""
_ID_BYTES, _TIME_BYTES = 16, 5


class Entry(Protocol):
    """A row of what was charged, as debits give it."""

    def __getitem__(self, name: str, /) -> Any: ...


class FamilyLinkDead(NotFound):
    """The link is forged, expired, replaced or its voucher is closed: which of them is nobody's business."""

    code = "family_link_dead"


@dataclass(frozen=True, slots=True)
class FamilyLink:
    organiser_id: UUID
    code_id: UUID
    expires_at: datetime


def write_link(sealer: Sealer, link: FamilyLink) -> str:
    """The part of the address after LINK_PATH. Another one each time, all of them good."""
    ends = int(link.expires_at.timestamp()).to_bytes(_TIME_BYTES, "big")
    content = link.organiser_id.bytes + link.code_id.bytes + ends
    return _encode(sealer.seal(_encode(content), CONTEXT))


def read_link(sealer: Sealer, text: str, now: datetime) -> FamilyLink:
    """What the link says, under any key of the ring. Raises FamilyLinkDead."""
    if len(text) > LINK_MAX:
        raise FamilyLinkDead
    try:
        content = _decode(sealer.open(_decode(text), CONTEXT))
    except (SealBroken, ValueError):
        raise FamilyLinkDead from None
    if len(content) != 2 * _ID_BYTES + _TIME_BYTES:
        raise FamilyLinkDead
    link = FamilyLink(
        organiser_id=UUID(bytes=content[:_ID_BYTES]),
        code_id=UUID(bytes=content[_ID_BYTES : 2 * _ID_BYTES]),
        expires_at=datetime.fromtimestamp(int.from_bytes(content[2 * _ID_BYTES :], "big"), UTC),
    )
    if now >= link.expires_at:
        raise FamilyLinkDead
    return link


def _encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _decode(text: str) -> bytes:
    """Raises ValueError. Of several spellings of the same bytes only ours is taken."""
    try:
        content = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        raise ValueError("not base64") from None
    if _encode(content) != text:
        raise ValueError("another spelling")
    return content


@dataclass(frozen=True, slots=True)
class FamilyVisit:
    """A charge with what became of it. The cents are of what is left of it; None: not known."""

    debit_id: UUID
    day: date
    starts_at: datetime | None
    ends_at: datetime | None
    entered_at: datetime
    provider: str
    is_no_show: bool
    amount: int
    taken_back: int
    voucher_pays_cents: int | None
    family_pays_cents: int | None
    is_disputed: bool
    was_disputed: bool
    """A dispute was raised, whether open or not."""

    def can_be_disputed(self, now: datetime) -> bool:
        """Whether the page still asks; what was disputed once is in a person's hands."""
        is_recent = self.entered_at > now - DISPUTABLE_FOR
        return is_recent and not self.was_disputed and self.taken_back < self.amount


def group_visits(entries: Iterable[Entry]) -> list[FamilyVisit]:
    """Charges, each before what was taken back of it, as visits in the same order."""
    visits: dict[UUID, FamilyVisit] = {}
    for entry in entries:
        if entry["kind"] == "debit":
            visits[entry["entry_id"]] = _visit(entry)
        elif (visit := visits.get(entry["reverses"])) is not None:
            visits[visit.debit_id] = replace(
                visit,
                taken_back=visit.taken_back - entry["amount"],
                voucher_pays_cents=_sum(visit.voucher_pays_cents, entry["pays_cents"]),
                family_pays_cents=_sum(visit.family_pays_cents, entry["own_cents"]),
            )
    return list(visits.values())


def _visit(entry: Entry) -> FamilyVisit:
    return FamilyVisit(
        debit_id=entry["entry_id"],
        day=entry["service_date"],
        starts_at=entry["starts_at"],
        ends_at=entry["ends_at"],
        entered_at=entry["entered_at"],
        provider=entry["provider"],
        is_no_show=entry["visit_type"] == "no_show",
        amount=entry["amount"],
        taken_back=0,
        voucher_pays_cents=entry["pays_cents"],
        family_pays_cents=entry["own_cents"],
        is_disputed=entry["disputed"],
        was_disputed=entry["was_disputed"],
    )


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other
