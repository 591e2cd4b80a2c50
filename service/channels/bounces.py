"""Bounces: where they come back to, which attempt they are about, and what they say (RFC 3464). Pure.

The envelope's sender carries the attempt (VERP): `bounce+<52 letters and digits>@county.example`. The token is the
organiser's id and the attempt's 122 random bits, in base32, since a local part has 64 characters at most and some
servers fold its case. Only who got the mail knows it, so a forged report touches nothing but the forger's own mail.
A report never pauses the gateway: any recipient could write one.

Action and Status are read here and not by a library: those that were tried take a mailbox that was full until the
queue gave up (4.2.2, `failed`) for one that does not exist.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesParser
from email.policy import compat32
from enum import StrEnum
from uuid import UUID

from service.channels.gateway import Action, parse_attempt_address

MAIL_MAX_BYTES = 1024 * 1024
"""More of a mail is never looked at: what a report says comes before the mail it returns."""

_TOKEN = re.compile(r"\+([a-z2-7]{52})(?=[@>\s]|$)", re.IGNORECASE)
_ENVELOPE_ID = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])", re.IGNORECASE)
_STATUS = re.compile(r"\b([245]\.\d{1,3}\.\d{1,3})\b")
_REPLY_CODE = re.compile(r"\b(5[05][0-9])\b")
_MESSAGE_ID = re.compile(r"<([!-;=?-~]{1,200})>")
_NO_DETAIL = frozenset(("", "5.0.0", "4.0.0"))
_BLOCKS_MAX = 50
_FIELD_MAX = 2000

_REPORTS = ("message/delivery-status", "message/global-delivery-status")  # the second is RFC 6533's
_RETURNED = ("message/rfc822", "text/rfc822-headers", "message/global", "message/global-headers")
# Where the address that the report was sent to may stand.
_ADDRESS_FIELDS = ("X-Original-To", "Delivered-To", "Envelope-To", "To", "Cc", "Resent-To")


class Said(StrEnum):
    """What a report says has become of the mail; stored as the receipt's status."""

    DELIVERED = "delivered"
    BOUNCED = "bounced"
    RELAYED = "relayed"  # handed to a server that does not tell more
    DELAYED = "delayed"


_SAID: Mapping[str, Said] = {
    "failed": Said.BOUNCED,
    "delivered": Said.DELIVERED,
    "delayed": Said.DELAYED,
    "relayed": Said.RELAYED,
    "expanded": Said.RELAYED,
}
_SAID_BY_CLASS: Mapping[str, Said] = {"5": Said.BOUNCED, "4": Said.DELAYED, "2": Said.DELIVERED}
_PRECEDENCE = tuple(Said)  # one mailbox that has it is enough; a delay is only news while nothing is final


# What a failure asks for: RFC 3463, 6710, 7372, 7505 and the IANA registry. The longest beginning that fits decides.
# BAD_CONTACT is the address's own fault and ends in its suppression, so what may be a slip of its server is not that.
_ACTIONS: Mapping[str, Action] = {
    "4": Action.RETRY_LATER,  # `failed` with 4.x.x: a queue gave up on trouble that passes
    "5.1": Action.BAD_CONTACT,  # .1 no such mailbox, .2 no such domain, .3 no address, .6 moved, .10 takes no mail
    "5.1.7": Action.FILTERED,  # 5.1.7 to 5.1.9 speak of the sender's address and server
    "5.1.8": Action.FILTERED,
    "5.1.9": Action.FILTERED,
    "5.2": Action.BAD_CONTACT,  # .1 disabled
    "5.2.2": Action.RETRY_LATER,  # full
    "5.2.3": Action.FILTERED,  # too big for this mailbox
    "5.3": Action.RETRY_LATER,  # the receiving system
    "5.3.4": Action.FILTERED,  # too big for this system
    "5.4": Action.RETRY_LATER,  # network, routing, names that are not found
    "5.4.1": Action.BAD_CONTACT,  # Exchange Online: no such recipient
    "5.6": Action.FILTERED,
    "5.7": Action.FILTERED,  # policy, ours or theirs: not the address's fault
    "550": Action.BAD_CONTACT,
    "551": Action.BAD_CONTACT,
    "552": Action.RETRY_LATER,
    "553": Action.BAD_CONTACT,
    "554": Action.FILTERED,
}


