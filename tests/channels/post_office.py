"""A gateway with a memory and a temper, and what else delivery needs, for tests of the engine."""

from __future__ import annotations

import asyncio
import base64
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from uuid import UUID, uuid4

from service.channels.alike import Candidate, Sought, choose
from service.channels.gateway import (
    Absent,
    Accepted,
    Answer,
    ChannelName,
    GatewayReceipt,
    LookUp,
    Outgoing,
    ReceiptMeaning,
    Unknown,
    parse_attempt_address,
)
from service.channels.gateways.twilio import CONTACT_FAULTS, ROUTE_CODES, receipt_meaning
from service.channels.model import Contacts, NewMessage
from service.channels.operations import Delivery, Effect, Report, queue_message, record_receipts
from service.channels.rendering import Templates
from service.crypto import Keys
from service.db import Connection, Pool, transaction
from service.quiet_hours import QuietHours

NONE = QuietHours(0, 0)
KEYS = Keys.from_keyrings(encryption=(("e1", b"e" * 32),), index=(("i1", b"i" * 32),))
FIELDS = {
    "programme": "Kotipalvelu",
    "amount": "12 t",
    "weekly": "2 krt/vko",
    "valid_to": "31.3.",
    "organiser": "Eka",
    "help_phone": "014 266 3501",
    "directory": "eka.fi/ps",
}
SECRET = {"code": "4827 0315 9268", "code_digits": "482703159268", "link": "https://seteli.test/f/x"}
SETTINGS = {  # of a command beside it, as environment; its database is down unless told otherwise
    "DATABASE_URL": "postgresql://app@127.0.0.1:9/none",
    "REDIS_URL": "redis://127.0.0.1:9",
    "PUBLIC_URL": "https://seteli.test",
    "ENCRYPTION_KEYS": f"e1:{base64.b64encode(b'e' * 32).decode()}",
    "INDEX_KEYS": f"i1:{base64.b64encode(b'i' * 32).decode()}",
    "TWILIO_ACCOUNT_SID": "AC0",
    "TWILIO_AUTH_TOKEN": "token",
    "TWILIO_SENDER": "+358457300100",
    "SMTP_HOST": "127.0.0.1",
    "EMAIL_SENDER": "Seteli <seteli@county.test>",
}


@dataclass
class Text:
    """What the gateway has taken, whether it said so or not."""

    reference: str
    outgoing: Outgoing
    status: str = "queued"
    error_code: str | None = None
    taken_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def body(self) -> str:
        content = self.outgoing.content
        return content.text

    @property
    def token(self) -> UUID:
        address = parse_attempt_address(self.outgoing.attempt_address)
        assert address is not None
        return address[1]


class PostOffice:
    """Takes every message and says so, unless the next behaviour in `script` is another one."""

    route_codes = ROUTE_CODES
    contact_faults = CONTACT_FAULTS

    def __init__(self, channel: ChannelName, *, name: str | None = None, delay_s: float = 0.0) -> None:
        self.channel: ChannelName = channel
        self.name = name or f"post-{channel}"
        self.delay_s = delay_s
        self.texts: list[Text] = []
        self.calls = 0
        self.script: list[Answer | Callable[[], Answer]] = []
        """An Unknown that is scripted as a callable takes the message all the same (see `taken_silently`)."""
        self.always: Answer | None = None
        self.look_up_answer: LookUp | None = None
        self.refused: dict[str, Answer] = {}
        """By recipient: what is always answered, whatever the script says."""
        self.before_answer: Callable[[Text], object] | None = None
        self._numbers = itertools.count(1)

    async def send(self, outgoing: Outgoing) -> Answer:
        self.calls += 1
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        if (refused := self.refused.get(outgoing.recipient)) is not None:
            return refused
        behaviour = self.script.pop(0) if self.script else self.always
        if callable(behaviour):
            self.take(outgoing)
            return behaviour()
        if behaviour is not None:
            return behaviour
        text = self.take(outgoing)
        if self.before_answer is not None:
            result = self.before_answer(text)
            if asyncio.iscoroutine(result):
                await result
        return Accepted(text.reference, parts=1, status="queued")

    def take(self, outgoing: Outgoing) -> Text:
        text = Text(f"{'SM' if self.channel == 'sms' else 'MAIL'}{next(self._numbers):032x}", outgoing)
        self.texts.append(text)
        return text

    async def look_up(self, recipient: str, sought: Sought) -> LookUp:
        if self.look_up_answer is not None:
            return self.look_up_answer
        if self.channel == "email":
            return Unknown("cannot")
        held = {text.reference: text for text in self.texts if text.outgoing.recipient == recipient}
        alike = [
            Candidate(text.reference, text.taken_at.replace(microsecond=0))
            for text in reversed(held.values())
            if text.taken_at >= sought.since and text.reference not in sought.taken and sought.is_ours(text.body)
        ]
        chosen = choose(alike, sought)
        text = held.get(sought.reference or (chosen.reference if chosen else ""))
        return Accepted(text.reference, 1, text.status, text.error_code) if text else Absent()

    def meaning(self, status: str, error_code: str | None) -> ReceiptMeaning | None:
        return receipt_meaning(status, error_code)

    async def close(self) -> None:
        pass


