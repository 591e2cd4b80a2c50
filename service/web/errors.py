"""Errors that arise at the HTTP edge itself, and the status that goes with every error."""

from __future__ import annotations

from service.errors import Invalid, Kind, NotFound, Refused, SeteliError

KIND_STATUS = {
    Kind.INVALID: 400,
    Kind.NOT_FOUND: 404,
    Kind.CONFLICT: 409,
    Kind.REFUSED: 422,
    Kind.UNAVAILABLE: 503,
}
# Where HTTP has a more telling status than the kind's.
CODE_STATUS = {
    "unauthenticated": 401,
    "forbidden": 403,
    "method_not_allowed": 405,
    "body_too_slow": 408,
    "body_too_large": 413,
    "not_json": 415,
    "credential_blocked": 429,
    "too_many_resends": 429,
    "internal_error": 500,
    "seal_key_missing": 500,
    "page_forbidden": 403,
    "form_expired": 403,
    "cross_site": 403,
}


class Unauthenticated(Invalid):
    """No key, or one that is mistyped, unknown, expired or revoked."""

    code = "unauthenticated"


class Forbidden(Refused):
    """The key is good but lacks the permission named in `permission`."""

    code = "forbidden"


class RouteNotFound(NotFound):
    """There is nothing at this address."""

    code = "route_not_found"


class MethodNotAllowed(Invalid):
    """This address does not take this method; `allowed` lists what it takes."""

    code = "method_not_allowed"


class NotJson(Invalid):
    """The body must be sent as application/json."""

    code = "not_json"


class BrokenHttp(Invalid):
    """What was sent is no HTTP, or has a line or a header that is longer than 8 KiB. Nothing of it was read."""

    code = "broken_http"


class BrokenJson(Invalid):
    """The body is not JSON, or not UTF-8."""

    code = "broken_json"


class BodyTooLarge(Invalid):
    """The body is larger than `max_bytes`."""

    code = "body_too_large"


class BodyTooSlow(Invalid):
    """The body did not arrive in time."""

    code = "body_too_slow"


class IdempotencyKeyMissing(Invalid):
    """This call moves money and needs an Idempotency-Key of 1–255 printable ASCII characters."""

    code = "idempotency_key_missing"


class IdempotencyKeyReserved(Invalid):
    """Keys that begin with `sms:` are those of charges by text message."""

    code = "idempotency_key_reserved"


class PageForbidden(Refused):
    """Whoever is signed in has a role that this page is not for."""

    code = "page_forbidden"


class FormExpired(Refused):
    """The form was made for another session than the one that it came from, or without any."""

    code = "form_expired"


class CrossSite(Refused):
    """The browser says that another site sent this form."""

    code = "cross_site"


class BrokenForm(Invalid):
    """The body is not a form, is cut off, or is not in the encoding that it claims."""

    code = "broken_form"


class InternalError(SeteliError):
    """A fault of ours; it is in the log. With an Idempotency-Key it is safe to repeat the request."""

    kind = Kind.UNAVAILABLE
    code = "internal_error"


class SealKeyMissing(SeteliError):
    """What was asked for is sealed under a key that this process lacks; the key's id is in the log."""

    kind = Kind.UNAVAILABLE
    code = "seal_key_missing"


EDGE_ERRORS: tuple[type[SeteliError], ...] = (BrokenJson, BodyTooLarge, BodyTooSlow, NotJson)


def status_of(error: SeteliError | type[SeteliError]) -> int:
    """The HTTP status of an error: its kind's, unless its code has a more telling one."""
    return CODE_STATUS.get(error.code, KIND_STATUS[error.kind])
