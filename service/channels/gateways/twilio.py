"""Text messages through Twilio's REST interface: sending, look-up, and what its codes and status words mean.

Twilio takes no idempotency key, so a repeat is a second text: whatever may have been accepted is Unknown. Only an
answer that says so, or a connection that was never made, is a refusal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Literal
from urllib.parse import urldefrag

import aiohttp
import structlog
from twilio.base.exceptions import TwilioException, TwilioRestException, TwilioServiceException
from twilio.request_validator import RequestValidator
from twilio.rest import Client

from service.channels.alike import Candidate, Sought, choose
from service.channels.gateway import (
    Absent,
    Accepted,
    Action,
    Answer,
    ChannelName,
    ContactFault,
    GatewayReceipt,
    LookUp,
    Outgoing,
    ReceiptMeaning,
    ReceiptState,
    Refused,
    SmsContent,
    Unknown,
)
from service.channels.gateways.twilio_http import AnswerGarbledError, SharedSessionClient

log = structlog.get_logger()

NAME = "twilio"

# Callbacks: 3 s to connect, up to 5 retries within 1.5 s each, whatever went wrong. All of them end within 15 s,
# so polling is still needed. Twilio keeps the fragment to itself; it is no part of the signed URL.
CALLBACK_RETRIES = "#ct=3000&rc=5&rt=1500&rp=all"
VALIDITY_S = 4 * 3600  # after that Twilio gives up a queued text instead of sending it in the night

LOOK_UP_LIMIT = 200
_PAGE_SIZE = 100

# Source: Twilio's error dictionary, and what peers learnt (GOV.UK Notify, the US VA, the 121 Platform).
ERROR_ACTIONS: Mapping[int, Action] = {
    code: action
    for action, codes in {
        # Throttled, unavailable, the sender's queue is full, maintenance: certainly not sent.
        Action.RETRY: (20429, 20503, 21611, 21730),
        # Queue overflow, congestion, carrier's rate or time-out; 30036: it outlived its ValidityPeriod.
        Action.RETRY_LATER: (30001, 30017, 30022, 30036, 30410, 30500),
        # Handset unreachable, unknown error.
        Action.RETRY_THEN_OTHER_CHANNEL: (30003, 30008),
        # Not valid, not mobile, landline, premium, unknown subscriber.
        Action.BAD_CONTACT: (21211, 21217, 21614, 21635, 21268, 30005, 30006),
        Action.OPTED_OUT: (21610,),
        Action.FILTERED: (30004, 30007),
        # Credentials, permissions, sender or service set-up …
        Action.PAUSE_GATEWAY: (
            *(20003, 20005, 21212, 21408, 21606, 21612, 21703, 21704, 21705, 21709),
            *(30002, 30018, 30024, 30042),
            # … and their like: wrong account or address, no or foreign sender, unusable callback address,
            # redaction asked for on an account that does not have it.
            *(20404, 21603, 21609, 21659, 21660, 30029, 30030),
        ),
        # Empty, or too long.
        Action.TEMPLATE_FAULT: (21602, 21617),
    }.items()
    for code in codes
}
# Of those that pause: a country that is not switched on, a sender that one country or carrier does not take. They may
# also mean everything, so they pause once, and then another message shows which it is.
ROUTE_CODES = frozenset({"21212", "21408", "21612", "30018", "30024"})
# Of those of BAD_CONTACT.
CONTACT_FAULTS: Mapping[str, ContactFault] = {
    **dict.fromkeys(("21268", "21614", "21635", "30006"), ContactFault.LANDLINE),
    "30005": ContactFault.NOT_IN_USE,
    **dict.fromkeys(("21211", "21217"), ContactFault.INVALID),
}
_NEVER_SENT = frozenset(code for code, action in ERROR_ACTIONS.items() if action is Action.RETRY)

# An answer without Twilio's JSON comes from something in front of it. These say that nothing was processed.
_SETUP_STATUSES = frozenset({301, 302, 307, 308, 401, 403, 404, 405, 407})

# What the SDK's parser raises when JSON has another shape than it takes for granted.
_PARSER_STUMBLES = (AttributeError, KeyError, RecursionError, TypeError, ValueError)

_STATES: Mapping[str, ReceiptState] = {
    "accepted": ReceiptState.ACCEPTED,
    "scheduled": ReceiptState.ACCEPTED,
    "queued": ReceiptState.ACCEPTED,
    "sending": ReceiptState.ACCEPTED,
    "sent": ReceiptState.SENT,
    "delivered": ReceiptState.DELIVERED,
    "read": ReceiptState.DELIVERED,
    "undelivered": ReceiptState.UNDELIVERED,
    "failed": ReceiptState.FAILED,
    "canceled": ReceiptState.FAILED,
}


class TwilioGateway:
    """Speaks to Twilio, or to what speaks like it at `base_url`. The session is shared and stays open.

    `sender` is a number, an alphanumeric sender or a MessagingServiceSid (MG…). Retention settings need Message
    Redaction on the account (else 30029, 30030); a look-up then cannot recognise a text, and says Unknown.
    """

    name = NAME
    channel: ChannelName = "sms"
    route_codes = ROUTE_CODES
    contact_faults = CONTACT_FAULTS

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        account_sid: str,
        auth_token: str,
        sender: str,
        base_url: str,
        status_url: Callable[[str], str],
        timeout_s: float,
        validity_s: int = VALIDITY_S,
        content_retention: Literal["retain", "discard"] | None = None,
        address_retention: Literal["retain", "obfuscate"] | None = None,
    ) -> None:
        http_client = SharedSessionClient(
            session, base_url=base_url, account_sid=account_sid, auth_token=auth_token, timeout_s=timeout_s
        )
        # A non-empty environment of its own: otherwise the SDK reads region and edge from the process's.
        client = Client(account_sid, auth_token, http_client=http_client, environment={"TWILIO_EDGE": ""})
        self._messages = client.api.v2010.account.messages
        self._status_url = status_url
        self._is_redacted = content_retention == "discard" or address_retention == "obfuscate"
        self._options: dict[str, Any] = {
            "messaging_service_sid" if sender.startswith("MG") else "from_": sender,
            "validity_period": validity_s,
            "smart_encoded": False,  # it would replace characters; our texts are lossless
        }
        if content_retention is not None:
            self._options["content_retention"] = content_retention
        if address_retention is not None:
            self._options["address_retention"] = address_retention

    async def send(self, outgoing: Outgoing) -> Answer:
        """Ask Twilio once to send the text. Source of the meanings: `ERROR_ACTIONS`."""
        if not isinstance(outgoing.content, SmsContent):
            raise TypeError("Twilio carries SmsContent")
        try:
            message = await self._messages.create_async(
                to=outgoing.recipient,
                body=outgoing.content.text,
                status_callback=self._status_url(outgoing.attempt_address) + CALLBACK_RETRIES,
                **self._options,
            )
        except (TwilioRestException, TwilioServiceException) as error:
            return _answer_to_error(error.status, error.code)
        except (aiohttp.ClientError, OSError, AnswerGarbledError, *_PARSER_STUMBLES) as error:
            return _answer_to_break(error)
        if not _is_plain(message.sid):
            return Unknown("no_reference")
        return Accepted(message.sid, parts=_parts(message.num_segments), status=_word(message.status), error_code=None)

    async def look_up(self, recipient: str, sought: Sought) -> LookUp:
        """Find the attempt's text by its SID, where we have it, or else by its words and its time.

        No filter by DateSent: it has a day's granularity, and is null while the text is queued.
        """
        try:
            messages = await self._messages.list_async(to=recipient, limit=LOOK_UP_LIMIT, page_size=_PAGE_SIZE)
        except (TwilioException, aiohttp.ClientError, OSError, AnswerGarbledError, *_PARSER_STUMBLES):
            return Unknown("look_up_failed")
        since = sought.since.replace(microsecond=0)  # Twilio's dates have whole seconds
        outbound = {message.sid: message for message in messages if _is_outbound_since(message, since)}
        if sought.reference is not None:
            found = outbound.get(sought.reference)
        else:
            free = [message for sid, message in outbound.items() if sid not in sought.taken]
            alike = [message for message in free if message.body and sought.is_ours(message.body)]
            chosen = choose([Candidate(message.sid, message.date_created or since) for message in alike], sought)
            found = outbound[chosen.reference] if chosen else None
            if found is None and (self._is_redacted or not all(message.body for message in free)):
                return Unknown("redacted")
        if found is not None:
            return _found(found)
        if len(messages) >= LOOK_UP_LIMIT:
            return Unknown("too_many_messages")
        return Absent()

    def meaning(self, status: str, error_code: str | None) -> ReceiptMeaning | None:
        """See `receipt_meaning`."""
        return receipt_meaning(status, error_code)

    async def close(self) -> None:
        """Nothing: the session belongs to whoever opened it."""


def receipt_meaning(status: str, error_code: str | None) -> ReceiptMeaning | None:
    """What Twilio's status and error code say of a text. None, and a line in the log, for a word not in the table."""
    state = _STATES.get(status)
    if state is None:
        log.error("gateway_status_unknown", gateway=NAME, status=status[:32])
        return None
    if state not in (ReceiptState.UNDELIVERED, ReceiptState.FAILED):
        return ReceiptMeaning(state)
    return ReceiptMeaning(state, _action(error_code))


