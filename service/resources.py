"""Opens and closes what both processes stand on: the pool, Redis, the HTTP session, the gateways.

The one place where gateways are built and where nouns are introduced to each other: what a message of a kind says in
its secret part is registered here, so that channels need not know what a voucher is.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from uuid import UUID

import aiohttp

from service.channels.gateway import ChannelName, Gateway, Image
from service.channels.gateways.smtp import SmtpGateway
from service.channels.gateways.smtp_pool import Server
from service.channels.gateways.twilio import TwilioGateway
from service.channels.operations import Delivery, ReceiptGroup, receipt_group
from service.channels.rendering import Templates, qr_png
from service.crypto import Keys
from service.db import Connection, Pool, open_pool
from service.debits.operations import DebitGroup, debit_group
from service.providers.credentials import Credentials
from service.queue import Wakeups
from service.settings import Settings
from service.vouchers import operations as vouchers
from service.vouchers.texts import MESSAGE_KIND as VOUCHER
from service.web import Caller


@dataclass(frozen=True)
class Resources:
    settings: Settings
    pool: Pool
    keys: Keys
    wakeups: Wakeups
    credentials: Credentials
    debit_group: DebitGroup
    receipt_group: ReceiptGroup
    delivery: Delivery

    async def authenticate(self, key: str) -> Caller | None:
        return await self.credentials.authenticate(key)


@asynccontextmanager
async def open_resources(settings: Settings, *, process: str = "command") -> AsyncIterator[Resources]:
    """Everything a process needs, closed in reverse order at the end.

    Succeeds while the database or Redis is down: whoever uses them is told then, and they are found again when they
    are back.
    """
    async with AsyncExitStack() as stack:
        pool = await open_pool(
            settings.database_url.get_secret_value(),
            size=settings.database_connections,
            application_name=f"seteli {process}",
        )
        stack.push_async_callback(pool.close)
        keys = Keys.from_keyrings(encryption=settings.encryption_keys, index=settings.index_keys)
        wakeups = Wakeups(settings.redis_url.get_secret_value())
        stack.push_async_callback(wakeups.close)
        debits, receipts = debit_group(pool), receipt_group(pool)
        stack.push_async_callback(debits.drain)
        stack.push_async_callback(receipts.drain)
        yield Resources(
            settings=settings,
            pool=pool,
            keys=keys,
            wakeups=wakeups,
            credentials=Credentials(pool),
            debit_group=debits,
            receipt_group=receipts,
            delivery=Delivery(
                pool=pool,
                keys=keys,
                templates=Templates(),
                gateways=await _open_gateways(settings, stack),
                settings=settings,
                secret_fields={VOUCHER: partial(_voucher_secrets, keys)},
                images={VOUCHER: partial(_voucher_images, settings.public_url)},
                repairs=(partial(vouchers.queue_missing_messages, pool, keys),),
            ),
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
    email = SmtpGateway(server, sender=settings.email_sender)
    stack.push_async_callback(sms.close)
    stack.push_async_callback(email.close)
    return {"sms": sms, "email": email}


async def _voucher_secrets(
    keys: Keys, conn: Connection, wanted: Sequence[tuple[UUID, UUID]]
) -> Mapping[UUID, Mapping[str, str]]:
    return await vouchers.secret_fields(conn, keys, wanted)


def _voucher_images(public_url: str, fields: Mapping[str, str]) -> tuple[Image, ...]:
    """The code as a picture that opens the provider's page with it; after `#`, it never reaches a server's log."""
    return (Image("qr", "image/png", qr_png(f"{public_url}/provider#{fields['code_digits']}")),)
