"""The sandbox's process: one HTTP server and one SMTP server on loopback over one journal."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from aiohttp import web

from service.sandbox.faults import Faults
from service.sandbox.handlers import ScriptApi
from service.sandbox.journal import Journal
from service.sandbox.logins import LOGINS_NAME
from service.sandbox.mail import Mailbox, serving_smtp
from service.sandbox.pages import SandboxPages, set_up_templates
from service.sandbox.people_page import PeoplePage
from service.sandbox.phone.network import Pace, PhoneNetwork
from service.sandbox.phone.receipts import ReceiptSender
from service.sandbox.phone.twilio_api import TwilioApi

log = logging.getLogger(__name__)

JOURNAL_NAME = "sandbox.jsonl"
STOP_TIMEOUT_S = 1.0


@dataclass(slots=True)
class Listening:
    """What is known only once the servers run."""

    smtp_port: int = 0


LISTENING: web.AppKey[Listening] = web.AppKey("listening", Listening)


@dataclass(frozen=True)
class SandboxSettings:
    """Where the sandbox listens (port 0: a free one), whose account it plays, and where it remembers."""

    host: str
    http_port: int
    smtp_port: int
    account_sid: str
    auth_token: str
    data: Path
    inbound_url: str | None = None
    """Where families' texts go. Without it, what POST /configure said last."""
    sent_after_s: float = 0.03
    delivered_after_s: float = 0.08

    def __post_init__(self) -> None:
        # The pages show whole texts to whoever asks: never beyond this machine.
        if self.host != "localhost" and not ip_address(self.host).is_loopback:
            raise ValueError("the sandbox listens on loopback only")


def build_app(settings: SandboxSettings) -> web.Application:
    """The sandbox as an application; its SMTP server starts and stops with it (`app[LISTENING]` has its
    port).

    Opens and reads the journal at once. Raises JournalInUseError, JournalBrokenError.
    """
    journal = Journal(settings.data / JOURNAL_NAME)
    faults = Faults()
    receipts = ReceiptSender(settings.auth_token)
    pace = Pace(sent_after_s=settings.sent_after_s, delivered_after_s=settings.delivered_after_s)
    network = PhoneNetwork(journal, faults, receipts, account_sid=settings.account_sid, pace=pace)
    mailbox = Mailbox(journal)
    for record in journal.records():
        network.replay(record)
        mailbox.replay(record)
    twilio = TwilioApi(network, faults, auth_token=settings.auth_token)

    async def run(app: web.Application) -> AsyncIterator[None]:
        if settings.inbound_url is not None:
            network.configure(settings.inbound_url)
        await receipts.open()
        network.resume()
        async with serving_smtp(
            mailbox, faults, host=settings.host, port=settings.smtp_port, data=settings.data
        ) as smtp_port:
            app[LISTENING].smtp_port = smtp_port
            yield
        network.close()
        await receipts.close()
        journal.close()

    async def release(_app: web.Application) -> None:
        twilio.release()

    app = web.Application()
    app[LISTENING] = Listening()
    set_up_templates(app)
    app.cleanup_ctx.append(run)
    app.on_shutdown.append(release)
    app.add_routes(twilio.routes())
    app.add_routes(ScriptApi(network, mailbox, faults, receipts).routes())
    app.add_routes(SandboxPages(network, mailbox).routes())
    app.add_routes(PeoplePage(settings.data / LOGINS_NAME).routes())
    return app


async def run_sandbox(settings: SandboxSettings) -> None:
    """Serve until cancelled or told to stop (SIGTERM, SIGINT). Raises OSError when a port is taken."""
    app = build_app(settings)
    # No access log: its lines would hold numbers.
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=STOP_TIMEOUT_S)
    await runner.setup()
    try:
        await web.TCPSite(runner, settings.host, settings.http_port, backlog=1024).start()
        http_port = runner.addresses[0][1]
        log.info("sandbox.listening http_port=%d smtp_port=%d", http_port, app[LISTENING].smtp_port)
        await _told_to_stop()
    finally:
        await runner.cleanup()


async def _told_to_stop() -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    with contextlib.ExitStack() as handlers:
        # Outside the main thread there are no signals; then only cancelling ends it.
        with contextlib.suppress(RuntimeError, ValueError):
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, stop.set)
                handlers.callback(loop.remove_signal_handler, number)
        await stop.wait()
