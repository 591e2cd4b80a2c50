"""Why something needs a person. Pure.

SeteliError
├── AttentionUnknown     no such item of this organiser's
└── AttentionResolved    somebody was faster
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from service.errors import Conflict, NotFound

# In the words of channels: a message about the voucher ended without having been delivered.
DELIVERY_REASONS: frozenset[str] = frozenset(
    {
        "bad_contact",
        "bad_contact_landline",
        "bad_contact_not_in_use",
        "bad_contact_invalid",
        "opted_out",
        "suppressed_contact",
        "unreachable",
        "silent",
        "often_unknown",
        "filtered",
        "carrier_trouble",
        "gateway_down",
        "gateway_paused",
        "not_routable",
        "number_cap",
        "country_not_served",
        "template_fault",
        "contact_unreadable",
        "unclassified",
    }
)
CONTACT_LOST = "contact_lost"  # receipts and reminders cannot reach the family, and trying again will not help
DISPUTED = "disputed"  # the family says that the visit charged was none
NEVER_USED = "never_used"
CHANGE_FAILED = "change_failed"  # a later decision whose day has come cannot be applied
IMPORT_FAILED = "import_failed"  # the one that is about a file of decisions, not about a voucher

SYSTEM = "system"
"""Who resolves an item whose cause is gone."""


class AttentionUnknown(NotFound):
    """This organiser has nothing with this id on its list."""

    code = "attention_unknown"


class AttentionResolved(Conflict):
    """Somebody has resolved it before."""

    code = "attention_resolved"


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that needs a person. It is about a voucher, or about an import: exactly one of the two is there."""

    attention_id: UUID
    reason: str
    voucher_id: UUID | None
    import_id: UUID | None
    decision_ref: str | None
    message_id: UUID | None
    entry_id: UUID | None
    opened_at: datetime
    resolved_at: datetime | None = None
    resolved_by: str | None = None
    resolution: str | None = None
