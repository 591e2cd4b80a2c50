"""Opens and closes what both processes stand on: the pool, Redis, the HTTP session, the gateways.

The one place where gateways are built and where nouns are introduced to each other: what a message of a kind says in
its secret part is registered here, so that channels need not know what a voucher is.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parseaddr
from functools import partial
from uuid import UUID

import aiohttp

from service.attention import operations as attention
from service.channels.bounces import bounce_address
from service.channels.gateway import ChannelName, Gateway, Image
from service.channels.gateways.dkim import Signer, SigningKeyUnusable, read_signing_key
from service.channels.gateways.smtp import SmtpGateway
from service.channels.gateways.smtp_pool import Server
from service.channels.gateways.twilio import TwilioGateway
from service.channels.operations import Delivery, ReceiptGroup, Reception, receipt_group
from service.channels.rendering import Templates, qr_png
from service.channels.sms_text import can_receive
from service.crypto import Keys
from service.db import Connection, Pool, autocommit, close_pool, open_pool
from service.debits import receipts as family_receipts
from service.debits.disputes import dispute_told_debit, find_told_debit
from service.debits.operations import DebitGroup, LongReads, debit_group
from service.family.operations import link_fields
from service.imports import operations as imports
from service.overview import operations as overview
from service.people.openid import OpenIdProvider
from service.people.operations import accounts, links, sessions
from service.people.operations.administration import sweep as sweep_people
from service.people.operations.rotation import rotate_people
from service.providers.credentials import Credentials
from service.queue import Wakeups
from service.settings import MissingSettings, Settings
from service.staff.model import Caps
from service.staff.operations.charging import TextCharging
from service.staff.operations.numbers import QUESTION_KIND, question_fields
from service.staff.operations.rotation import rotate_workers
from service.vouchers import operations as vouchers
from service.vouchers import reminders
from service.vouchers.operations.replies import Replies
from service.vouchers.texts import MESSAGE_KIND as VOUCHER
from service.vouchers.texts import code_address
from service.web import Caller
from service.web.pages import Note, Visitor


@dataclass(frozen=True)
class Resources:
    settings: Settings
    pool: Pool
    keys: Keys
    wakeups: Wakeups
    credentials: Credentials
    debit_group: DebitGroup
    long_reads: LongReads
    receipt_group: ReceiptGroup
    delivery: Delivery
    reception: Reception
    openid: OpenIdProvider | None
    """Where caseworkers may sign in with an account of their organisation's; None: not set up."""
    rotations: Mapping[str, Callable[[Pool, Keys], Awaitable[int]]]
    """What nouns above vouchers have sealed, moved to newer keys with everything else."""

    async def authenticate(self, key: str) -> Caller | None:
        return await self.credentials.authenticate(key)

    async def visitor(self, session_token: str) -> Visitor | None:
        """Who is signed in with this cookie; None also for whoever has proved a password alone."""
        async with autocommit(self.pool) as conn:
            session = await sessions.find_session(conn, session_token)
        if session is None or session.stage != "full":
            return None
        return Visitor(
            person_id=session.person_id,
            session_id=session.session_id,
            name=session.name,
            role=session.role,
            owner=session.owner,
            owner_id=session.owner_id,
            owner_name=session.owner_name,
            language=session.language,
            permissions=session.permissions,
            has_notes=session.has_notes,
        )

    async def timed_out(self, session_token: str) -> UUID | None:
        """Whose session this was, if it has ended by itself and not been forgotten yet."""
        async with autocommit(self.pool) as conn:
            return await sessions.find_timed_out(conn, session_token)

    async def leave_note(self, session_id: UUID, note: Note) -> None:
        """Keep a sentence for the next page of this session."""
        async with autocommit(self.pool) as conn:
            await sessions.leave_note(conn, session_id=session_id, kind=note.kind, text=note.text)

    async def take_notes(self, session_id: UUID) -> Sequence[Note]:
        """What waits for the next page of this session; it is gone then."""
        async with autocommit(self.pool) as conn:
            notes = await sessions.take_notes(conn, session_id=session_id)
        return [Note("warning" if note["kind"] == "warning" else "done", note["text"]) for note in notes]

    async def choose_language(self, person_id: UUID, language: str) -> None:
        """The language that this person reads from now on."""
        async with autocommit(self.pool) as conn:
            await accounts.choose_language(conn, person_id=person_id, language=language)