def action_after_bounce(code: str | None) -> Action:
    """What a status (`5.1.1`) or a bare reply code (`550`) of a mail that bounced asks for."""
    beginning = code or ""
    while beginning:
        if beginning in _ACTIONS:
            return _ACTIONS[beginning]
        beginning = beginning.rpartition(".")[0]
    return Action.UNCLASSIFIED


@dataclass(frozen=True, slots=True)
class Bounce:
    """A report about one of our attempts, in our own words and codes: nothing here repeats an address."""

    organiser_id: UUID
    token: UUID
    said: Said
    code: str | None  # `5.1.1`, or a bare reply code when there is no better
    message_id: str | None  # of the mail returned, without brackets


class NoBounce(StrEnum):
    """Why a mail is not acted on."""

    AUTO_REPLY = "auto_reply"
    NO_REPORT = "no_report"
    NO_ATTEMPT = "no_attempt"  # a report, but not to an address of ours
    UNREADABLE = "unreadable"


def bounce_token(organiser_id: UUID, token: UUID) -> str:
    """52 characters of base32, lower case; unguessable by the token."""
    return base64.b32encode(organiser_id.bytes + token.bytes).decode().rstrip("=").lower()


def bounce_address(address: str, attempt: str) -> str:
    """`bounce@county.example` and an attempt's address → the envelope's sender. Raises ValueError."""
    parsed = parse_attempt_address(attempt)
    if parsed is None:
        raise ValueError("not an attempt's address")
    local_part, _, domain = address.rpartition("@")
    return f"{local_part}+{bounce_token(*parsed)}@{domain}"


def parse_bounce_token(text: str) -> tuple[UUID, UUID] | None:
    """(organiser, token) of the first bounce address in a text, whatever its case and wrapping; else None."""
    for found in _TOKEN.finditer(text):
        try:
            decoded = base64.b32decode(found[1].upper() + "====")
        except binascii.Error:
            continue
        organiser_id, token = UUID(bytes=decoded[:16]), UUID(bytes=decoded[16:])
        if bounce_token(organiser_id, token) == found[1].lower():  # one spelling only
            return organiser_id, token
    return None


def read_bounce(raw: bytes, *, recipients: Sequence[str] = ()) -> Bounce | NoBounce:
    """What a mail to a bounce address says. `recipients` are the envelope's, when the mail server tells.

    Any bytes will do; those past MAIL_MAX_BYTES are not looked at.
    """
    try:
        return _read(BytesParser(policy=compat32).parsebytes(raw[:MAIL_MAX_BYTES]), recipients)
    except (RecursionError, ValueError, LookupError, TypeError, AttributeError):
        # What the standard library's parser raises for mails that are made to harm, or only broken.
        return NoBounce.UNREADABLE


def _read(mail: Message, recipients: Sequence[str]) -> Bounce | NoBounce:
    report = _part(mail, _REPORTS)
    if report is None:
        return NoBounce.AUTO_REPLY if _is_automatic(mail) else NoBounce.NO_REPORT
    blocks = _blocks(report)
    told = [told for block in blocks if (told := _told(block)) is not None]
    if not told:
        return NoBounce.UNREADABLE
    attempt = _attempt(mail, blocks, recipients)
    if attempt is None:
        return NoBounce.NO_ATTEMPT
    said, code = min(told, key=lambda one: _PRECEDENCE.index(one[0]))
    return Bounce(*attempt, said=said, code=code, message_id=_returned_message_id(mail))


def _part(mail: Message, types: Sequence[str]) -> Message | None:
    """The direct part of one of these types: deeper down is somebody else's report, forwarded."""
    if not mail.is_multipart() or mail.get_content_maintype() != "multipart":
        return None
    parts = mail.get_payload()
    return next(
        (part for part in parts if isinstance(part, Message) and part.get_content_type() in types),
        None,
    )


