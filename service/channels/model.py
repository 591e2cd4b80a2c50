"""What a message is, the states it may be in, and every decision about where it goes next. Pure.

`LEGAL_MOVES` is the whole state machine; docs/delivery.md says why each move is there. A failure is two steps: what was
reported moves the message to `failed` or `undelivered` with the error's class as its reason, and `after_failure` then
decides whether to try again, use the other channel, or call a person. So a report is one guarded write, and a crash
between the steps loses nothing: the row is due.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from service.channels.gateway import (
    Accepted,
    Action,
    Answer,
    ChannelName,
    ContactFault,
    LookUp,
    ReceiptMeaning,
    ReceiptState,
    Refused,
    Unknown,
)


class MessageState(StrEnum):
    PENDING = "pending"
    SENDING = "sending"
    ACCEPTED = "accepted"
    SENT = "sent"
    DELIVERED = "delivered"
    UNDELIVERED = "undelivered"
    UNKNOWN = "unknown"
    FAILED = "failed"
    ESCALATED = "escalated"
    SUPPRESSED = "suppressed"


_S = MessageState

LEGAL_MOVES: Mapping[MessageState, frozenset[MessageState]] = {
    _S.PENDING: frozenset(
        # The last four by a receipt of an attempt that we had given up as lost.
        (_S.SENDING, _S.SUPPRESSED, _S.ESCALATED, _S.FAILED, _S.ACCEPTED, _S.SENT, _S.DELIVERED, _S.UNDELIVERED)
    ),
    _S.SENDING: frozenset((_S.ACCEPTED, _S.SENT, _S.DELIVERED, _S.UNDELIVERED, _S.FAILED, _S.UNKNOWN)),
    _S.UNKNOWN: frozenset((_S.ACCEPTED, _S.SENT, _S.DELIVERED, _S.UNDELIVERED, _S.FAILED, _S.PENDING, _S.ESCALATED)),
    _S.ACCEPTED: frozenset((_S.SENT, _S.DELIVERED, _S.UNDELIVERED, _S.FAILED)),
    _S.SENT: frozenset((_S.DELIVERED, _S.UNDELIVERED, _S.FAILED)),
    _S.UNDELIVERED: frozenset((_S.PENDING, _S.ESCALATED, _S.DELIVERED)),
    _S.FAILED: frozenset((_S.PENDING, _S.ESCALATED, _S.DELIVERED)),
    _S.ESCALATED: frozenset((_S.DELIVERED,)),
    _S.DELIVERED: frozenset(),
    _S.SUPPRESSED: frozenset(),
}

# Which of them a receipt may make: forward only, and never out of `delivered`.
RECEIPT_MOVES: tuple[tuple[MessageState, MessageState], ...] = tuple(
    (before, MessageState(said.value))
    for before, afters in LEGAL_MOVES.items()
    for said in ReceiptState
    if MessageState(said.value) in afters
)


class Reason(StrEnum):
    """Why a message is where it is, as stable words; what a caseworker is told is made from them.

    While a failure waits to be decided, the reason is the failure's `Action` instead.
    """

    NO_ANSWER = "no_answer"  # the gateway did not say whether it took the message
    LEASE_EXPIRED = "lease_expired"  # the process that sent it did not live to say what came of it
    RESENT = "resent"  # the gateway surely does not have it: sent again under the same id
    GATEWAY_DOWN = "gateway_down"  # nothing could be handed over until the deadline
    GATEWAY_PAUSED = "gateway_paused"  # a fault in the gateway's set-up
    NOT_ROUTABLE = "not_routable"  # the gateway carries others' messages, and refuses this one for its set-up
    NUMBER_CAP = "number_cap"  # the number has had as many texts within a day as one may get
    COUNTRY_NOT_SERVED = "country_not_served"  # no mobile number of a country on the allow-list
    CARRIER_TROUBLE = "carrier_trouble"
    UNREACHABLE = "unreachable"  # the phone was off or out of reach, each time
    BAD_CONTACT = "bad_contact"  # nobody said what is wrong with it
    BAD_CONTACT_LANDLINE = "bad_contact_landline"
    BAD_CONTACT_NOT_IN_USE = "bad_contact_not_in_use"
    BAD_CONTACT_INVALID = "bad_contact_invalid"
    OPTED_OUT = "opted_out"
    SUPPRESSED_CONTACT = "suppressed_contact"  # not tried: its contact must not be written to
    FILTERED = "filtered"
    SILENT = "silent"  # accepted, and never a word about delivery
    OFTEN_UNKNOWN = "often_unknown"  # tried several times, each time without knowing the outcome
    TEMPLATE_FAULT = "template_fault"
    CONTACT_UNREADABLE = "contact_unreadable"  # the sealed contact or code cannot be opened
    OBSOLETE = "obsolete"  # what it would tell is no longer valid
    UNCLASSIFIED = "unclassified"


_GIVEN_UP: Mapping[Action, Reason] = {
    Action.RETRY: Reason.GATEWAY_DOWN,
    Action.RETRY_LATER: Reason.CARRIER_TROUBLE,
    Action.RETRY_THEN_OTHER_CHANNEL: Reason.UNREACHABLE,
    Action.BAD_CONTACT: Reason.BAD_CONTACT,
    Action.OPTED_OUT: Reason.OPTED_OUT,
    Action.FILTERED: Reason.FILTERED,
    Action.PAUSE_GATEWAY: Reason.GATEWAY_PAUSED,
    Action.TEMPLATE_FAULT: Reason.TEMPLATE_FAULT,
    Action.UNCLASSIFIED: Reason.UNCLASSIFIED,
}

_CONTACT_FAULTS: Mapping[ContactFault, Reason] = {
    ContactFault.LANDLINE: Reason.BAD_CONTACT_LANDLINE,
    ContactFault.NOT_IN_USE: Reason.BAD_CONTACT_NOT_IN_USE,
    ContactFault.INVALID: Reason.BAD_CONTACT_INVALID,
}

DECIDED = frozenset(
    (
        Reason.SILENT,
        Reason.SUPPRESSED_CONTACT,
        Reason.GATEWAY_PAUSED,
        Reason.COUNTRY_NOT_SERVED,
        Reason.NUMBER_CAP,
    )
)
"""What is no class of error: trying the same again is of no use."""

DEADLINE_S: Mapping[ChannelName, int] = {"sms": 4 * 3600, "email": 24 * 3600}
"""From the first try to the other channel. E-mail gets longer: greylisting and full boxes clear within a day."""

MOST_UNKNOWNS: Mapping[ChannelName, int] = {"sms": 3, "email": 2}
"""Attempts of unknown outcome before a person decides. E-mail cannot be looked up, so it is resent once only."""

HAS_RECEIPTS: Mapping[ChannelName, bool] = {"sms": True, "email": False}
"""Whether the gateway tells of delivery and can be asked. After a mail server's 250 only a bounce may come."""

