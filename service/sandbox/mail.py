"""A mail inbox: an SMTP server in this process's event loop, and every mail it ever took.

It offers STARTTLS with a certificate of its own, written beside the journal so that a client can trust it,
and asks for no log-in. Nothing is deduplicated: a repeat must be seen. Mailboxes with a meaning:
`unknown@…` is refused with 550 5.1.1, `full@…` with 452 4.2.2, at any domain.
"""

import asyncio
import logging
import os
import re
import socket
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import cached_property
from pathlib import Path
from typing import Any, cast
from weakref import WeakSet

from aiosmtpd.smtp import SMTP, Envelope, Session, TLSSetupException, syntax

from service.sandbox.certificate import write_certificate
from service.sandbox.faults import Faults, MailFate
from service.sandbox.journal import Journal, Record

log = logging.getLogger(__name__)

MAGIC_MAILBOXES = {
    "unknown": "550 5.1.1 No such mailbox",
    "full": "452 4.2.2 Mailbox full, try again later",
}
MAIL_MAX_BYTES = 20 * 1024 * 1024
CERTIFICATE_NAME = "smtp-certificate.pem"
KEY_NAME = "smtp-key.pem"
_CONTENT_ID = re.compile(r"^<(.*)>$")


@dataclass(frozen=True, slots=True)
class Attachment:
    """A part that is neither the text nor the HTML, inline images included."""

    content_id: str | None
    content_type: str
    content: bytes


@dataclass(frozen=True)
class Mail:
    """One mail as it came; parsed when somebody looks."""

    id: str
    sender: str
    recipients: list[str]
    raw: bytes
    at: float

    @cached_property
    def message(self) -> EmailMessage:
        """The parsed mail. Defects are tolerated, as mail programs do."""
        return message_from_bytes(self.raw, policy=policy.default)

    @cached_property
    def text(self) -> str | None:
        """The plain-text alternative."""
        return _content(self.message.get_body(("plain",)))

    @cached_property
    def html(self) -> str | None:
        """The HTML alternative, `cid:` references as they came."""
        return _content(self.message.get_body(("html",)))

    @cached_property
    def attachments(self) -> list[Attachment]:
        """Inline images and attached files, in their order."""
        bodies = [self.message.get_body((kind,)) for kind in ("plain", "html")]
        return [
            _attachment(part)
            for part in self.message.walk()
            if not part.is_multipart() and all(part is not body for body in bodies)
        ]


class Mailbox:
    """Every mail taken, in order of arrival."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._mails: list[Mail] = []
        self._by_id: dict[str, Mail] = {}

    def replay(self, record: Record) -> None:
        """Take in one line of the journal; other owners' kinds are passed over."""
        if record["kind"] == "mail":
            raw = record["raw"].encode("latin-1")
            self._keep(Mail(record["id"], record["from"], record["to"], raw, record["at"]))

    def take(self, sender: str, recipients: list[str], raw: bytes) -> Mail:
        """Keep a mail: it is in the journal when this returns. Raises OSError when the journal cannot be
        written."""
        mail = Mail(os.urandom(12).hex(), sender, recipients, raw, time.time())
        self._journal.append_now(
            {
                "kind": "mail",
                "id": mail.id,
                "from": sender,
                "to": recipients,
                "at": mail.at,
                "raw": raw.decode("latin-1"),
            }
        )
        self._keep(mail)
        return mail

    def count(self) -> int:
        """How many mails there are."""
        return len(self._mails)

    def find(self, mail_id: str) -> Mail | None:
        """The mail with this id."""
        return self._by_id.get(mail_id)

    def newest_first(self, recipient: str | None = None) -> Iterator[Mail]:
        """Mails to `recipient` (whatever the case of its letters), or all, newest first."""
        wanted = recipient.casefold() if recipient is not None else None
        for mail in reversed(self._mails):
            if wanted is None or any(address.casefold() == wanted for address in mail.recipients):
                yield mail

    def _keep(self, mail: Mail) -> None:
        self._mails.append(mail)
        self._by_id[mail.id] = mail


