"""A text on the phone network, and how Twilio's JSON and the sandbox's own JSON show it. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any


class Status(StrEnum):
    """Twilio's words for where a text is."""

    ACCEPTED = "accepted"  # by a messaging service, which has yet to choose the sender
    QUEUED = "queued"
    SENDING = "sending"
    SENT = "sent"
    DELIVERED = "delivered"
    UNDELIVERED = "undelivered"
    RECEIVED = "received"  # inbound only


FINAL = frozenset({Status.DELIVERED, Status.UNDELIVERED, Status.RECEIVED})
_NOT_SENT_YET = frozenset({Status.ACCEPTED, Status.QUEUED})

OUTBOUND = "outbound-api"
REPLY = "outbound-reply"
INBOUND = "inbound"


@dataclass(slots=True, kw_only=True)
class Text:
    """One text. The network alone changes it, and writes each change to the journal."""

    number: int
    """Position in the order of arrival, from 0."""
    sid: str
    to: str
    sender: str
    body: str
    encoding: str
    parts: int
    at: float
    """When the network took it, in seconds of the epoch."""
    status: Status
    direction: str = OUTBOUND
    messaging_service_sid: str | None = None
    callback: str | None = None
    hides_body: bool = False
    hides_number: bool = False
    sent_at: float | None = None
    updated_at: float = 0
    error_code: int | None = None
    deleted_at: float | None = None

    @property
    def is_inbound(self) -> bool:
        return self.direction == INBOUND

    @property
    def shown_to(self) -> str:
        """The recipient as the REST protocol shows it. Redaction (AddressRetention=obfuscate) begins once
        it is sent."""
        return self.to[:-4] + "XXXX" if self.hides_number and self.sent_at is not None else self.to


def to_record(text: Text) -> dict[str, Any]:
    """The journal's line about a new text; `from_record` reads it back."""
    return {"kind": "text", **{name: getattr(text, name) for name in Text.__slots__}}


def from_record(record: dict[str, Any]) -> Text:
    """The text of a journal's line."""
    fields = {name: record[name] for name in Text.__slots__}
    return Text(**{**fields, "status": Status(fields["status"])})


def to_twilio(text: Text, account_sid: str, *, status: Status) -> dict[str, Any]:
    """The text as Twilio's `api.v2010.account.message`.

    A messaging service chooses the sender only when it sends: until then `from` is null and `num_segments`
    "0".
    """
    is_sent = text.sent_at is not None
    has_sender = is_sent or text.messaging_service_sid is None
    uri = f"/2010-04-01/Accounts/{account_sid}/Messages/{text.sid}"
    return {
        "account_sid": account_sid,
        "api_version": "2010-04-01",
        "body": "" if text.hides_body and is_sent else text.body,
        "date_created": rfc2822(text.at),
        "date_sent": rfc2822(text.sent_at) if text.sent_at is not None else None,
        "date_updated": rfc2822(text.updated_at),
        "direction": text.direction,
        "error_code": text.error_code,
        "error_message": None,
        "from": text.sender if has_sender else None,
        "messaging_service_sid": text.messaging_service_sid,
        "num_media": "0",
        "num_segments": str(text.parts) if has_sender else "0",
        "price": None,
        "price_unit": "EUR",
        "sid": text.sid,
        "status": status.value,
        "subresource_uris": {"media": f"{uri}/Media.json"},
        "to": text.shown_to,
        "uri": f"{uri}.json",
    }


def to_plain(text: Text, *, status: Status) -> dict[str, Any]:
    """The text as scripts read it: what really reached the phone, redaction or not."""
    plain: dict[str, Any] = {
        "sid": text.sid,
        "to": text.to,
        "from": text.sender,
        "body": text.body,
        "encoding": text.encoding,
        "parts": text.parts,
        "status": status.value,
        "at": iso(text.at),
    }
    if text.error_code is not None:
        plain["error_code"] = text.error_code
    if text.deleted_at is not None:
        plain["deleted_at"] = iso(text.deleted_at)
    return plain


def status_at(text: Text, now: float, *, sending_after_s: float) -> Status:
    """The status to show at `now`. `sending` is passed through without a report, so nothing stores it."""
    if text.status in _NOT_SENT_YET and now - text.at >= sending_after_s:
        return Status.SENDING
    return text.status


def iso(at: float) -> str:
    """Seconds of the epoch as ISO 8601 in UTC, with milliseconds."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def rfc2822(at: float) -> str:
    """Seconds of the epoch as Twilio's dates, e.g. `Thu, 24 Aug 2023 05:01:45 +0000`."""
    return _rfc2822_second(int(at))


@lru_cache(maxsize=4096)
def _rfc2822_second(second: int) -> str:
    return format_datetime(datetime.fromtimestamp(second, UTC))
