"""What the phone network refuses, in Twilio's words: error codes, magic numbers, and the check of a request.

Source of codes: Twilio's error dictionary and "magic input" of its test credentials.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

BODY_MAX_CHARACTERS = 1600
VALIDITY_MAX_S = 36_000


class Refusal(Exception):
    """Twilio's error `code`, its HTTP status and its sentence."""

    def __init__(self, code: int) -> None:
        self.code = code
        self.status, self.message = _REFUSALS.get(code, (400, "The request was refused."))
        super().__init__(str(code))

    def to_json(self) -> dict[str, object]:
        """Twilio's JSON of an error."""
        return {
            "code": self.code,
            "message": self.message,
            "more_info": f"https://www.twilio.com/docs/errors/{self.code}",
            "status": self.status,
        }


_REFUSALS = {
    20001: (400, "Unknown parameters"),
    20003: (401, "Authenticate"),
    20004: (405, "Method not allowed"),
    20005: (403, "Account is not active"),
    20404: (404, "The requested resource was not found"),
    20429: (429, "Too many requests"),
    20500: (500, "An internal server error has occurred"),
    20503: (503, "Service is unavailable. Please try again."),
    21211: (400, "Invalid 'To' Phone Number"),
    21212: (400, "Invalid 'From' Phone Number"),
    21408: (
        403,
        "Permission to send an SMS has not been enabled for the region indicated by the 'To' number",
    ),
    21602: (400, "Message body is required."),
    21603: (400, "A 'From' phone number is required."),
    21604: (400, "A 'To' phone number is required."),
    21606: (400, "The 'From' phone number is not a valid, SMS-capable Twilio phone number for your account."),
    21609: (400, "Invalid 'StatusCallback' URL."),
    21610: (400, "Attempt to send to unsubscribed recipient"),
    21611: (429, "This 'From' number has exceeded the maximum number of queued messages"),
    21612: (400, "Message cannot be sent with the current combination of 'To' and/or 'From' parameters"),
    21614: (400, "'To' number is not a valid mobile number"),
    21617: (400, "The concatenated message body exceeds the 1600 character limit"),
    21701: (404, "The messaging service does not exist"),
    21703: (400, "The Messaging Service does not have a phone number available to send a message"),
}

MAGIC_TO = {
    "+15005550001": 21211,
    "+15005550002": 21612,
    "+15005550003": 21408,
    "+15005550004": 21610,
    "+15005550009": 21614,
}
MAGIC_FROM = {"+15005550001": 21212, "+15005550007": 21606, "+15005550008": 21611}

# Taken, then `undelivered` with this code: 040 00 3000x, chosen so that the last digits are the code.
UNDELIVERABLE = {
    "+358400030003": 30003,
    "+358400030005": 30005,
    "+358400030006": 30006,
    "+358400030007": 30007,
}

_E164 = re.compile(r"\+[1-9]\d{6,14}")
_SENDER_NAME = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9 +&_-]{1,11}")
_SHORT_CODE = re.compile(r"\d{3,6}")
_SERVICE_SID = re.compile(r"MG[0-9a-fA-F]{32}")
_PUNCTUATION = str.maketrans("", "", " -().\u00a0")


@dataclass(frozen=True, slots=True)
class CreateRequest:
    """A text handed in, checked."""

    to: str
    sender: str | None
    messaging_service_sid: str | None
    body: str
    callback: str | None
    hides_body: bool
    hides_number: bool


def check_create(form: Mapping[str, str]) -> CreateRequest:
    """Check a form of `POST …/Messages.json`; the written order decides between several errors. Raises
    Refusal."""
    to = _checked_to(form.get("To", ""))
    service = form.get("MessagingServiceSid") or None
    if service is not None and not _SERVICE_SID.fullmatch(service):
        raise Refusal(21701)
    sender = _checked_sender(form.get("From", ""), has_service=service is not None)
    body = form.get("Body", "")
    if not body:
        raise Refusal(21602)
    if len(body) > BODY_MAX_CHARACTERS:
        raise Refusal(21617)
    callback = form.get("StatusCallback") or None
    if callback is not None and not callback.startswith(("http://", "https://")):
        raise Refusal(21609)
    if not _is_validity(form.get("ValidityPeriod", "36000")):
        raise Refusal(20001)
    return CreateRequest(
        to=to,
        sender=sender,
        messaging_service_sid=service,
        body=body,
        callback=callback,
        hides_body=_choice(form, "ContentRetention", "discard"),
        hides_number=_choice(form, "AddressRetention", "obfuscate"),
    )


def plain_number(written: str) -> str:
    """A number as people and query strings write it (`+` turned into a space there), in E.164 where it can
    be."""
    digits = written.translate(_PUNCTUATION)
    return f"+{digits}" if digits.isdigit() and written.startswith(" ") else digits


def _checked_to(written: str) -> str:
    if not written.strip():
        raise Refusal(21604)
    to = written.translate(_PUNCTUATION)
    if not _E164.fullmatch(to):
        raise Refusal(21211)
    if to in MAGIC_TO:
        raise Refusal(MAGIC_TO[to])
    return to


def _checked_sender(sender: str, *, has_service: bool) -> str | None:
    if not sender:
        if has_service:
            return None
        raise Refusal(21603)
    if sender in MAGIC_FROM:
        raise Refusal(MAGIC_FROM[sender])
    if not any(pattern.fullmatch(sender) for pattern in (_E164, _SENDER_NAME, _SHORT_CODE)):
        raise Refusal(21212)
    return sender


def _choice(form: Mapping[str, str], name: str, yes: str) -> bool:
    value = form.get(name, "retain")
    if value not in ("retain", yes):
        raise Refusal(20001)
    return value == yes


def _is_validity(seconds: str) -> bool:
    return seconds.isascii() and seconds.isdigit() and len(seconds) < 9 and 1 <= int(seconds) <= VALIDITY_MAX_S