class _SmtpEvents:
    """What aiosmtpd asks at each step of one connection."""

    def __init__(self, mailbox: Mailbox, faults: Faults) -> None:
        self._mailbox = mailbox
        self._faults = faults
        self.fate = MailFate.NORMAL

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's names
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self.fate = self._faults.next_mail_fate()
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 OK"

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.fate in (MailFate.REFUSE_4XX, MailFate.REFUSE_5XX):
            self._faults.count(self.fate)
            is_for_now = self.fate is MailFate.REFUSE_4XX
            return "451 4.7.1 Greylisted, try again later" if is_for_now else "550 5.1.1 No such mailbox"
        refusal = MAGIC_MAILBOXES.get(address.partition("@")[0].casefold())
        if refusal is not None:
            return refusal
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        content = envelope.original_content or b""
        try:
            mail = self._mailbox.take(envelope.mail_from or "", list(envelope.rcpt_tos), content)
        except OSError:
            log.exception("mail.not_kept")
            return "452 4.3.1 Insufficient system storage"
        if self.fate is MailFate.LOST_250:
            self._faults.count(self.fate)
            cast(_Connection, server).drop()
        return f"250 2.0.0 OK {mail.id}"

    def drops_in_data(self) -> bool:
        """Whether this transaction ends in the middle of DATA; counts it."""
        if self.fate is not MailFate.DROP_IN_DATA:
            return False
        self._faults.count(self.fate)
        return True

    async def handle_exception(self, error: Exception) -> str:
        # aiosmtpd would log and answer with the error's text, which may hold an address.
        # A client that distrusts the certificate, or hangs up, is no failure of ours.
        if not isinstance(error, ConnectionError | TLSSetupException):
            log.error("smtp.failed error=%s", type(error).__name__)
        return "451 4.3.0 Local error"


class _Connection(SMTP):
    """aiosmtpd's protocol, which can also hang up in the middle."""

    def drop(self) -> None:
        """Hang up without another word."""
        if self.transport is not None:
            self.transport.close()

    async def push(self, status: Any) -> None:
        """Answer, unless the line is down already."""
        if self.transport is not None and not self.transport.is_closing():
            await super().push(status)

    @syntax("DATA")
    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802
        """DATA; hangs up half-way when the transaction's fate says so."""
        events = cast(_SmtpEvents, self.event_handler)
        if self.envelope is not None and self.envelope.rcpt_tos and events.drops_in_data():
            await self.push("354 End data with <CR><LF>.<CR><LF>")
            await self._reader.readline()
            self.drop()
            return
        await super().smtp_DATA(arg)


@asynccontextmanager
async def serving_smtp(mailbox: Mailbox, faults: Faults, *, host: str, port: int, data: Path) -> AsyncIterator[int]:
    """Serve SMTP while the context is open; gives the port (0 asks for a free one). Raises OSError when it
    is taken.

    The certificate for STARTTLS is `data/smtp-certificate.pem`, made at the first start.
    """
    # aiosmtpd logs every recipient and every line.
    for name in ("mail.log", "mail.debug"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    loop = asyncio.get_running_loop()
    tls = _tls_context(data / CERTIFICATE_NAME, data / KEY_NAME)
    open_connections: WeakSet[_Connection] = WeakSet()

    def connection() -> _Connection:
        made = _Connection(
            _SmtpEvents(mailbox, faults),
            hostname="sandbox.invalid",
            ident="Seteli sandbox",
            tls_context=tls,
            enable_SMTPUTF8=True,
            data_size_limit=MAIL_MAX_BYTES,
            loop=loop,
        )
        open_connections.add(made)
        return made

    server = await loop.create_server(connection, host, port, family=socket.AF_INET)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for made in open_connections:
            made.drop()
        await asyncio.sleep(0)


def _tls_context(certificate: Path, key: Path) -> ssl.SSLContext:
    # Kept over restarts, so that a client that trusts the certificate goes on trusting it.
    if not (certificate.exists() and key.exists()):
        write_certificate(certificate, key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


def _content(part: Any) -> str | None:
    if part is None:
        return None
    try:
        content = str(part.get_content())
    except (LookupError, UnicodeError):  # an unknown character set
        content = (part.get_payload(decode=True) or b"").decode(errors="replace")
    return content.replace("\r\n", "\n")


def _attachment(part: Any) -> Attachment:
    content = part.get_payload(decode=True) or b""
    written = part.get("Content-ID")
    content_id = _CONTENT_ID.sub(r"\1", str(written).strip()) if written else None
    return Attachment(content_id, part.get_content_type(), content)
