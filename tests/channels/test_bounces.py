"""Reports of mail servers: which mail they are about, what they say, and what they do to it."""

from __future__ import annotations

import base64
import io
import os
import subprocess
import sys
from collections.abc import Callable
from uuid import UUID, uuid4

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from service.channels.bounces import (
    MAIL_MAX_BYTES,
    Bounce,
    NoBounce,
    Said,
    action_after_bounce,
    bounce_address,
    bounce_token,
    parse_bounce_token,
    read_bounce,
)
from service.channels.commands.bounces import read_bounded, take_bounce_from_pipe
from service.channels.gateway import Accepted, Action, Unknown, attempt_address
from service.channels.operations import (
    Answered,
    Effect,
    Sending,
    claim_due,
    claim_silent,
    decide_failures,
    look_up,
    record_answers,
)
from service.channels.operations.bounces import take_bounce
from service.db import Pool
from service.workers.retry import retry_in_s
from tests.channels.post_office import KEYS, SETTINGS, Office

ORGANISER, TOKEN = UUID(int=1), UUID("0192f0c1-aaaa-4bbb-8ccc-0123456789ab")
ADDRESS = bounce_address("bounce@county.example", attempt_address(ORGANISER, TOKEN))

POSTFIX = """\
Return-Path: <>
Date: Mon, 16 Nov 2026 10:00:00 +0200 (EET)
From: MAILER-DAEMON@mx.example (Mail Delivery System)
Subject: Undelivered Mail Returned to Sender
To: {to}
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status;
	boundary="B.1/mx.example"
Message-Id: <20261116@mx.example>

This is a MIME-encapsulated message.

--B.1/mx.example
Content-Description: Notification
Content-Type: text/plain; charset=us-ascii

I'm sorry to have to inform you that your message could not be delivered.

--B.1/mx.example
Content-Description: Delivery report
Content-Type: {report_type}{encoding}

{report}
--B.1/mx.example
Content-Description: Undelivered Message Headers
Content-Type: text/rfc822-headers

Return-Path: <bounce@county.example>
Message-ID: <{message_id}@county.example>
Subject: Palveluseteli

--B.1/mx.example--
"""
PER_MESSAGE = "Reporting-MTA: dns; mx.example\nArrival-Date: Mon, 16 Nov 2026 10:00:00 +0200 (EET)\n"


def recipient(
    action: str = "failed",
    status: str = "5.1.1",
    diagnostic: str = "smtp; 550 5.1.1 <maija@perhe.fi>: User unknown in virtual mailbox table",
) -> str:
    return (
        f"\nFinal-Recipient: rfc822; maija@perhe.fi\nOriginal-Recipient: rfc822;maija@perhe.fi\nAction: {action}\n"
        f"Status: {status}\nRemote-MTA: dns; mail.perhe.fi\nDiagnostic-Code: {diagnostic}\n"
    )


def dsn(
    *recipients: str,
    to: str = ADDRESS,
    report: str | None = None,
    report_type: str = "message/delivery-status",
    encoding: str = "",
    message_id: str = "m1",
) -> bytes:
    text = report if report is not None else PER_MESSAGE + "".join(recipients or (recipient(),))
    encoding = f"\nContent-Transfer-Encoding: {encoding}" if encoding else ""
    return POSTFIX.format(
        to=to, report=text, report_type=report_type, encoding=encoding, message_id=message_id
    ).encode()


def told(mail: bytes) -> tuple[str, str | None]:
    bounce = read_bounce(mail)
    assert isinstance(bounce, Bounce), bounce
    return bounce.said.value, bounce.code


# Addresses


@given(st.uuids(), st.uuids())
def test_a_bounce_address_leads_back_whatever_a_server_makes_of_its_case(organiser_id: UUID, token: UUID) -> None:
    address = bounce_address("bounce-fi.a@county.example", attempt_address(organiser_id, token))
    local_part = address.partition("@")[0]
    assert len(local_part) <= 64
    for text in (address, address.upper(), f"Name <{address}>", f"prvs=1234={address}", local_part):
        assert parse_bounce_token(text) == (organiser_id, token)


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz234567", min_size=50, max_size=54))
def test_a_token_has_one_spelling(text: str) -> None:
    found = parse_bounce_token(f"bounce+{text}@county.example")
    assert found is None or bounce_token(*found) == text


@pytest.mark.parametrize("text", ["", "bounce@county.example", "bounce+abc@county.example", "a+" + "1" * 52 + "@b.fi"])
def test_what_is_no_bounce_address_leads_nowhere(text: str) -> None:
    assert parse_bounce_token(text) is None