def parse_receipt(form: Mapping[str, object]) -> GatewayReceipt | None:
    """The status report in the form of a callback; None when it is none. Check its signature first."""
    reference, status = form.get("MessageSid"), form.get("MessageStatus")
    error_code = form.get("ErrorCode") or None
    if not _is_plain(reference) or not _is_plain(status) or not (error_code is None or _is_plain(error_code)):
        return None
    return GatewayReceipt(str(reference), str(status), None if error_code is None else str(error_code))


def parse_inbound(form: Mapping[str, object]) -> tuple[str, str, str] | None:
    """(reference, sender, body) of a text that came in; None when it is none. Check its signature first."""
    reference, sender, body = form.get("MessageSid"), form.get("From"), form.get("Body", "")
    if not _is_plain(reference) or not isinstance(sender, str) or not sender or not isinstance(body, str):
        return None
    return str(reference), sender, body


def signature_is_valid(url: str, form: Mapping[str, object], signature: str, *, auth_token: str) -> bool:
    """True when Twilio signed exactly this form for exactly this public URL, as configured, not as requested.

    `form` holds every field, blank ones too, and may be a multidict.
    """
    if not all(isinstance(value, str) for value in form.values()):
        return False  # a file upload: Twilio sends none
    try:
        return bool(RequestValidator(auth_token).validate(urldefrag(url).url, form, signature))
    except UnicodeEncodeError:
        return False


