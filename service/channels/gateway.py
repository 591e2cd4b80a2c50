"""The contract between the dispatcher and whoever carries messages. Pure.

A gateway never raises for trouble on the network or at the other end: it answers. The three answers are the
heart of "nothing lost, nothing repeated": Accepted and Refused are certain, everything else is Unknown, above
all a time-out. Answers carry codes and fixed words, never what the other end wrote: that may repeat the
recipient or the body, and answers are stored and logged (I6).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, Protocol, runtime_checkable
from uuid import UUID

from service.channels.alike import Sought

ChannelName = Literal["sms", "email"]


class Action(StrEnum):
    """What a refusal or a failed delivery asks of the dispatcher."""

    RETRY = "retry"
    """Nothing was sent, the trouble is short: again soon, with back-off and jitter."""
    RETRY_LATER = "retry_later"
    """Nothing was delivered, the trouble lasts: again after minutes, a few times."""
    RETRY_THEN_OTHER_CHANNEL = "retry_then_other_channel"
    """The handset did not take it: two delayed tries, then the other channel."""
    BAD_CONTACT = "bad_contact"
    """This contact will never work: flag it, use the other channel."""
    OPTED_OUT = "opted_out"
    """The recipient has said STOP: suppress until START, use the other channel."""
    FILTERED = "filtered"
    """A carrier blocks this text: never the same again, other channel, alert on the rate."""
    PAUSE_GATEWAY = "pause_gateway"
    """Credentials, sender or service are set up wrong: pause, page staff, keep the messages."""
    TEMPLATE_FAULT = "template_fault"
    """The text itself cannot be sent: a fault of ours, fail loudly."""
    UNCLASSIFIED = "unclassified"
    """A code that no table knows: failed, and someone should look."""


@dataclass(frozen=True, slots=True)
class SmsContent:
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Image:
    content_id: str
    """Without angle brackets; the HTML shows it as `cid:<content_id>`."""
    content_type: str
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class EmailContent:
    subject: str = field(repr=False)
    text: str = field(repr=False)
    html: str = field(repr=False)
    images: tuple[Image, ...] = ()
    message_id: str = ""
    """The message's own id, the left side of Message-ID: a repeat of the same message carries the same."""


Content = SmsContent | EmailContent


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One attempt. `attempt_address` finds it again from a receipt (see `attempt_address`)."""

    attempt_address: str
    recipient: str = field(repr=False)
    content: Content


@dataclass(frozen=True, slots=True)
class Accepted:
    """The gateway has it and named it.

    A look-up also fills `status` and `error_code`, in the gateway's own words, which `Gateway.meaning` reads
    like a receipt's: no receipt may ever come.
    """

    reference: str
    parts: int | None = None
    status: str | None = None
    error_code: str | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """The gateway certainly did not send it. `detail` is one of our words, never the gateway's sentence."""

    code: str
    action: Action
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Unknown:
    """It may have been sent, or not. `reason` is one of our own words."""

    reason: str


@dataclass(frozen=True, slots=True)
class Absent:
    """The gateway shows all that it has for this recipient, and ours is not among it."""


Answer = Accepted | Refused | Unknown
LookUp = Accepted | Absent | Unknown


class Gateway(Protocol):
    """Safe for concurrent use. Only cancellation and programming errors come out as exceptions."""

    @property
    def name(self) -> str: ...

    @property
    def channel(self) -> ChannelName: ...

    async def send(self, outgoing: Outgoing) -> Answer:
        """Hand over one message, within its own time-out. What may have been sent is never repeated."""
        ...

    async def look_up(self, recipient: str, sought: Sought) -> LookUp:
        """What the gateway knows of one attempt: of unknown outcome, or accepted and not heard of again.

        Several texts to this recipient may say the same: `alike.choose` tells which it is. Absent is only answered when
        it is certain.
        """
        ...

    def meaning(self, status: str, error_code: str | None) -> ReceiptMeaning | None:
        """What one of this gateway's status words says; None, with an alert, when it is not in its table."""
        ...

    async def close(self) -> None:
        """Close what this gateway opened. Idempotent."""
        ...


@runtime_checkable
class RoutedGateway(Gateway, Protocol):
    """A gateway some of whose set-up faults may concern one recipient or route, and leave all others alone."""

    @property
    def route_codes(self) -> frozenset[str]: ...


class ContactFault(StrEnum):
    """What is wrong with a number that can get no texts: what the family is asked for depends on it."""

    LANDLINE = "landline"  # or a service number: none of these takes texts
    NOT_IN_USE = "not_in_use"
    INVALID = "invalid"


@runtime_checkable
class DiscerningGateway(Gateway, Protocol):
    """A gateway whose codes of BAD_CONTACT tell what is wrong with it."""

    @property
    def contact_faults(self) -> Mapping[str, ContactFault]: ...


class ReceiptState(StrEnum):
    """What a receipt can say. The words are message states; `accepted` is everything before `sent`."""

    ACCEPTED = "accepted"
    SENT = "sent"
    DELIVERED = "delivered"
    UNDELIVERED = "undelivered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ReceiptMeaning:
    """`action` is set exactly when the state is `undelivered` or `failed`."""

    state: ReceiptState
    action: Action | None = None


@dataclass(frozen=True, slots=True)
class GatewayReceipt:
    """One status report, in the gateway's own words."""

    reference: str
    status: str
    error_code: str | None = None


_ADDRESS_LENGTH = 64


def attempt_address(organiser_id: UUID, token: UUID) -> str:
    """Where receipts of one attempt come in: 64 hexadecimal characters, unguessable by the token."""
    return f"{organiser_id.hex}{token.hex}"


def parse_attempt_address(text: str) -> tuple[UUID, UUID] | None:
    """(organiser, token), or None when the text was not made by `attempt_address`."""
    if len(text) != _ADDRESS_LENGTH or not set(text) <= set("0123456789abcdef"):
        return None
    return UUID(hex=text[:32]), UUID(hex=text[32:])