def taken_silently() -> Answer:
    """The gateway takes the message, and its answer is lost."""
    return Unknown("timeout")


@dataclass(frozen=True)
class Times:
    gateway_timeout_s: float = 1.0
    lease_s: float = 30.0
    unknown_wait_s: float = 120.0
    lookup_interval_s: float = 30.0
    poll_interval_s: float = 0.05
    concurrent_sends: int = 120
    concurrent_mails: int = 20
    sms_per_second: float = 0
    mails_per_second: float = 0
    sms_parts_per_day: int = 0
    texts_per_number_per_day: int = 1000
    sms_countries: tuple[str, ...] = ("FI",)
    quiet_hours: QuietHours = NONE


class Secrets:
    """The rendering callback of a noun: every secret is known, except the obsolete ones."""

    def __init__(self) -> None:
        self.obsolete: set[UUID] = set()

    async def __call__(
        self, _conn: Connection, wanted: Sequence[tuple[UUID, UUID]]
    ) -> Mapping[UUID, Mapping[str, str]]:
        return {secret: SECRET for _, secret in wanted if secret not in self.obsolete}


@dataclass
class Office:
    """Delivery over a real database and two post offices."""

    pool: Pool
    sms: PostOffice = field(default_factory=lambda: PostOffice("sms"))
    email: PostOffice = field(default_factory=lambda: PostOffice("email"))
    secrets: Secrets = field(default_factory=Secrets)
    times: Times = field(default_factory=Times)
    organiser_id: UUID = field(default_factory=uuid4)
    subject_id: UUID = field(default_factory=uuid4)
    secret_id: UUID = field(default_factory=uuid4)

    @property
    def delivery(self) -> Delivery:
        return Delivery(
            pool=self.pool,
            keys=KEYS,
            templates=Templates(),
            gateways={"sms": self.sms, "email": self.email},
            settings=self.times,
            secret_fields={"voucher": self.secrets},
        )

    def message(self, *, phone: str | None = "+358401234567", email: str | None = None) -> NewMessage:
        return NewMessage(
            organiser_id=self.organiser_id,
            kind="voucher",
            subject_id=self.subject_id,
            secret_id=self.secret_id,
            fields=FIELDS,
            language="fi",
            contacts=Contacts(phone=phone, email=email),
            requested_by="key:test",
        )

    async def queue(self, *, phone: str | None = "+358401234567", email: str | None = None) -> UUID:
        async with transaction(self.pool) as conn:
            return await queue_message(conn, KEYS, self.message(phone=phone, email=email))

    def new_report(self, text: Text, status: str, error_code: str | None = None, *, reference: str = "") -> Report:
        receipt = GatewayReceipt(reference or text.reference, status, error_code)
        return Report(self.organiser_id, text.token, receipt, receipt_meaning(status, error_code))

    async def report(self, text: Text, status: str, error_code: str | None = None, *, reference: str = "") -> Effect:
        report = self.new_report(text, status, error_code, reference=reference)
        return (await record_receipts(self.pool, [report]))[0]

    async def row(self, message_id: UUID) -> dict[str, object]:
        row = await self.pool.fetchrow("SELECT * FROM messages WHERE message_id = $1", message_id)
        assert row is not None
        return dict(row)

    async def state(self, message_id: UUID) -> tuple[str, str | None]:
        row = await self.row(message_id)
        return str(row["state"]), row["reason"] if row["reason"] is None else str(row["reason"])

    async def attempts(self, message_id: UUID) -> list[dict[str, object]]:
        rows = await self.pool.fetch("SELECT * FROM attempts WHERE message_id = $1 ORDER BY fence", message_id)
        return [dict(row) for row in rows]

    async def pass_time(self, seconds: float) -> None:
        """Let the database's clock seem to have moved: everything on record is that much older."""
        for table, columns in (
            ("messages", ("due_at", "deadline_at", "created_at", "accepted_at", "delivered_at", "blamed_at")),
            ("attempts", ("started_at", "answered_at")),
            ("gateway_pauses", ("paused_at", "paused_until", "began_at")),
            ("gateway_probes", ("passed_at",)),
            ("gateway_rates", ("refilled_at",)),
        ):
            changes = ", ".join(f"{column} = {column} - make_interval(secs => $1)" for column in columns)
            await self.pool.execute(f"UPDATE {table} SET {changes}", seconds)
        for office in (self.sms, self.email):
            for index, text in enumerate(office.texts):
                office.texts[index] = replace(
                    text, taken_at=datetime.fromtimestamp(text.taken_at.timestamp() - seconds, UTC)
                )