def _answer_to_error(status: int, code: object) -> Answer:
    number = _number(code)
    if status == 429 or number in _NEVER_SENT:
        return Refused(str(number or status), Action.RETRY)
    if status >= 500 or status in (303, 408) or status < 300:
        return Unknown(f"http_{status}")
    if number == status or number is None:
        return Refused(f"http_{status}", Action.PAUSE_GATEWAY if status in _SETUP_STATUSES else Action.UNCLASSIFIED)
    return Refused(str(number), ERROR_ACTIONS.get(number, Action.UNCLASSIFIED))


def _answer_to_break(error: Exception) -> Answer:
    """Only what happened before a connection stood is certain; aiohttp says so by these types."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return Refused("certificate_refused", Action.PAUSE_GATEWAY)
    if isinstance(error, aiohttp.ClientConnectorError):
        return Refused("connect_failed", Action.RETRY)
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return Refused("connect_timeout", Action.RETRY)
    if isinstance(error, TimeoutError):
        return Unknown("timeout")
    if isinstance(error, (AnswerGarbledError, *_PARSER_STUMBLES)):
        return Unknown("garbled_answer")
    return Unknown("connection_lost")


def _action(code: object) -> Action:
    number = _number(code)
    return Action.UNCLASSIFIED if number is None else ERROR_ACTIONS.get(number, Action.UNCLASSIFIED)


def _found(message: Any) -> Accepted:
    return Accepted(
        message.sid,
        parts=_parts(message.num_segments),
        status=_word(message.status),
        error_code=None if message.error_code is None else str(message.error_code),
    )


def _number(code: object) -> int | None:
    text = str(code)
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 6 else None


def _parts(segments: object) -> int | None:
    """A messaging service answers 0 until it has chosen the sender: that is no count."""
    return _number(segments) or None


def _word(status: object) -> str | None:
    return status if isinstance(status, str) and _is_plain(status) else None


def _is_plain(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 64 and value.isascii() and value.replace("_", "a").isalnum()


def _is_outbound_since(message: Any, since: datetime) -> bool:
    is_since = message.date_created is None or message.date_created >= since
    return is_since and isinstance(message.sid, str) and not str(message.direction).startswith("inbound")