@asynccontextmanager
async def open_resources(
    settings: Settings, *, process: str = "command", pool: Pool | None = None
) -> AsyncIterator[Resources]:
    """Everything a process needs, closed in reverse order at the end; a `pool` that is given stays open.

    Succeeds while the database or Redis is down: whoever uses them is told then, and they are found again when they
    are back.
    """
    async with AsyncExitStack() as stack:
        if pool is None:
            pool = await open_pool(
                settings.database_url.get_secret_value(),
                size=settings.database_connections,
                application_name=f"seteli {process}",
            )
            stack.push_async_callback(close_pool, pool)
        keys = Keys.from_keyrings(encryption=settings.encryption_keys, index=settings.index_keys)
        wakeups = Wakeups(settings.redis_url.get_secret_value())
        stack.push_async_callback(wakeups.close)
        debits, receipts = debit_group(pool, settings.quiet_hours), receipt_group(pool)
        stack.push_async_callback(debits.drain)
        stack.push_async_callback(receipts.drain)
        yield Resources(
            settings=settings,
            pool=pool,
            keys=keys,
            wakeups=wakeups,
            credentials=Credentials(pool),
            debit_group=debits,
            long_reads=LongReads(),
            receipt_group=receipts,
            openid=await _open_openid(settings, keys, stack),
            rotations={"workers": rotate_workers, "people": rotate_people, "imports": imports.rotate_imports},
            reception=_reception(settings, keys),
            delivery=Delivery(
                pool=pool,
                keys=keys,
                templates=Templates(can_receive=can_receive(settings.twilio_sender)),
                gateways=await _open_gateways(settings, stack),
                settings=settings,
                secret_fields={
                    VOUCHER: partial(_voucher_secrets, keys, settings),
                    QUESTION_KIND: partial(question_fields, keys),
                    **dict.fromkeys(links.PATHS, partial(links.link_fields, keys, settings.public_url)),
                    **dict.fromkeys(family_receipts.KINDS, family_receipts.receipt_fields),
                    **{kind: partial(reminders.reminder_fields, kind) for kind in reminders.KINDS},
                },
                images={VOUCHER: partial(_voucher_images, settings.public_url)},
                repairs=(partial(vouchers.queue_missing_messages, pool, keys),),
                tidying=(
                    partial(attention.keep_in_order, pool),
                    partial(sweep_people, pool),
                    partial(imports.sweep, pool, settings.import_contents_days),
                ),
                schedules=(*vouchers.schedules(pool, keys), *overview.schedules(pool)),
                imports=(partial(imports.grant_next, pool, keys, settings),),
                rounds=(
                    *reminders.daily_rounds(pool, settings.quiet_hours),
                    partial(family_receipts.queue_day_receipts, pool, settings.quiet_hours),
                ),
            ),
        )


def _text_charging(settings: Settings, keys: Keys) -> TextCharging:
    caps = Caps(
        minutes=settings.text_charge_minutes,
        cents=settings.text_charge_cents,
        visits=settings.text_charge_visits,
        charges_per_day=settings.text_charges_per_day,
        texts_per_day=settings.charge_texts_per_day,
    )
    return TextCharging(keys, caps, settings.code_digits, settings.quiet_hours)


def _reception(settings: Settings, keys: Keys) -> Reception:
    charging = _text_charging(settings, keys)
    return Reception(
        reply=Replies(keys, find_told_debit, dispute_told_debit, charging.guide).answer,
        countries=settings.sms_countries,
        answers_per_day=settings.text_answers_per_day,
        charge=charging.take,
    )


