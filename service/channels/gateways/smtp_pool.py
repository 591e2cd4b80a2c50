"""A few SMTP connections, each carrying one transaction at a time and reused while fresh.

Reuse spares the TCP, TLS and log-in round trips (eight times faster with STARTTLS). A connection goes back only
when its transaction has ended cleanly; whatever else happened, it is closed.
"""

from __future__ import annotations

import asyncio
import functools
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Literal

from aiosmtplib import SMTP, SMTPException, SMTPHeloError

CONNECT_TIMEOUT_S = 5
IDLE_S = 15  # below any server's own limit, so that a connection seldom turns out dead when it is needed
_GOODBYE_S = 1
_REFUSED_FOR_GOOD = 500

Security = Literal["starttls", "tls", "none"]


@dataclass(frozen=True, kw_only=True)
class Server:
    """Where mail goes in. With `starttls` or `tls` nothing is ever sent in the clear, whatever the server offers."""

    host: str
    port: int
    security: Security
    local_hostname: str
    timeout_s: float
    ca_file: str | None = None
    username: str | None = None
    password: str | None = None

    def tls_context(self) -> ssl.SSLContext:
        """The system's authorities, and that of `ca_file` too."""
        if self.ca_file is None:
            return _system_tls_context()
        context = ssl.create_default_context()
        context.load_verify_locations(cafile=self.ca_file)
        return context


@functools.cache
def _system_tls_context() -> ssl.SSLContext:
    """Once in a process: reading the system's authorities takes 60 ms."""
    return ssl.create_default_context()


class Connection:
    """One slot of the pool, with an open client in it."""

    def __init__(self, pool: SmtpPool, client: SMTP, *, is_reused: bool) -> None:
        self._pool = pool
        self.client = client
        self.is_reused = is_reused

    async def reopen(self) -> None:
        """Replace a client that turned out dead. Raises as connecting does."""
        self.client.close()
        self.client = await self._pool.connect()
        self.is_reused = False

    async def reset(self) -> None:
        """End a refused transaction; a client that cannot do that is closed."""
        try:
            await self.client.rset()
        except (SMTPException, OSError):
            self.client.close()


class SmtpPool:
    def __init__(self, server: Server, *, size: int = 8, idle_s: float = IDLE_S) -> None:
        self._server = server
        self._tls_context = server.tls_context() if server.security != "none" else None
        self._slots = asyncio.Semaphore(size)
        self._idle: dict[SMTP, asyncio.TimerHandle] = {}
        self._goodbyes: set[asyncio.Task[None]] = set()
        self._idle_s = idle_s

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend a connection, opening one when none is idle. It is kept unless the block raises or it was closed."""
        async with self._slots:
            connection = self._take_idle() or Connection(self, await self.connect(), is_reused=False)
            try:
                yield connection
            except BaseException:
                connection.client.close()
                raise
            self._keep(connection.client)

    async def connect(self) -> SMTP:
        """Open, encrypt, log in. Raises aiosmtplib's errors, and ssl's when the certificate does not hold."""
        server = self._server
        client = SMTP(
            hostname=server.host,
            port=server.port,
            username=server.username,
            password=server.password,
            local_hostname=server.local_hostname,
            timeout=server.timeout_s,
            use_tls=server.security == "tls",
            start_tls=server.security == "starttls",
            tls_context=self._tls_context,
        )
        try:
            await client.connect(timeout=min(CONNECT_TIMEOUT_S, server.timeout_s))
            if client.is_ehlo_or_helo_needed:
                await _say_hello(client)
        except BaseException:
            client.close()
            raise
        return client

    async def close(self) -> None:
        """Say goodbye to what is idle. Idempotent; connections on loan close when they come back or break."""
        self._idle_s = 0
        for client in tuple(self._idle):
            self._dismiss(client)
        await asyncio.gather(*self._goodbyes)

    def _take_idle(self) -> Connection | None:
        while self._idle:
            client, timer = self._idle.popitem()
            timer.cancel()
            if client.is_connected:
                return Connection(self, client, is_reused=True)
            client.close()
        return None

    def _keep(self, client: SMTP) -> None:
        if client.is_connected:
            self._idle[client] = asyncio.get_running_loop().call_later(self._idle_s, self._dismiss, client)

    def _dismiss(self, client: SMTP) -> None:
        timer = self._idle.pop(client, None)
        if timer is not None:
            timer.cancel()
            goodbye = asyncio.get_running_loop().create_task(_say_goodbye(client))
            self._goodbyes.add(goodbye)
            goodbye.add_done_callback(self._goodbyes.discard)


async def _say_hello(client: SMTP) -> None:
    """Ask what the server can; aiosmtplib would wait with it until MAIL, which must know already."""
    try:
        await client.ehlo()
    except SMTPHeloError as error:
        if error.code < _REFUSED_FOR_GOOD:
            raise
        await client.helo()


async def _say_goodbye(client: SMTP) -> None:
    with suppress(SMTPException, OSError):
        await client.quit(timeout=_GOODBYE_S)
    client.close()