# Reading


def test_a_report_of_postfix_is_read_whole() -> None:
    bounce = read_bounce(dsn())
    assert bounce == Bounce(ORGANISER, TOKEN, Said.BOUNCED, "5.1.1", "m1@county.example")


def test_nothing_read_repeats_an_address_or_a_sentence() -> None:
    assert "perhe" not in repr(read_bounce(dsn()))


@pytest.mark.parametrize(
    ("action", "status", "diagnostic", "said", "code"),
    [
        ("failed", "5.2.1 (mailbox disabled)", "x; y", "bounced", "5.2.1"),
        ("Failed (bounced)", "5.1.10", "x; y", "bounced", "5.1.10"),
        ("failed", "4.2.2", "smtp; 452 4.2.2 full", "bounced", "4.2.2"),
        ("failed", "4.4.7", "smtp; 421 4.4.7 expired", "bounced", "4.4.7"),
        ("delayed", "4.4.1", "x-unix; no answer", "delayed", "4.4.1"),
        ("delivered", "2.0.0", "smtp; 250 2.0.0 ok", "delivered", "2.0.0"),
        ("relayed", "2.0.0", "smtp; 250 ok", "relayed", "2.0.0"),
        ("expanded", "2.0.0", "smtp; 250 ok", "relayed", "2.0.0"),
        # The remote server knew better than the one that reports.
        ("failed", "5.0.0", "smtp; 550 5.1.1 unknown user", "bounced", "5.1.1"),
        ("failed", "5.0.0", "smtp; 550 unknown user", "bounced", "550"),
        ("failed", "5.0.0", "x-unix; 550 unknown user", "bounced", "5.0.0"),
        ("failed", "5.0.0", "smtp; 554 delivery error: dd 5.1.1 not really", "bounced", "5.1.1"),
        ("failed", "", "smtp; 550 5.7.1 blocked", "bounced", "5.7.1"),
        ("failed", "nonsense", "", "bounced", None),
        ("", "5.1.1", "", "bounced", "5.1.1"),
        ("", "4.1.1", "", "delayed", "4.1.1"),
    ],
)
def test_action_and_status_are_read_as_rfc_3464_means_them(
    action: str, status: str, diagnostic: str, said: str, code: str | None
) -> None:
    assert told(dsn(recipient(action, status, diagnostic))) == (said, code)


def test_one_mailbox_that_has_the_mail_is_enough() -> None:
    failed, delivered, delayed = recipient(), recipient("delivered", "2.0.0"), recipient("delayed", "4.4.1")
    assert told(dsn(failed, delivered)) == ("delivered", "2.0.0")
    assert told(dsn(delayed, failed)) == ("bounced", "5.1.1")


def test_encoded_and_international_reports_are_read_too() -> None:
    text = PER_MESSAGE + recipient()
    encoded = base64.encodebytes(text.encode()).decode()
    assert told(dsn(report=encoded, encoding="base64")) == ("bounced", "5.1.1")
    assert told(dsn(report_type="message/global-delivery-status")) == ("bounced", "5.1.1")
    assert told(dsn(report=text.replace("=", "=3D"), encoding="quoted-printable")) == ("bounced", "5.1.1")
    assert told(dsn(report=text).replace(b"\n", b"\r\n")) == ("bounced", "5.1.1")


def test_the_attempt_is_found_by_the_envelope_or_by_what_the_server_was_told() -> None:
    elsewhere = dsn(to="postmaster@county.example")
    assert read_bounce(elsewhere) is NoBounce.NO_ATTEMPT
    assert isinstance(read_bounce(elsewhere, recipients=[ADDRESS]), Bounce)
    assert isinstance(read_bounce(b"X-Original-To: " + ADDRESS.encode() + b"\n" + elsewhere), Bounce)
    named = f"Original-Envelope-Id: {attempt_address(ORGANISER, TOKEN)}\n" + PER_MESSAGE + recipient()
    found = read_bounce(dsn(to="postmaster@county.example", report=named))
    assert isinstance(found, Bounce)
    assert (found.organiser_id, found.token) == (ORGANISER, TOKEN)