MOST_LOOK_UPS = 2
ANSWER_PRIORITY = 7
"""Of answers to texts: after every voucher, and not of the reserve that is kept for those when the budget is spent."""
CHARGE_ANSWER_PRIORITY = 6
"""Of what a worker is told of its charge: at the family's door it is waited for, and so few a day that it cannot spend
the reserve."""
PATIENT_PRIORITY = (
    8  # and higher: waits for the end of the quiet hours; a voucher does only in a file that nobody hurries
)
PAUSED_RETRY_S = 60.0  # behind the messages that wait, so that another one probes the gateway
MOST_PAUSES = 2
"""Pauses that one message may cause when it can be the message: one bad recipient must not keep all others waiting."""
_POLLS_S = (120.0, 600.0, 3600.0)  # after acceptance; then hourly


@dataclass(frozen=True, slots=True)
class Contacts:
    """With both, `preferred` is tried first and the other one is the other channel."""

    phone: str | None = field(default=None, repr=False)
    email: str | None = field(default=None, repr=False)
    preferred: ChannelName = "sms"


class NewMessage(NamedTuple):
    """One thing to tell someone. `fields` never hold a code or a contact: `secret_id` stands for those.

    A tuple, because imports make very many.
    """

    organiser_id: UUID
    kind: str
    subject_id: UUID
    secret_id: UUID | None
    fields: Mapping[str, str]
    language: str
    contacts: Contacts
    requested_by: str
    priority: int = 5


@dataclass(frozen=True, slots=True)
class Move:
    """Where a message goes next. `due_in_s` None: nothing is left to do."""

    state: MessageState
    due_in_s: float | None = None
    reason: str | None = None
    counts_as_try: bool = False
    uses_other_channel: bool = False
    pauses_gateway: bool = False
    ends_probe: bool = False  # it said nothing about the gateway: another message is to show how that is


def after_answer(answer: Answer, *, channel: ChannelName, unknown_wait_s: float) -> Move:
    """What the gateway's answer makes of a message that is being sent."""
    match answer:
        case Accepted():
            if HAS_RECEIPTS[channel]:
                return Move(MessageState.ACCEPTED, due_in_s=_POLLS_S[0])
            return Move(MessageState.SENT)
        case Refused(action=action):
            return Move(MessageState.FAILED, due_in_s=0, reason=action.value)
        case Unknown():
            return Move(MessageState.UNKNOWN, due_in_s=unknown_wait_s, reason=Reason.NO_ANSWER)


def after_receipt(meaning: ReceiptMeaning) -> Move:
    """What a receipt asks for; whether the message's present state allows it is for the guarded write to say."""
    state = MessageState(meaning.state.value)
    if meaning.action is not None:
        return Move(state, due_in_s=0, reason=meaning.action.value)
    return Move(state, due_in_s=None if state is MessageState.DELIVERED else _POLLS_S[0])