async def _open_openid(settings: Settings, keys: Keys, stack: AsyncExitStack) -> OpenIdProvider | None:
    if settings.oidc_issuer is None or settings.oidc_client_id is None or settings.oidc_client_secret is None:
        return None
    session = await stack.enter_async_context(aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()))
    return OpenIdProvider(
        session,
        keys.sealer,
        issuer=settings.oidc_issuer,
        client_id=settings.oidc_client_id,
        client_secret=settings.oidc_client_secret.get_secret_value(),
        redirect_url=f"{settings.public_url}/sign-in/organisation/back",
    )


async def _open_gateways(settings: Settings, stack: AsyncExitStack) -> Mapping[ChannelName, Gateway]:
    session = await stack.enter_async_context(
        aiohttp.ClientSession(
            # Shorter than any gateway keeps an idle connection: one that it has closed looks like a lost answer.
            connector=aiohttp.TCPConnector(limit=settings.concurrent_sends + 20, keepalive_timeout=10),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
    )
    sms = TwilioGateway(
        session,
        account_sid=settings.twilio_account_sid,
        auth_token=settings.twilio_auth_token.get_secret_value(),
        sender=settings.twilio_sender,
        base_url=settings.twilio_base_url,
        status_url=lambda attempt: f"{settings.public_url}/hooks/twilio/status/{attempt}",
        timeout_s=settings.gateway_timeout_s,
    )
    server = Server(
        host=settings.smtp_host,
        port=settings.smtp_port,
        security=settings.smtp_tls,
        local_hostname=socket.gethostname(),
        timeout_s=settings.gateway_timeout_s,
        ca_file=settings.smtp_ca_file,
        username=settings.smtp_username,
        password=settings.smtp_password.get_secret_value() if settings.smtp_password else None,
    )
    email = SmtpGateway(
        server,
        sender=settings.email_sender,
        connections=settings.concurrent_mails,  # one each: who waits for a connection looks like a lost answer
        bounce_address=partial(bounce_address, settings.bounce_address) if settings.bounce_address else None,
        sign=_dkim_signer(settings),
    )
    stack.push_async_callback(sms.close)
    stack.push_async_callback(email.close)
    return {"sms": sms, "email": email}


def _dkim_signer(settings: Settings) -> Signer | None:
    """Raises MissingSettings when the key cannot be used: unsigned mail would be filtered, and nobody know why."""
    if settings.dkim_key_file is None or settings.dkim_selector is None:
        return None
    try:
        key = read_signing_key(settings.dkim_key_file)
    except SigningKeyUnusable as error:
        raise MissingSettings(f"These settings must be put right:\n  DKIM_KEY_FILE: {error}") from error
    domain = settings.dkim_domain or parseaddr(settings.email_sender)[1].rpartition("@")[2]
    return Signer(domain=domain, selector=settings.dkim_selector, key=key)


async def _voucher_secrets(
    keys: Keys, settings: Settings, conn: Connection, wanted: Sequence[tuple[UUID, UUID]]
) -> Mapping[UUID, Mapping[str, str]]:
    """The code, and the link to the family's page; each is there for as long as its message may be rendered."""
    codes = await vouchers.secret_fields(conn, keys, wanted)
    links = link_fields(
        keys,
        [pair for pair in wanted if pair[1] in codes],
        public_url=settings.public_url,
        lives_days=settings.family_link_days,
        now=datetime.now(UTC),
    )
    return {code_id: {**fields, **links[code_id]} for code_id, fields in codes.items()}


def _voucher_images(public_url: str, fields: Mapping[str, str]) -> tuple[Image, ...]:
    """The code as a picture that opens the provider's page with it."""
    return (Image("qr", "image/png", qr_png(code_address(public_url, fields["code_digits"]))),)
