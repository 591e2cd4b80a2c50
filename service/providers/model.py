"""Providers, approvals and keys as values, with their errors. Pure: no I/O, no clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Literal
from uuid import UUID

from stdnum.exceptions import ValidationError
from stdnum.fi import ytunnus

from service.errors import Conflict, Invalid, NotFound

Owner = Literal["organiser", "provider", "support"]
"""`support` is whoever runs the installation."""

LIVE_KEYS_MAX = 2  # one in use and the next one: that is what changing a key without a break needs
SUPPORT_KEYS_MAX = 20  # one a person, so that the audit log says who it was
KEY_NAME_MAX = 60
PROVIDER_NAME_MAX = 120
PERMISSIONS: dict[Owner, frozenset[str]] = {
    "organiser": frozenset({"decisions:write", "vouchers:read", "vouchers:write"}),
    "provider": frozenset({"vouchers:validate", "debits:write", "debits:read", "workers:write"}),
    "support": frozenset({"support:read", "support:write"}),
}


class ProviderUnknown(NotFound):
    """There is no provider of this business id."""

    code = "provider_unknown"


class KeyUnknown(NotFound):
    """There is no key of this id."""

    code = "key_unknown"


class ProviderDiffers(Conflict):
    """A provider of this business id is there already, under another name."""

    code = "provider_differs"


class TooManyKeys(Conflict):
    """Two live keys an owner, for changing from one to the next, or twenty for support; revoke one first."""

    code = "too_many_keys"


class BusinessIdInvalid(Invalid):
    """A Finnish business id (Y-tunnus) is seven digits, a hyphen and a check digit that matches."""

    code = "business_id_invalid"


class ProviderNameUnfit(Invalid):
    """A provider's name is 1–120 printable characters."""

    code = "provider_name_unfit"


class KeyNameUnfit(Invalid):
    """A key's name is 1–60 printable characters; never the key itself."""

    code = "key_name_unfit"


class KeyExpiryPast(Invalid):
    """A key that expires must expire in the future."""

    code = "key_expiry_past"


class PermissionUnknown(Invalid):
    """An owner of this kind cannot have such a permission; `permissions` lists those it can have."""

    code = "permission_unknown"


class OwnerAmbiguous(Invalid):
    """Name exactly one: an organiser, a provider or support; for an approval, an organiser or a region."""

    code = "owner_ambiguous"


class ApprovalDatesReversed(Invalid):
    """An approval cannot end before it begins."""

    code = "approval_dates_reversed"


@dataclass(frozen=True, slots=True)
class Provider:
    provider_id: UUID
    business_id: str
    name: str
    suspended_at: datetime | None


@dataclass(frozen=True, slots=True)
class Approval:
    """A provider may be paid for a programme by one organiser, or by every organiser of a region."""

    approval_id: UUID
    provider_id: UUID
    programme: str
    organiser_id: UUID | None
    region_id: UUID | None
    valid_from: date
    valid_to: date | None


@dataclass(frozen=True, slots=True)
class ApprovedProvider:
    """A provider with its approvals in words, as a list shows it."""

    provider: Provider
    approvals: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is known of a key afterwards: everything but the key."""

    key_id: UUID
    hint: str
    name: str
    permissions: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None

    def is_live(self, now: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > now)


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key at the one moment when it can be read."""

    key_id: UUID
    key: str = field(repr=False)
    hint: str


def parse_business_id(text: str) -> str:
    """`2077474-0`, from what a person typed (spaces, `FI` in front or a missing hyphen are forgiven).

    Raises BusinessIdInvalid.
    """
    compact = text.strip().upper().removeprefix("FI")
    try:
        return str(ytunnus.format(ytunnus.validate(compact)))
    except ValidationError:
        raise BusinessIdInvalid from None


def check_provider_name(name: str) -> None:
    """Raises ProviderNameUnfit."""
    if not _is_plain(name, PROVIDER_NAME_MAX):
        raise ProviderNameUnfit(max=PROVIDER_NAME_MAX)


def check_key_name(name: str) -> None:
    """Raises KeyNameUnfit."""
    if not _is_plain(name, KEY_NAME_MAX):
        raise KeyNameUnfit(max=KEY_NAME_MAX)


def check_approval_dates(valid_from: date, valid_to: date | None) -> None:
    """Raises ApprovalDatesReversed."""
    if valid_to is not None and valid_to < valid_from:
        raise ApprovalDatesReversed


def choose_permissions(owner: Owner, wanted: frozenset[str] | None) -> frozenset[str]:
    """The wanted permissions, or all that such an owner may have. Raises PermissionUnknown."""
    allowed = PERMISSIONS[owner]
    if wanted is None:
        return allowed
    if not wanted or not wanted <= allowed:
        raise PermissionUnknown(permissions=", ".join(sorted(allowed)))
    return wanted


def _is_plain(text: str, limit: int) -> bool:
    return 1 <= len(text) <= limit and text.isprintable() and text == text.strip()