@dataclass(frozen=True, slots=True)
class Failure:
    """A message that was refused or not delivered, as far as the decision needs it."""

    state: MessageState
    channel: ChannelName
    reason: str  # an Action, or one of DECIDED
    tries: int
    has_other_channel: bool
    left_s: float  # until the deadline
    contact_fault: ContactFault | None = None
    pauses_caused: int = 0
    may_be_route: bool = False  # the error may concern this recipient or route only, and not the whole gateway
    others_pass: bool = False  # another message got through since this one was last refused for the set-up


def after_failure(failure: Failure, *, retry_in_s: float | None) -> Move:
    """Try again, use the other channel, or call a person. `retry_in_s` None: this class of error is tried no more."""
    if failure.reason in DECIDED:
        return _give_up(failure, Reason(failure.reason))
    action = action_of(failure.reason)
    if action is Action.PAUSE_GATEWAY:
        return _after_set_up_fault(failure)
    if action is Action.TEMPLATE_FAULT:  # the other channel's text comes from the same hands: a person looks
        return Move(MessageState.ESCALATED, reason=Reason.TEMPLATE_FAULT)
    if action is Action.UNCLASSIFIED:  # nobody knows yet what it means: parked until a person does
        return Move(MessageState.ESCALATED, reason=Reason.UNCLASSIFIED)
    if retry_in_s is not None and retry_in_s < failure.left_s:
        return Move(MessageState.PENDING, due_in_s=retry_in_s, reason=action.value, counts_as_try=True)
    if action is Action.BAD_CONTACT and failure.contact_fault is not None:
        return _give_up(failure, _CONTACT_FAULTS[failure.contact_fault])
    return _give_up(failure, _GIVEN_UP[action])


def _after_set_up_fault(failure: Failure) -> Move:
    """The gateway is paused and keeps the message, unless the fault turns out to be this message's alone."""
    is_suspect = failure.pauses_caused >= MOST_PAUSES
    if (failure.may_be_route and (failure.others_pass or is_suspect)) or (failure.others_pass and is_suspect):
        return replace(_give_up(failure, Reason.NOT_ROUTABLE), ends_probe=True)
    if failure.left_s > PAUSED_RETRY_S:
        reason = Reason.GATEWAY_PAUSED
        return Move(MessageState.PENDING, due_in_s=PAUSED_RETRY_S, reason=reason, pauses_gateway=True)
    return replace(_give_up(failure, Reason.GATEWAY_PAUSED), pauses_gateway=True)


def action_of(reason: str) -> Action:
    """The class of error that waits to be decided; one that this version does not know is unclassified."""
    return Action(reason) if reason in _GIVEN_UP else Action.UNCLASSIFIED


def _give_up(failure: Failure, reason: Reason) -> Move:
    if failure.has_other_channel:
        return Move(failure.state, reason=reason, uses_other_channel=True)
    return Move(MessageState.ESCALATED, reason=reason)


@dataclass(frozen=True, slots=True)
class Silence:
    """A message of which nothing has been heard for a while, as far as the decision needs it."""

    state: MessageState  # unknown, accepted or sent
    channel: ChannelName
    lookups: int
    unknowns: int
    accepted_s: float  # since the acceptance
    left_s: float  # until the deadline


def after_look_up(
    silence: Silence, found: LookUp, meaning: ReceiptMeaning | None, *, look_up_interval_s: float
) -> Move:
    """What a look at the gateway makes of a silent message. `meaning` is that of the status found, if any."""
    if isinstance(found, Accepted):
        if meaning is not None and MessageState(meaning.state.value) in LEGAL_MOVES[silence.state]:
            move = after_receipt(meaning)
            if move.state is not MessageState.SENT or silence.left_s > 0:
                return move
        if silence.state is MessageState.UNKNOWN:
            return Move(MessageState.ACCEPTED, due_in_s=_POLLS_S[0])
    if silence.state is not MessageState.UNKNOWN:
        return _keep_asking(silence)
    if isinstance(found, Unknown) and HAS_RECEIPTS[silence.channel]:
        if silence.left_s <= 0:
            return Move(MessageState.ESCALATED, reason=Reason.OFTEN_UNKNOWN)
        return Move(MessageState.UNKNOWN, due_in_s=look_up_interval_s, reason=Reason.NO_ANSWER)
    if HAS_RECEIPTS[silence.channel] and silence.lookups + 1 < MOST_LOOK_UPS:
        return Move(MessageState.UNKNOWN, due_in_s=look_up_interval_s, reason=Reason.NO_ANSWER)
    if silence.unknowns >= MOST_UNKNOWNS[silence.channel]:
        return Move(MessageState.ESCALATED, reason=Reason.OFTEN_UNKNOWN)
    return Move(MessageState.PENDING, due_in_s=0, reason=Reason.RESENT)


def _keep_asking(silence: Silence) -> Move:
    if silence.left_s <= 0:
        return Move(MessageState.UNDELIVERED, due_in_s=0, reason=Reason.SILENT)
    next_poll_s = next((at for at in _POLLS_S if at > silence.accepted_s), None)
    wait_s = _POLLS_S[-1] if next_poll_s is None else next_poll_s - silence.accepted_s
    return Move(silence.state, due_in_s=max(min(wait_s, silence.left_s), 1.0))
