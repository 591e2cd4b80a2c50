"""Every error that crosses a module border, each with a stable code and one of five kinds.

SeteliError
├── Invalid       the request itself is wrong; the same request will never succeed          400
├── NotFound      no such thing for this caller, whoever else may own it                    404
├── Conflict      the request contradicts what is already there or under way                409
├── Refused       the request is well formed, a rule says no                                422
└── Unavailable   something we need is down or silent; the same request may succeed later   503

A noun's own errors are subclasses in its `model`; the table above is the only place where kinds are invented. The
docstring of an error is its message for programmers; the sentences that people read are in `templates/problems/`,
under the error's code. `details` go into the answer: never put a code, a contact or a key there (I6).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import ClassVar


class Kind(StrEnum):
    INVALID = "invalid"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    REFUSED = "refused"
    UNAVAILABLE = "unavailable"


Detail = str | int | bool | None | list[str] | list[dict[str, str]]


class SeteliError(Exception):
    """Something that the caller is told by a stable code."""

    kind: ClassVar[Kind]
    code: ClassVar[str]

    def __init__(self, **details: Detail) -> None:
        super().__init__(self.code)
        self.details: Mapping[str, Detail] = details


class Invalid(SeteliError):
    kind = Kind.INVALID


class NotFound(SeteliError):
    kind = Kind.NOT_FOUND


class Conflict(SeteliError):
    kind = Kind.CONFLICT


class Refused(SeteliError):
    kind = Kind.REFUSED


class Unavailable(SeteliError):
    kind = Kind.UNAVAILABLE


class InvalidRequest(Invalid):
    """A field is missing, unknown, of the wrong type or out of range; `fields` lists which and why."""

    code = "invalid_request"


class IdempotencyKeyReused(Refused):
    """The same Idempotency-Key came earlier with another request (IETF idempotency-key draft, §2.6)."""

    code = "idempotency_key_reused"


class RequestInFlight(Conflict):
    """The row or the Idempotency-Key is being worked on by another request right now; try again."""

    code = "request_in_flight"


class DatabaseUnavailable(Unavailable):
    """The database cannot be reached, or did not answer; nothing is known to have changed."""

    code = "database_unavailable"


class SchemaOutOfDate(Unavailable):
    """The database lacks tables or functions that this version needs: run `python -m service migrate`."""

    code = "schema_out_of_date"


class OutcomeUnknown(Unavailable):
    """The connection was lost after the request was sent: it may have succeeded. Repeat it with the same key."""

    code = "outcome_unknown"
