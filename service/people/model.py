"""People, roles and sessions as values, with their errors and the rules of locking out. Pure: no I/O, no clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from service.errors import Conflict, Invalid, NotFound, Refused, Unavailable

Owner = Literal["organiser", "provider"]
Stage = Literal["second_factor", "enrol", "full"]
LinkKind = Literal["invitation", "recovery"]

# What each role may do, in the words of the API's permissions.
_CASEWORK = frozenset({"decisions:write", "vouchers:read", "vouchers:write"})
_CHARGING = frozenset({"vouchers:validate", "debits:write", "debits:read"})
PERMISSIONS: Mapping[str, frozenset[str]] = {
    "worker": _CHARGING,
    "office": _CHARGING | {"workers:write"},
    "provider_admin": _CHARGING | {"workers:write", "people:write"},
    "caseworker": _CASEWORK,
    "supervisor": _CASEWORK | {"vouchers:approve"},
    "organiser_admin": _CASEWORK | {"vouchers:approve", "people:write"},
}
ROLES: Mapping[Owner, tuple[str, ...]] = {
    "provider": ("worker", "office", "provider_admin"),
    "organiser": ("caseworker", "supervisor", "organiser_admin"),
}
ADMINS = frozenset({"provider_admin", "organiser_admin"})
PROVIDER_ROLES = frozenset(ROLES["provider"])
ORGANISER_ROLES = frozenset(ROLES["organiser"])
ALL_ROLES = PROVIDER_ROLES | ORGANISER_ROLES

NAME_MAX = 60
PASSWORD_MIN = 12  # NIST SP 800-63B asks for 8 with a second factor; length is what helps
PASSWORD_MAX = 256
PASSKEYS_MAX = 10
RECOVERY_CODES = 10

IDLE = timedelta(minutes=30)
"""How long a session lives without a request; a worker's phone is put away between visits, so theirs is longer."""
IDLE_OF_ROLE: Mapping[str, timedelta] = {"worker": timedelta(hours=12)}
ABSOLUTE = timedelta(hours=12)
"""How long it lives at most: one working day (NIST SP 800-63B, AAL2: 24 hours)."""
UNFINISHED = timedelta(minutes=15)
"""How long one may take between the password and the second factor."""
LINK_LIVES: Mapping[LinkKind, timedelta] = {"invitation": timedelta(days=7), "recovery": timedelta(hours=1)}

# Wrong tries cost time, more with each: five are free, then 30 s, doubled up to an hour. Forgotten after a day.
FREE_FAILURES = 5
FREE_FAILURES_OF_ADDRESS = 30  # an office shares one address
FIRST_DELAY_S = 30
LONGEST_DELAY_S = 3600
FORGOTTEN_AFTER = timedelta(days=1)


class SignInFailed(Refused):
    """E-mail address and password do not belong together, or nobody has the address: one answer for both."""

    code = "sign_in_failed"


class SignInBlocked(Refused):
    """Too many wrong tries; the next one is looked at after `retry_after_s`."""

    code = "sign_in_blocked"


class SecondFactorWrong(Refused):
    """The one-time code is wrong, too old, or has been used."""

    code = "second_factor_wrong"


class PasskeyRefused(Refused):
    """The browser's answer does not prove that the passkey is there."""

    code = "passkey_refused"


class RecoveryCodeWrong(Refused):
    """No such recovery code, or it has been used."""

    code = "recovery_code_wrong"


class SignInUnfinished(Refused):
    """Too long between two steps of signing in, or in another browser: begin again."""

    code = "sign_in_unfinished"


class LinkUnknown(NotFound):
    """The mailed link was used, replaced, has expired, or never was."""

    code = "link_unknown"


class PasswordTooShort(Invalid):
    """A password has at least `min` characters."""

    code = "password_too_short"


class PasswordTooLong(Invalid):
    """A password has at most `max` characters."""

    code = "password_too_long"


class PasswordCommon(Invalid):
    """The password is among those that are tried first, or is made of the person's own name or address."""

    code = "password_common"


class PersonNameUnfit(Invalid):
    """A name is 1–60 printable characters."""

    code = "person_name_unfit"


class RoleUnfit(Invalid):
    """Such an owner's people have no such role; `roles` lists those they have."""

    code = "role_unfit"


class EmailTaken(Conflict):
    """Somebody signs in with this e-mail address already."""

    code = "email_taken"


class PersonUnknown(NotFound):
    """There is no such person here."""

    code = "person_unknown"


class OwnAccount(Refused):
    """Admins remove, and reset the second factor of, other people only; never themselves."""

    code = "own_account"


class LastSecondFactor(Refused):
    """The last second factor cannot be removed: nobody signs in without one."""

    code = "last_second_factor"


class TooManyPasskeys(Conflict):
    """A person has at most `max` passkeys."""

    code = "too_many_passkeys"


class PasskeyUnknown(NotFound):
    """There is no such passkey here."""

    code = "passkey_unknown"


class SessionUnknown(NotFound):
    """There is no such session here, or it has ended."""

    code = "session_unknown"


class OidcRefused(Refused):
    """The other service's answer is not one to our question, or names nobody who was invited."""

    code = "oidc_refused"


class OidcUnavailable(Unavailable):
    """The other service for signing in is not set up, or does not answer."""

    code = "oidc_unavailable"


@dataclass(frozen=True, slots=True)
class Person:
    person_id: UUID
    owner: Owner
    owner_id: UUID
    role: str
    name: str
    language: str
    email_hint: str | None
    has_password: bool
    has_totp: bool
    passkeys: int
    created_at: datetime
    disabled_at: datetime | None
    last_seen_at: datetime | None = None

    @property
    def has_second_factor(self) -> bool:
        return self.has_totp or self.passkeys > 0


@dataclass(frozen=True, slots=True)
class LiveSession:
    """One of a person's sessions, as the person sees it."""

    session_id: UUID
    user_agent: str
    created_at: datetime
    last_seen_at: datetime


def check_name(name: str) -> None:
    """Raises PersonNameUnfit."""
    if not (1 <= len(name) <= NAME_MAX and name.isprintable() and name == name.strip()):
        raise PersonNameUnfit(max=NAME_MAX)


def check_role(owner: Owner, role: str) -> None:
    """Raises RoleUnfit."""
    if role not in ROLES[owner]:
        raise RoleUnfit(roles=", ".join(ROLES[owner]))


def delay_s(failures: int, free: int) -> int:
    """How long after so many wrong tries the next one is not looked at."""
    if failures < free:
        return 0
    doublings = min(failures - free, 20)
    return int(min(FIRST_DELAY_S * 2**doublings, LONGEST_DELAY_S))


def session_ends_at(*, stage: Stage, role: str, created_at: datetime, last_seen_at: datetime) -> datetime:
    """When a session ends by itself, if nothing more is heard of it."""
    if stage != "full":
        return created_at + UNFINISHED
    return min(created_at + ABSOLUTE, last_seen_at + IDLE_OF_ROLE.get(role, IDLE))
