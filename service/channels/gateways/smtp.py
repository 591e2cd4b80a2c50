"""E-mail through one SMTP server: composing the message, handing it over, and what the server's codes mean.

Until the content with its final dot is written, nothing can have been sent, so any break is a safe retry. After it,
a lost answer is Unknown (RFC 5321 §4.2.5 leaves it open); a repeat carries the same Message-ID, so that mail
programs can tell. Errors of aiosmtplib quote recipients: they are told by type and code only (I6).
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage, MIMEPart
from email.policy import SMTP as SMTP_POLICY
from email.utils import format_datetime, parseaddr
from enum import IntEnum

from aiosmtplib import (
    SMTP,
    SMTPAuthenticationError,
    SMTPConnectError,
    SMTPException,
    SMTPResponseException,
    SMTPSenderRefused,
    SMTPServerDisconnected,
)

from service.channels.alike import Sought
from service.channels.gateway import (
    Accepted,
    Action,
    Answer,
    ChannelName,
    EmailContent,
    LookUp,
    Outgoing,
    ReceiptMeaning,
    Refused,
    Unknown,
)
from service.channels.gateways.smtp_pool import Connection, Server, SmtpPool

NAME = "smtp"

Sign = Callable[[bytes, datetime], bytes]
"""From a mail as it is sent, and the time, to the header that goes before it."""

_SERVICE_CLOSING = 421
_START_INPUT = 354
_COMPLETED = 250
_ENHANCED = re.compile(r"[245]\.\d{1,3}\.\d{1,3}(?=\s|$)")
_LINE_START_DOT = re.compile(rb"(?m)^\.")


class Stage(IntEnum):
    """How far a transaction has come."""

    CONNECTING = 0
    SENDER = 1
    RECIPIENT = 2
    DATA = 3
    CONTENT = 4
    """The content is written: from here on, silence is Unknown."""


@dataclass(slots=True)
class _Transaction:
    sender: str
    recipient: str
    content: bytes
    envelope_id: str | None = None
    """Set when bounces are read: servers that can are asked to repeat it in them (RFC 3461)."""
    stage: Stage = Stage.CONNECTING
    refusal: Answer | None = None


class SmtpGateway:
    """Speaks to one server over a few reused connections.

    `sender` is what people see, such as `Seteli <seteli@county.example>`. `bounce_address` makes the envelope's sender
    from the attempt address (VERP); mind that a local part has 64 characters at most. Without it bounces go to
    the sender, and nobody reads them. `sign` makes the header that goes before a composed mail (DKIM).
    """

    name = NAME
    channel: ChannelName = "email"

    def __init__(
        self,
        server: Server,
        *,
        sender: str,
        bounce_address: Callable[[str], str] | None = None,
        sign: Sign | None = None,
        connections: int = 8,
    ) -> None:
        self._pool = SmtpPool(server, size=connections)
        self._sender = sender
        self._sender_address = parseaddr(sender)[1]
        self._bounce_address = bounce_address
        self._sign = sign
        self._timeout_s = server.timeout_s

    async def send(self, outgoing: Outgoing) -> Answer:
        """Hand over one mail, once. The reference is its Message-ID without brackets."""
        if not isinstance(outgoing.content, EmailContent):
            raise TypeError("SMTP carries EmailContent")
        now = datetime.now(UTC)
        try:
            message = compose(outgoing.content, sender=self._sender, recipient=outgoing.recipient, now=now)
            content = message.as_bytes()
        except ValueError:  # a line end in a header, for one
            return Refused("mail_not_composable", Action.TEMPLATE_FAULT)
        if self._sign is not None:
            content = self._sign(content, now) + content
        transaction = self._transaction(outgoing, content)
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._hand_over(transaction)
        except SMTPResponseException as error:
            return _answer_to_refusal(transaction.stage, error)
        except (SMTPException, OSError, ValueError) as error:  # OSError covers time-outs and TLS
            return transaction.refusal or _answer_to_break(transaction.stage, error)
        return transaction.refusal or Accepted(str(message["Message-ID"]).strip("<>"))

    async def look_up(self, recipient: str, sought: Sought) -> LookUp:
        """SMTP has no way to ask."""
        return Unknown("smtp_cannot_look_up")

    def meaning(self, status: str, error_code: str | None) -> ReceiptMeaning | None:
        """SMTP sends no receipts; bounces are mails, read elsewhere."""
        return None

    async def close(self) -> None:
        """Close idle connections."""
        await self._pool.close()

    def _transaction(self, outgoing: Outgoing, content: bytes) -> _Transaction:
        if self._bounce_address is None:
            return _Transaction(self._sender_address, outgoing.recipient, content)
        attempt = outgoing.attempt_address
        return _Transaction(self._bounce_address(attempt), outgoing.recipient, content, envelope_id=attempt)

    async def _hand_over(self, transaction: _Transaction) -> None:
        """A refusal is noted in the transaction, and leaves the connection usable; everything raised closes it."""
        async with self._pool.connection() as connection:
            try:
                await _transact(connection, transaction)
            except SMTPResponseException as error:
                transaction.refusal = _answer_to_refusal(transaction.stage, error)
                await connection.reset()


def compose(content: EmailContent, *, sender: str, recipient: str, now: datetime) -> EmailMessage:
    """Text, HTML with its images, and headers. Quoted-printable: no server needs 8BITMIME for it."""
    message = EmailMessage(policy=SMTP_POLICY)
    message["From"] = sender
    message["To"] = recipient
    message["Subject"] = content.subject
    message["Date"] = format_datetime(now)
    message["Message-ID"] = f"<{content.message_id}@{parseaddr(sender)[1].rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no holiday answers to this, please
    message["X-Auto-Response-Suppress"] = "All"  # the same for Exchange, which does not read it
    message.set_content(content.text, cte="quoted-printable")
    message.add_alternative(content.html, subtype="html", cte="quoted-printable")
    html = message.get_body(("html",))
    assert isinstance(html, MIMEPart)
    for image in content.images:
        main_type, _, subtype = image.content_type.partition("/")
        html.add_related(
            image.data,
            maintype=main_type,
            subtype=subtype,
            cid=f"<{image.content_id}>",
            disposition="inline",
            filename=f"{image.content_id}.{subtype}",
        )
    return message


async def _transact(connection: Connection, transaction: _Transaction) -> None:
    """MAIL, RCPT, DATA, content. Raises SMTPResponseException for a refusal; `stage` says how far it came."""
    transaction.stage = Stage.SENDER
    await _begin(connection, transaction)
    client = connection.client
    transaction.stage = Stage.RECIPIENT
    # A delay is news, too: it says that a server has the mail.
    reports = ["NOTIFY=FAILURE,DELAY"] if transaction.envelope_id and client.supports_extension("dsn") else []
    await client.rcpt(transaction.recipient, options=reports)
    transaction.stage = Stage.DATA
    # `client.data` would not tell whether a connection was lost before or after the content was written.
    answer = await client.execute_command(b"DATA")
    if answer.code != _START_INPUT:
        raise SMTPResponseException(answer.code, answer.message)
    protocol = client.protocol
    if protocol is None:
        raise SMTPServerDisconnected("lost after DATA")
    protocol.write(_LINE_START_DOT.sub(b"..", transaction.content) + b".\r\n")
    transaction.stage = Stage.CONTENT  # the write raises when the connection is gone already
    answer = await protocol.read_response(timeout=client.timeout)
    if answer.code != _COMPLETED:
        raise SMTPResponseException(answer.code, answer.message)


async def _begin(connection: Connection, transaction: _Transaction) -> None:
    """MAIL FROM. A reused connection that turns out dead, or is sent away, is reopened once: nothing was sent."""
    try:
        await _mail_from(connection.client, transaction)
    except (SMTPServerDisconnected, SMTPSenderRefused) as error:
        is_dead = isinstance(error, SMTPServerDisconnected) or error.code == _SERVICE_CLOSING
        if not (is_dead and connection.is_reused):
            raise
        await connection.reopen()
        await _mail_from(connection.client, transaction)


async def _mail_from(client: SMTP, transaction: _Transaction) -> None:
    options = []
    if transaction.envelope_id and client.supports_extension("dsn"):
        # Headers only: a bounce goes over servers that we do not know, and the body has the code in it.
        options = ["RET=HDRS", f"ENVID={transaction.envelope_id}"]
    await client.mail(transaction.sender, options=options)


def _answer_to_refusal(stage: Stage, error: SMTPResponseException) -> Answer:
    """What a reply code means where it came (RFC 5321 §4.2, RFC 3463)."""
    if not 400 <= error.code <= 599:
        return Unknown("garbled_answer") if stage is Stage.CONTENT else Refused("garbled_answer", Action.RETRY_LATER)
    found = _ENHANCED.match(error.message)
    enhanced = found[0] if found else ""
    code = f"{error.code} {enhanced}".strip()
    if error.code < 500:
        return Refused(code, Action.RETRY_LATER, stage.name.lower())
    return Refused(code, _permanent(stage, error, enhanced), stage.name.lower())


def _permanent(stage: Stage, error: SMTPResponseException, enhanced: str) -> Action:
    if stage < Stage.RECIPIENT or isinstance(error, SMTPAuthenticationError):
        return Action.PAUSE_GATEWAY  # greeting, log-in, sender: it will be so for every mail
    subject = enhanced[2:].partition(".")[0]
    if subject in ("1", "2") and not enhanced.startswith(("5.1.7", "5.1.8")):
        return Action.BAD_CONTACT  # address, mailbox; 5.1.7 and 5.1.8 speak of the sender's
    if stage is Stage.RECIPIENT:
        is_about_us = subject in ("5", "7") or enhanced.startswith("5.1.") or error.code in (503, 530, 535)
        return Action.PAUSE_GATEWAY if is_about_us else Action.BAD_CONTACT
    if error.code == 552 or enhanced == "5.3.4" or subject == "6":
        return Action.TEMPLATE_FAULT  # too big, or not to be converted: ours to mend
    return Action.FILTERED if subject == "7" or error.code == 554 else Action.UNCLASSIFIED


def _answer_to_break(stage: Stage, error: Exception) -> Answer:
    """A break before the content is safe to retry; faults that stay until somebody mends them pause the gateway."""
    if stage is Stage.CONTENT:
        return Unknown("timeout" if isinstance(error, TimeoutError) else "connection_lost")
    if isinstance(error, ssl.SSLCertVerificationError) or isinstance(error.__cause__, ssl.SSLCertVerificationError):
        return Refused("certificate_refused", Action.PAUSE_GATEWAY)
    if isinstance(error, ValueError):
        return Refused("address_unusable", Action.BAD_CONTACT)
    if isinstance(error, TimeoutError):
        return Refused("timeout_before_content", Action.RETRY)
    if isinstance(error, SMTPConnectError):
        return Refused("connect_failed", Action.RETRY)
    if isinstance(error, (SMTPServerDisconnected, OSError)):
        return Refused("lost_before_content", Action.RETRY)
    return Refused("server_lacks_feature", Action.PAUSE_GATEWAY)  # STARTTLS or AUTH that we insist on
