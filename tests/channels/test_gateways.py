"""The conformance suite: what every gateway must do, whoever carries the message.

A new gateway joins by adding its `Bench` to `BENCHES`.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID, uuid4

import aiohttp
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from service.channels.alike import Sought, Start
from service.channels.gateway import (
    Accepted,
    Action,
    Content,
    EmailContent,
    Gateway,
    Image,
    Outgoing,
    Refused,
    SmsContent,
    Unknown,
    attempt_address,
    parse_attempt_address,
)
from service.channels.gateways.smtp import SmtpGateway
from service.channels.gateways.smtp_pool import Server
from service.channels.gateways.twilio import TwilioGateway
from tests.channels.smtp_server import DROP, HANG, smtp_server
from tests.channels.twilio_server import ACCOUNT, twilio_server

TIMEOUT_S = 0.4  # where the server is silent; elsewhere a busy machine is waited for
PATIENCE_S = 20.0
SECRET = "4827 0315 9268"
NOW = datetime(2026, 11, 2, 12, 0, tzinfo=UTC)


@dataclass
class Bench:
    """A gateway in front of a server of its kind, and the ways to make that server misbehave."""

    gateway: Gateway
    recipient: str
    content: Content
    refuse_for_good: Callable[[], None]
    refuse_for_now: Callable[[], None]
    hang: Callable[[], None]
    drop: Callable[[], None]
    answer_garbage: Callable[[], None]
    count_taken: Callable[[], int]

    def outgoing(self) -> Outgoing:
        return Outgoing(attempt_address(uuid4(), uuid4()), self.recipient, self.content)


@contextlib.asynccontextmanager
async def twilio_bench(port: int | None = None, *, timeout_s: float = PATIENCE_S) -> AsyncIterator[Bench]:
    async with twilio_server() as server, aiohttp.ClientSession() as session:
        gateway = TwilioGateway(
            session,
            account_sid=ACCOUNT,
            auth_token="token",
            sender="+358401111111",
            base_url=f"http://127.0.0.1:{port}" if port else server.url,
            status_url=lambda attempt: f"https://seteli.example/hooks/twilio/status/{attempt}",
            timeout_s=timeout_s,
        )
        recipient = "+358401234567"

        def behave(behaviour: object) -> Callable[[], None]:
            return lambda: setattr(server, "behaviour", behaviour)

        refusal = {"code": 21211, "message": f"The 'To' number {recipient} is not valid", "status": 400}
        yield Bench(
            gateway=gateway,
            recipient=recipient,
            content=SmsContent(f"Palveluseteli {SECRET}"),
            refuse_for_good=behave(("json", 400, refusal)),
            refuse_for_now=behave(("json", 429, {"code": 20429, "message": "Too many", "status": 429})),
            hang=behave("hang"),
            drop=behave("drop"),
            answer_garbage=behave(("raw", 200, b"<html>It works!</html>", "text/html")),
            count_taken=lambda: len(server.forms),
        )
        await gateway.close()


@contextlib.asynccontextmanager
async def smtp_bench(port: int | None = None, *, timeout_s: float = PATIENCE_S) -> AsyncIterator[Bench]:
    async with smtp_server() as server:
        gateway = SmtpGateway(
            Server(
                host="127.0.0.1",
                port=port or server.port,
                security="none",
                local_hostname="county.example",
                timeout_s=timeout_s,
            ),
            sender="Seteli <seteli@county.example>",
        )
        recipient = "maija.meikalainen@example.fi"

        def reply(word: str, text: str) -> Callable[[], None]:
            return lambda: server.replies.update({word: text})

        yield Bench(
            gateway=gateway,
            recipient=recipient,
            content=EmailContent(
                "Palveluseteli", f"Koodi {SECRET}", f"<p>{SECRET}</p>", (Image("qr", "image/png", b"png"),), uuid4().hex
            ),
            refuse_for_good=reply("RCPT", f"550 5.1.1 <{recipient}>: no such user"),
            refuse_for_now=reply("RCPT", f"451 4.7.1 <{recipient}>: greylisted"),
            hang=reply("CONTENT", HANG),
            drop=reply("CONTENT", DROP),
            answer_garbage=reply("CONTENT", "HTTP/1.1 400 Bad Request"),
            count_taken=lambda: server.commands.count("DATA"),
        )
        await gateway.close()


BENCHES = {"twilio": twilio_bench, "smtp": smtp_bench}


@pytest.fixture(params=sorted(BENCHES))
def open_bench(request: pytest.FixtureRequest) -> Callable[..., AbstractAsyncContextManager[Bench]]:
    return BENCHES[request.param]


@pytest.fixture
async def bench(open_bench: Callable[..., AbstractAsyncContextManager[Bench]]) -> AsyncIterator[Bench]:
    async with open_bench() as bench:
        yield bench


@pytest.fixture
async def impatient_bench(open_bench: Callable[..., AbstractAsyncContextManager[Bench]]) -> AsyncIterator[Bench]:
    """Whose gateway gives up after TIMEOUT_S."""
    async with open_bench(timeout_s=TIMEOUT_S) as bench:
        yield bench


@pytest.fixture(autouse=True)
def nothing_private_is_logged(caplog: pytest.LogCaptureFixture) -> AsyncIterator[None]:
    caplog.set_level(logging.DEBUG)
    with structlog.testing.capture_logs() as events:
        yield  # type: ignore[misc]
    told = repr(events) + repr([record.getMessage() for record in caplog.records])
    assert SECRET not in told
    assert "1234567" not in told
    assert "maija" not in told


def assert_tells_nothing(bench: Bench, answer: object) -> None:
    assert bench.recipient not in repr(answer)
    assert SECRET not in repr(answer)


async def test_an_accepted_message_has_a_reference(bench: Bench) -> None:
    answer = await bench.gateway.send(bench.outgoing())
    assert isinstance(answer, Accepted)
    assert answer.reference
    assert bench.count_taken() == 1
    assert_tells_nothing(bench, answer)


async def test_a_permanent_refusal_says_that_the_contact_is_bad(bench: Bench) -> None:
    bench.refuse_for_good()
    answer = await bench.gateway.send(bench.outgoing())
    assert isinstance(answer, Refused)
    assert answer.action is Action.BAD_CONTACT
    assert_tells_nothing(bench, answer)


async def test_a_temporary_refusal_asks_for_a_retry(bench: Bench) -> None:
    bench.refuse_for_now()
    answer = await bench.gateway.send(bench.outgoing())
    assert isinstance(answer, Refused)
    assert answer.action in (Action.RETRY, Action.RETRY_LATER)
    assert_tells_nothing(bench, answer)


async def test_silence_after_the_message_was_written_is_unknown(impatient_bench: Bench) -> None:
    impatient_bench.hang()
    started = asyncio.get_running_loop().time()
    assert await impatient_bench.gateway.send(impatient_bench.outgoing()) == Unknown("timeout")
    assert asyncio.get_running_loop().time() - started < TIMEOUT_S + 1
    assert impatient_bench.count_taken() == 1, "what may have been sent was sent again"


async def test_a_connection_lost_after_the_message_was_written_is_unknown(bench: Bench) -> None:
    bench.drop()
    assert await bench.gateway.send(bench.outgoing()) == Unknown("connection_lost")
    assert bench.count_taken() == 1, "what may have been sent was sent again"


async def test_a_garbled_answer_is_unknown(bench: Bench) -> None:
    bench.answer_garbage()
    assert await bench.gateway.send(bench.outgoing()) == Unknown("garbled_answer")


async def test_a_refused_connection_is_a_safe_retry(
    open_bench: Callable[..., AbstractAsyncContextManager[Bench]],
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        async with open_bench(unused.getsockname()[1]) as bench:
            assert await bench.gateway.send(bench.outgoing()) == Refused("connect_failed", Action.RETRY)


async def test_a_look_up_at_a_silent_server_is_unknown(impatient_bench: Bench) -> None:
    impatient_bench.hang()
    answer = await impatient_bench.gateway.look_up(
        impatient_bench.recipient, Sought(Start(NOW, uuid4()), NOW, lambda body: True)
    )
    assert isinstance(answer, Unknown)


async def test_many_messages_at_once_each_get_their_answer(bench: Bench) -> None:
    answers = await asyncio.gather(*(bench.gateway.send(bench.outgoing()) for _ in range(20)))
    assert all(isinstance(answer, Accepted) for answer in answers)
    assert bench.count_taken() == 20


async def test_a_gateway_recovers_by_itself(bench: Bench) -> None:
    bench.drop()
    await bench.gateway.send(bench.outgoing())
    bench.refuse_for_good()  # any clear answer will do: the connection is a new one
    assert isinstance(await bench.gateway.send(bench.outgoing()), Refused)


async def test_a_cancelled_send_leaves_the_gateway_usable(impatient_bench: Bench) -> None:
    impatient_bench.hang()
    sending = asyncio.create_task(impatient_bench.gateway.send(impatient_bench.outgoing()))
    await asyncio.sleep(TIMEOUT_S / 4)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    impatient_bench.refuse_for_good()
    assert isinstance(await impatient_bench.gateway.send(impatient_bench.outgoing()), Refused)


async def test_content_of_another_channel_is_a_programming_error(bench: Bench) -> None:
    other: Content = SmsContent("x") if bench.gateway.channel == "email" else EmailContent("x", "x", "x")
    with pytest.raises(TypeError):
        await bench.gateway.send(Outgoing("a", bench.recipient, other))


async def test_closing_twice_is_harmless(bench: Bench) -> None:
    await bench.gateway.send(bench.outgoing())
    await bench.gateway.close()
    await bench.gateway.close()


def test_what_goes_out_never_shows_itself() -> None:
    outgoing = Outgoing("a", "+358401234567", EmailContent("subject 1", "text 2", "<p>3</p>"))
    assert "1234567" not in repr(outgoing)
    assert "text 2" not in repr(outgoing)
    assert "subject 1" not in repr(outgoing)
    assert "secret" not in repr(SmsContent("secret"))


@given(st.uuids(), st.uuids())
def test_an_attempt_address_leads_back(organiser_id: UUID, token: UUID) -> None:
    assert parse_attempt_address(attempt_address(organiser_id, token)) == (organiser_id, token)


@given(st.one_of(st.text(), st.text("0123456789abcdefABCDEF-_+ {}\n", min_size=60, max_size=66)))
def test_what_is_no_attempt_address_leads_nowhere(text: str) -> None:
    parsed = parse_attempt_address(text)
    assert parsed is None or attempt_address(*parsed) == text