def _is_automatic(mail: Message) -> bool:
    """RFC 3834, and what was there before it."""
    submitted = _field(mail, "Auto-Submitted").lower()
    return (
        (submitted not in ("", "no"))
        or _field(mail, "Precedence").lower() in ("auto_reply", "bulk", "junk")
        or any(mail[name] is not None for name in ("X-Autoreply", "X-Autorespond"))
    )


def _blocks(report: Message) -> list[Message]:
    """The fields of the mail, then those of each recipient. The parser only splits them when they are plain ASCII."""
    payload = report.get_payload()
    encoding = _field(report, "Content-Transfer-Encoding")
    is_plain = encoding.lower() not in ("base64", "quoted-printable")
    if isinstance(payload, list) and is_plain and report.get_content_type() == _REPORTS[0]:
        return [block for block in payload if isinstance(block, Message)][:_BLOCKS_MAX]
    plain = Message()
    plain["Content-Transfer-Encoding"] = encoding
    plain.set_payload("".join(str(part) for part in payload) if isinstance(payload, list) else payload)
    decoded = plain.get_payload(decode=True)
    text = decoded if isinstance(decoded, bytes) else b""
    parser = BytesParser(policy=compat32)
    return [parser.parsebytes(block) for block in re.split(rb"\r?\n\r?\n", text.strip())[:_BLOCKS_MAX]]


def _told(block: Message) -> tuple[Said, str | None] | None:
    """What the fields of one recipient say; None for fields that are not of a recipient."""
    action = re.match(r"[a-z]*", _field(block, "Action").lower())
    status = _STATUS.search(_field(block, "Status"))
    code = status[1] if status else ""
    said = _SAID.get(action[0] if action else "") or _SAID_BY_CLASS.get(code[:1])
    if said is None:
        return None
    if said is Said.BOUNCED and code in _NO_DETAIL:
        code = _diagnostic_code(_field(block, "Diagnostic-Code")) or code
    return said, code or None


def _diagnostic_code(diagnostic: str) -> str | None:
    """What the remote server answered, where the reporting one only says that it failed."""
    kind, _, answer = diagnostic.partition(";")
    if kind.strip().lower() != "smtp":
        return None
    start = answer.strip()[:40]
    found = _STATUS.search(start) or _REPLY_CODE.match(start)
    return found[1] if found and found[1] not in _NO_DETAIL and not found[1].startswith("2") else None


def _attempt(mail: Message, blocks: Sequence[Message], recipients: Sequence[str]) -> tuple[UUID, UUID] | None:
    for text in (*recipients, *_addresses(mail)):
        if (found := parse_bounce_token(text)) is not None:
            return found
    for block in blocks:  # what we told the server to name the mail by (RFC 3461 §4.4)
        for match in _ENVELOPE_ID.finditer(_field(block, "Original-Envelope-Id")):
            if (found := parse_attempt_address(match[0].lower())) is not None:
                return found
    return None


def _addresses(mail: Message) -> Iterator[str]:
    for name in _ADDRESS_FIELDS:
        for value in (mail.get_all(name) or [])[:_BLOCKS_MAX]:
            yield str(value)[:_FIELD_MAX]


def _returned_message_id(mail: Message) -> str | None:
    part = _part(mail, _RETURNED)
    if part is None:
        return None
    payload = part.get_payload()
    if isinstance(payload, list):
        returned = payload[0] if payload and isinstance(payload[0], Message) else Message()
    else:
        returned = BytesParser(policy=compat32).parsebytes(str(payload).encode("utf-8", "replace"), headersonly=True)
    found = _MESSAGE_ID.search(_field(returned, "Message-ID"))
    return found[1] if found else None


def _field(part: Message, name: str) -> str:
    """A field unfolded and cut short; empty when there is none."""
    value = part[name]
    return "" if value is None else " ".join(str(value)[:_FIELD_MAX].split())