@pytest.mark.parametrize(
    ("mail", "what"),
    [
        (b"", NoBounce.NO_REPORT),
        (b"To: {to}\nSubject: Hei\n\nKiitos!\n", NoBounce.NO_REPORT),
        (b"To: {to}\nAuto-Submitted: no\n\nKiitos!\n", NoBounce.NO_REPORT),
        (b"To: {to}\nAuto-Submitted: auto-replied (vacation)\n\nOlen lomalla 550 5.1.1\n", NoBounce.AUTO_REPLY),
        (b"To: {to}\nPrecedence: auto_reply\n\nOlen lomalla\n", NoBounce.AUTO_REPLY),
        (b"To: {to}\nX-Autoreply: yes\n\nOlen lomalla\n", NoBounce.AUTO_REPLY),
    ],
)
def test_holiday_answers_and_letters_are_no_bounces(mail: bytes, what: NoBounce) -> None:
    assert read_bounce(mail.replace(b"{to}", ADDRESS.encode())) is what


def test_a_bounce_that_somebody_forwards_is_not_taken_for_one() -> None:
    inner = dsn().decode()
    head = f"To: {ADDRESS}\nContent-Type: multipart/mixed; boundary=F\n\n--F\nContent-Type: message/rfc822\n\n"
    assert read_bounce(f"{head}{inner}\n--F--\n".encode()) is NoBounce.NO_REPORT


def test_reports_without_a_fate_are_unreadable() -> None:
    assert read_bounce(dsn(report=PER_MESSAGE)) is NoBounce.UNREADABLE
    assert read_bounce(dsn(report="")) is NoBounce.UNREADABLE


# Harm


@given(st.binary(max_size=2000))
def test_any_bytes_can_be_read(raw: bytes) -> None:
    read_bounce(raw)


@given(st.data())
def test_a_report_that_is_damaged_anywhere_can_be_read(data: st.DataObject) -> None:
    mail = bytearray(dsn())
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(mail) - 1))
        mail[at : at + data.draw(st.integers(0, 40))] = data.draw(st.binary(max_size=20))
        if not mail:
            return
    read_bounce(bytes(mail))


@pytest.mark.parametrize(
    "make",
    [
        lambda: b"Content-Type: multipart/report; boundary=a\n\n--a\n" * 15_000,
        lambda: b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(10_000)),
        lambda: b"Content-Type: message/rfc822\n\n" * 30_000,
        lambda: b"To: " + b"a," * 500_000 + b"\n\n",
        lambda: b"To: x\n" * 150_000 + b"\n",
        lambda: b"A: b\n " * 150_000 + b"\n",
        lambda: dsn(PER_MESSAGE + "\n", *[recipient()] * 5_000),
        lambda: dsn(recipient(diagnostic="smtp; " + "5." * 400_000)),
        lambda: dsn(to="+" + "a" * 900_000),
        lambda: dsn() + b"x" * 3 * MAIL_MAX_BYTES,
        lambda: b"\0" * MAIL_MAX_BYTES,
    ],
)
@pytest.mark.timeout(20)
def test_a_mail_that_is_made_to_harm_costs_a_moment(make: Callable[[], bytes]) -> None:
    read_bounce(make())


def test_what_comes_after_a_megabyte_is_not_looked_at() -> None:
    late = dsn().replace(b"\n\nThis is", b"\n\n" + b"x" * MAIL_MAX_BYTES + b"\nThis is", 1)
    assert not isinstance(read_bounce(late), Bounce)


def test_no_more_than_a_megabyte_is_kept_and_the_writer_is_heard_out() -> None:
    stream = io.BytesIO(b"x" * (3 * MAIL_MAX_BYTES))
    assert len(read_bounded(stream)) == MAIL_MAX_BYTES
    assert stream.read() == b""


# The command


def run_bounces(mail: bytes, **environment: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "service", "bounces"]
    return subprocess.run(command, input=mail, env={"PATH": os.environ["PATH"], **environment}, capture_output=True)


def test_a_mail_that_is_no_bounce_is_dealt_with_though_the_database_is_down() -> None:
    mail = f"From: maija@perhe.fi\nTo: {ADDRESS}\nAuto-Submitted: auto-replied\n\nOlen lomalla.\n".encode()
    done = run_bounces(mail + b"x" * 2 * MAIL_MAX_BYTES, **SETTINGS)
    assert done.returncode == 0
    assert b'"reason": "auto_reply"' in done.stderr
    assert b"perhe.fi" not in done.stderr


