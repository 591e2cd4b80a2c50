"""E-mail against a mail server that somebody else has written: relayed mail, real bounces, greylisting, encryption."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import dkim
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from service.channels.bounces import NoBounce, bounce_address, read_bounce
from service.channels.gateway import Accepted, Answer
from service.channels.gateways.dkim import Signer
from service.channels.gateways.smtp import SmtpGateway
from service.channels.gateways.smtp_pool import Security, Server
from service.channels.operations import Answered, Delivery, Sending, claim_due, decide_failures, record_answers
from service.channels.operations.bounces import take_bounce
from service.db import Pool
from service.workers.retry import retry_in_s
from tests.channels.post_office import KEYS, SECRET, SETTINGS, Office
from tests.channels.postfix import BOUNCES, FAMILIES, Piped, Postfix, missing, running_postfix

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
VERP = partial(bounce_address, f"bounce@{BOUNCES}")
TAKEN, TRY_AGAIN = 0, 75


@pytest.fixture(scope="module")
def postfix(server_folders: Path) -> Iterator[Postfix]:
    folder = Path(tempfile.mkdtemp(dir=server_folders))
    folder.chmod(0o711)
    with running_postfix(folder) as running:
        yield running


@contextlib.asynccontextmanager
async def gateway_to(
    postfix: Postfix, *, security: Security = "starttls", ca_file: Path | None = None
) -> AsyncIterator[SmtpGateway]:
    gateway = SmtpGateway(
        Server(
            host="localhost" if security != "none" else "127.0.0.1",
            port=postfix.port,
            security=security,
            local_hostname="seteli.county.test",
            timeout_s=10,
            ca_file=str(ca_file) if ca_file else None,
        ),
        sender="Seteli <seteli@county.test>",
        bounce_address=VERP,
        sign=Signer(domain="county.test", selector="s1", key=KEY),
    )
    try:
        yield gateway
    finally:
        await gateway.close()


class Sender:
    """The engine over a real database, with postfix as its mail server; its clock can be moved."""

    def __init__(self, office: Office, gateway: SmtpGateway) -> None:
        self.office = office
        self.delivery: Delivery = replace(office.delivery, gateways={"sms": office.sms, "email": gateway})
        self.gateway = gateway

    async def send(self, mailbox: str) -> tuple[Sending, Answer]:
        await self.office.queue(email=f"{mailbox}@{FAMILIES}", phone=None)
        [sent] = await self.send_due()
        return sent

    async def send_due(self) -> list[tuple[Sending, Answer]]:
        sent = []
        for sending in await claim_due(self.delivery, limit=10):
            answer = await self.gateway.send(sending.outgoing)
            assert await record_answers(self.delivery, [Answered(sending, answer)]) == [True]
            sent.append((sending, answer))
        return sent

    async def decide(self) -> None:
        def retry_in(channel, action, tries):
            return retry_in_s(channel, action, tries=tries, chance=0)

        await decide_failures(self.delivery, retry_in)


@pytest.fixture
async def sender(postfix: Postfix, pool: Pool) -> AsyncIterator[Sender]:
    async with gateway_to(postfix, ca_file=postfix.certificate) as gateway:
        yield Sender(Office(pool), gateway)


async def run_bounces(database_url: str, piped: Piped) -> int:
    """The command, as the pipe of a mail server runs it."""
    environment = {"PATH": os.environ["PATH"], **SETTINGS, "DATABASE_URL": database_url}
    command = [sys.executable, "-m", "service", "bounces", "--recipient", piped.recipient]
    process = await asyncio.create_subprocess_exec(
        *command, env=environment, stdin=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    _, told = await process.communicate(piped.raw)
    assert FAMILIES.encode() not in told, "an address in the log"
    assert process.returncode is not None
    return process.returncode


async def take_next(postfix: Postfix, sending: Sending, database: str | Pool) -> Piped:
    """Feed the next bounce of this attempt to the command, and postfix its exit status.

    Given a pool, without a process of its own, which costs two seconds of a processor.
    """
    piped = await postfix.piped(VERP(sending.outgoing.attempt_address))
    if isinstance(database, str):
        status = await run_bounces(database, piped)
    else:
        bounce = read_bounce(piped.raw, recipients=(piped.recipient,))
        assert not isinstance(bounce, NoBounce)
        await take_bounce(database, KEYS, bounce)
        status = TAKEN
    piped.answer(status)
    assert status == TAKEN
    return piped


async def until(is_true: Callable[[], object], *, timeout_s: float = 15) -> None:
    async with asyncio.timeout(timeout_s):
        while not is_true():  # noqa: ASYNC110 - another thread fills the mailbox
            await asyncio.sleep(0.05)


async def suppressed(office: Office) -> list[tuple[str, str]]:
    return [tuple(row) for row in await office.pool.fetch("SELECT channel, reason FROM suppressions")]


def public_key(_name: bytes, timeout: int = 5) -> bytes:
    der = KEY.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return b"v=DKIM1; k=rsa; p=" + base64.b64encode(der)


async def test_a_mail_goes_encrypted_to_postfix_and_arrives_signed(postfix: Postfix, sender: Sender) -> None:
    sending, answer = await sender.send("maija")
    assert answer == Accepted(f"{sending.message_id.hex}@county.test")
    await until(lambda: postfix.families.to(f"maija@{FAMILIES}"))
    [(came_from, raw)] = postfix.families.to(f"maija@{FAMILIES}")
    assert came_from == VERP(sending.outgoing.attempt_address)
    assert dkim.verify(raw, dnsfunc=public_key)
    assert b"using TLSv1" in raw
    assert SECRET["code"].encode() in raw
    assert await sender.office.state(sending.message_id) == ("sent", None)


async def test_a_real_bounce_calls_a_person_and_suppresses_the_address(
    postfix: Postfix, sender: Sender, database_url: str
) -> None:
    sending, answer = await sender.send("unknown")
    assert isinstance(answer, Accepted)
    piped = await take_next(postfix, sending, database_url)
    assert SECRET["code"].encode() not in piped.raw, "the code must not travel back"
    assert await sender.office.state(sending.message_id) == ("undelivered", "bad_contact")
    assert await suppressed(sender.office) == [("email", "hard_bounce")]
    await sender.decide()
    assert await sender.office.state(sending.message_id) == ("escalated", "bad_contact")
    [receipt] = await sender.office.pool.fetch("SELECT status, error_code, reference FROM receipts")
    assert isinstance(answer, Accepted)
    assert tuple(receipt) == ("bounced", "5.1.1", answer.reference)


@pytest.mark.slow  # test_bounces.py tells the mail server to wait, in `make test`
async def test_a_bounce_waits_in_postfix_while_the_database_is_down(
    postfix: Postfix, sender: Sender, database_url: str
) -> None:
    sending, _ = await sender.send("gone")
    piped = await postfix.piped(VERP(sending.outgoing.attempt_address))
    piped.answer(TRY_AGAIN)  # before it is shown below that this is what is answered: postfix keeps a mail 6 s
    again = await postfix.piped(piped.recipient)
    assert await run_bounces("postgresql://app@127.0.0.1:9/none", piped) == TRY_AGAIN
    assert (await sender.office.state(sending.message_id))[0] == "sent"
    status = await run_bounces(database_url, again)
    again.answer(status)
    assert status == TAKEN
    assert await sender.office.state(sending.message_id) == ("undelivered", "bad_contact")


async def test_a_server_that_answers_without_an_enhanced_code_is_understood(
    postfix: Postfix, sender: Sender, pool: Pool
) -> None:
    sending, _ = await sender.send("nobody")
    await take_next(postfix, sending, pool)
    assert await sender.office.state(sending.message_id) == ("undelivered", "bad_contact")


async def test_a_policy_that_refuses_us_is_not_held_against_the_address(
    postfix: Postfix, sender: Sender, pool: Pool
) -> None:
    sending, _ = await sender.send("strict")
    await take_next(postfix, sending, pool)
    assert await sender.office.state(sending.message_id) == ("undelivered", "filtered")
    assert await suppressed(sender.office) == []


async def test_a_full_mailbox_is_told_of_first_as_a_delay_and_then_tried_again_by_us(
    postfix: Postfix, sender: Sender, pool: Pool
) -> None:
    sending, _ = await sender.send("full")
    assert b"Action: delayed" in (await take_next(postfix, sending, pool)).raw
    assert await sender.office.state(sending.message_id) == ("sent", None)
    given_up = await take_next(postfix, sending, pool)
    assert b"Action: failed" in given_up.raw
    assert b"Status: 4.2.2" in given_up.raw
    await sender.decide()
    assert await sender.office.state(sending.message_id) == ("pending", "retry_later")
    assert await suppressed(sender.office) == []


async def test_a_greylisted_mail_is_sent_again_after_the_wait_and_arrives_once(
    postfix: Postfix, sender: Sender
) -> None:
    sending, answer = await sender.send("grey")
    assert not isinstance(answer, Accepted)
    await sender.decide()
    assert await sender.office.state(sending.message_id) == ("pending", "retry_later")
    await sender.office.pass_time(299)
    assert await sender.send_due() == []
    await sender.office.pass_time(2)
    [(again, answer)] = await sender.send_due()
    assert again.message_id == sending.message_id
    assert isinstance(answer, Accepted)
    await until(lambda: postfix.families.to(f"grey@{FAMILIES}"))
    await sender.office.pass_time(3600)
    assert await sender.send_due() == []
    assert len(postfix.families.to(f"grey@{FAMILIES}")) == 1


async def test_a_certificate_that_nobody_vouches_for_pauses_the_gateway(postfix: Postfix, pool: Pool) -> None:
    async with gateway_to(postfix) as gateway:
        sender = Sender(Office(pool), gateway)
        sending, _ = await sender.send("maija")
        await sender.decide()
    assert await sender.office.state(sending.message_id) == ("pending", "gateway_paused")
    [pause] = await pool.fetch("SELECT gateway, reason FROM gateway_pauses")
    assert tuple(pause) == ("smtp", "certificate_refused")
    assert await sender.send_due() == []