def test_a_bounce_is_kept_by_the_mail_server_while_the_database_is_down_or_a_setting_is_missing() -> None:
    down = run_bounces(dsn(), **SETTINGS)
    assert down.returncode == 75
    assert b"database_unavailable" in down.stderr or b"DatabaseUnavailable" in down.stderr
    assert b"perhe.fi" not in down.stderr
    app = typer.Typer()
    app.command()(take_bounce_from_pipe)
    unset = CliRunner().invoke(app, input=dsn())
    assert unset.exit_code == 75
    assert "DATABASE_URL" in unset.stderr


# What failures ask for


@pytest.mark.parametrize(
    ("codes", "action"),
    [
        ("5.1.0 5.1.1 5.1.2 5.1.3 5.1.6 5.1.10 5.2.0 5.2.1 5.4.1 550 551 553", Action.BAD_CONTACT),
        ("4.2.2 4.4.7 4.7.1 4.1.1 5.2.2 5.3.0 5.4.0 5.4.4 5.4.7 552", Action.RETRY_LATER),
        ("5.7.1 5.7.26 5.1.8 5.2.3 5.3.4 5.6.0 554", Action.FILTERED),
        ("5.0.0 5.5.0 2.0.0 500", Action.UNCLASSIFIED),
    ],
)
def test_only_what_is_the_addresss_own_fault_is_held_against_it(codes: str, action: Action) -> None:
    assert {code: action_after_bounce(code) for code in codes.split()} == dict.fromkeys(codes.split(), action)
    assert action_after_bounce(None) is Action.UNCLASSIFIED


# Effects


@pytest.fixture
def office(pool: Pool) -> Office:
    return Office(pool)


async def mailed(office: Office, *, phone: str | None = None, answer: Accepted | Unknown | None = None) -> Sending:
    """A mail that our server took, its attempt on record. With `phone`, the text was refused first."""
    await office.queue(email="maija@perhe.fi", phone=phone)
    [sending] = await claim_due(office.delivery, limit=1)
    reference = f"{sending.message_id.hex}@county.example"
    assert await record_answers(office.delivery, [Answered(sending, answer or Accepted(reference))]) == [True]
    return sending


def bounce_of(sending: Sending, said: Said = Said.BOUNCED, code: str | None = "5.1.1") -> Bounce:
    found = parse_bounce_token(bounce_address("b@county.example", sending.outgoing.attempt_address))
    assert found is not None
    return Bounce(*found, said=said, code=code, message_id=None)


async def decide(office: Office) -> None:
    await decide_failures(
        office.delivery, lambda channel, action, tries: retry_in_s(channel, action, tries=tries, chance=0)
    )


async def suppressed(office: Office) -> list[tuple[str, str]]:
    rows = await office.pool.fetch("SELECT channel, reason FROM suppressions WHERE lifted_at IS NULL")
    return [tuple(row) for row in rows]


async def test_a_hard_bounce_moves_the_mail_calls_a_person_and_suppresses_the_address(office: Office) -> None:
    sending = await mailed(office)
    assert await office.state(sending.message_id) == ("sent", None)
    assert await take_bounce(office.pool, KEYS, bounce_of(sending)) is Effect.MOVED
    assert await office.state(sending.message_id) == ("undelivered", "bad_contact")
    assert await suppressed(office) == [("email", "hard_bounce")]
    await decide(office)
    assert await office.state(sending.message_id) == ("escalated", "bad_contact")
    [receipt] = await office.pool.fetch("SELECT status, error_code, reference FROM receipts")
    assert tuple(receipt) == ("bounced", "5.1.1", f"{sending.message_id.hex}@county.example")


async def test_the_same_bounce_twice_is_one_and_a_lifted_address_stays_lifted(office: Office) -> None:
    sending = await mailed(office)
    await take_bounce(office.pool, KEYS, bounce_of(sending))
    await office.pool.execute("UPDATE suppressions SET lifted_at = now(), lifted_by = 'caseworker'")
    assert await take_bounce(office.pool, KEYS, bounce_of(sending)) is Effect.DUPLICATE
    assert await suppressed(office) == []
    assert await office.pool.fetchval("SELECT count(*) FROM receipts") == 1


async def test_a_policy_bounce_leaves_the_address_alone(office: Office) -> None:
    sending = await mailed(office)
    await take_bounce(office.pool, KEYS, bounce_of(sending, code="5.7.1"))
    await decide(office)
    assert await office.state(sending.message_id) == ("escalated", "filtered")
    assert await suppressed(office) == []


async def test_no_bounce_pauses_the_gateway(office: Office) -> None:
    for code in ("5.7.1", "5.7.26", "5.1.8", "5.5.1"):
        sending = await mailed(office)
        await take_bounce(office.pool, KEYS, bounce_of(sending, code=code))
        await decide(office)
    assert await office.pool.fetchval("SELECT count(*) FROM gateway_pauses") == 0


async def test_a_full_mailbox_is_tried_again_within_the_day_and_not_suppressed(office: Office) -> None:
    sending = await mailed(office)
    await take_bounce(office.pool, KEYS, bounce_of(sending, code="4.2.2"))
    await decide(office)
    assert await office.state(sending.message_id) == ("pending", "retry_later")
    await office.pass_time(299)
    assert await claim_due(office.delivery, limit=1) == []
    await office.pass_time(2)
    [again] = await claim_due(office.delivery, limit=1)
    assert again.message_id == sending.message_id
    assert again.outgoing.content.message_id == sending.outgoing.content.message_id  # type: ignore[union-attr]
    assert await suppressed(office) == []


async def test_a_delay_moves_nothing_for_good(office: Office) -> None:
    sending = await mailed(office)
    delay = bounce_of(sending, Said.DELAYED, "4.4.1")
    assert await take_bounce(office.pool, KEYS, delay) is Effect.NO_MOVE
    assert await take_bounce(office.pool, KEYS, delay) is Effect.DUPLICATE
    assert await office.state(sending.message_id) == ("sent", None)
    assert await take_bounce(office.pool, KEYS, bounce_of(sending)) is Effect.MOVED


async def test_a_delay_tells_of_a_mail_whose_250_was_lost_that_it_need_not_be_repeated(office: Office) -> None:
    sending = await mailed(office, answer=Unknown("timeout"))
    assert (await office.state(sending.message_id))[0] == "unknown"
    assert await take_bounce(office.pool, KEYS, bounce_of(sending, Said.DELAYED, "4.4.1")) is Effect.MOVED
    assert await office.state(sending.message_id) == ("sent", None)
    await office.pass_time(3600)
    for silent in await claim_silent(office.delivery, limit=10):
        await look_up(office.delivery, silent)
    assert await claim_due(office.delivery, limit=10) == []
    assert await office.state(sending.message_id) == ("sent", None)
    assert (await office.row(sending.message_id))["due_at"] is None, "there is nobody to ask"


async def test_a_bounce_that_is_faster_than_our_own_record_of_the_250_stands(office: Office) -> None:
    await office.queue(email="maija@perhe.fi", phone=None)
    [sending] = await claim_due(office.delivery, limit=1)
    reference = f"{sending.message_id.hex}@county.example"
    early = bounce_of(sending)
    returned = Bounce(early.organiser_id, early.token, early.said, early.code, message_id=reference)
    assert await take_bounce(office.pool, KEYS, returned) is Effect.MOVED
    await record_answers(office.delivery, [Answered(sending, Accepted(reference))])
    assert await office.state(sending.message_id) == ("undelivered", "bad_contact")
    assert await take_bounce(office.pool, KEYS, early) is Effect.DUPLICATE


async def test_what_was_delivered_after_all_stays_delivered(office: Office) -> None:
    sending = await mailed(office)
    assert await take_bounce(office.pool, KEYS, bounce_of(sending, Said.DELIVERED, "2.0.0")) is Effect.MOVED
    assert await take_bounce(office.pool, KEYS, bounce_of(sending)) is Effect.NO_MOVE
    assert (await office.state(sending.message_id))[0] == "delivered"


async def test_a_bounce_for_a_token_that_nobody_has_changes_nothing(office: Office) -> None:
    sending = await mailed(office)
    true = bounce_of(sending)
    for organiser_id, token in ((true.organiser_id, uuid4()), (uuid4(), true.token)):
        forged = Bounce(organiser_id, token, Said.BOUNCED, "5.1.1", f"{sending.message_id.hex}@county.example")
        assert await take_bounce(office.pool, KEYS, forged) is Effect.UNKNOWN_ATTEMPT
    assert await office.state(sending.message_id) == ("sent", None)
    assert await suppressed(office) == []
    assert await office.pool.fetchval("SELECT count(*) FROM receipts") == 0


async def test_the_token_of_a_text_message_is_no_mails(office: Office) -> None:
    await office.queue()
    [sending] = await claim_due(office.delivery, limit=1)
    assert await take_bounce(office.pool, KEYS, bounce_of(sending)) is Effect.UNKNOWN_ATTEMPT
    assert (await office.state(sending.message_id))[0] == "sending"
