"""SMTP: the mail that arrives, codes and what they become, encryption that is never given up, reuse and loss."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session

from service.channels.gateway import Accepted, Action, EmailContent, Image, Outgoing, Refused, Unknown
from service.channels.gateways.smtp import SmtpGateway
from service.channels.gateways.smtp_pool import Security, Server
from service.channels.rendering import Templates, qr_png
from service.sandbox.certificate import write_certificate
from tests.channels.smtp_server import DROP, HANG, SmtpServer, smtp_server

TIMEOUT_S = 0.5  # where the server is silent; elsewhere a busy machine is waited for
RECIPIENT = "maija@example.fi"
CONTENT = EmailContent(
    subject="Palveluseteli perheellenne – ääkköset",
    text="Hei!\n.piste alussa\n..kaksi\nKoodi: 4827 0315 9268\n" + "pitkä rivi " * 30 + "\n",
    html='<p>Hei! <img src="cid:qr" alt="QR"></p>',
    images=(Image("qr", "image/png", qr_png("text")),),
    message_id="0192f0c1",
)


@contextlib.asynccontextmanager
async def smtp_gateway(
    port: int,
    *,
    security: Security = "none",
    ca_file: Path | None = None,
    username: str | None = None,
    password: str | None = None,
    bounce_address: Callable[[str], str] | None = None,
    connections: int = 2,
    timeout_s: float = 30,
) -> AsyncIterator[SmtpGateway]:
    gateway = SmtpGateway(
        Server(
            host="localhost" if security != "none" else "127.0.0.1",
            port=port,
            security=security,
            local_hostname="county.example",
            timeout_s=timeout_s,
            ca_file=str(ca_file) if ca_file else None,
            username=username,
            password=password,
        ),
        sender="Seteli Ää <seteli@county.example>",
        bounce_address=bounce_address,
        connections=connections,
    )
    try:
        yield gateway
    finally:
        await gateway.close()


def outgoing(content: EmailContent = CONTENT, recipient: str = RECIPIENT) -> Outgoing:
    return Outgoing("abc", recipient, content)


def parse(raw: bytes) -> EmailMessage:
    message = message_from_bytes(raw, policy=policy.default)  # its line ends stay CRLF
    assert isinstance(message, EmailMessage)
    return message


async def test_the_mail_that_arrives_is_the_one_that_was_meant() -> None:
    """aiosmtpd reads it: a server that somebody else has written."""
    received: list[Envelope] = []

    class Keep:
        async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
            received.append(envelope)
            return "250 OK"

    server = await asyncio.get_running_loop().create_server(lambda: SMTP(Keep(), hostname="test"), "127.0.0.1", 0)
    async with smtp_gateway(
        server.sockets[0].getsockname()[1], bounce_address=lambda attempt: f"bounce+{attempt}@county.example"
    ) as gateway:
        assert await gateway.send(outgoing()) == Accepted("0192f0c1@county.example")
        assert await gateway.send(outgoing()) == Accepted("0192f0c1@county.example")
    server.close()
    envelope, repeat = received
    assert envelope.mail_from == "bounce+abc@county.example"
    assert envelope.rcpt_tos == [RECIPIENT]
    assert isinstance(envelope.content, bytes)
    assert envelope.content.isascii()
    assert max(map(len, envelope.content.split(b"\r\n"))) <= 998
    mail = parse(envelope.content)
    assert mail.defects == []
    assert mail["Subject"] == CONTENT.subject
    assert mail["From"] == "Seteli Ää <seteli@county.example>"
    assert mail["To"] == RECIPIENT
    assert mail["Message-ID"] == "<0192f0c1@county.example>"
    assert parse(bytes(repeat.content or b""))["Message-ID"] == mail["Message-ID"]
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Date"].datetime is not None
    assert [name for name in mail if name.lower().startswith("list-")] == []
    assert [part.get_content_type() for part in mail.walk()] == [
        "multipart/alternative",
        "text/plain",
        "multipart/related",
        "text/html",
        "image/png",
    ]
    text, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert text is not None
    assert html is not None
    assert text.get_content().replace("\r\n", "\n") == CONTENT.text
    assert html.get_content().strip() == CONTENT.html
    image = next(part for part in mail.walk() if part.get_content_type() == "image/png")
    assert image["Content-ID"] == "<qr>"
    assert image.get_content_disposition() == "inline"
    assert image.get_content() == CONTENT.images[0].data


async def test_a_whole_voucher_mail_survives_the_way() -> None:
    fields = dict.fromkeys(
        ["programme", "amount", "weekly", "valid_to", "organiser", "help_phone", "directory"], "Ää & öljy"
    )
    content = Templates().render_email(
        "voucher",
        "sv",
        fields | {"code": "4827 0315 9268", "link": "https://seteli.test/f/x"},
        images=(Image("qr", "image/png", qr_png("https://a.example/provider#1")),),
        message_id="m1",
    )
    async with smtp_server() as server, smtp_gateway(server.port) as gateway:
        assert isinstance(await gateway.send(outgoing(content)), Accepted)
        mail = parse(server.mails[0][2].replace(b"\r\n..", b"\r\n."))
        html = mail.get_body(("html",))
        assert html is not None
        assert html.get_content().replace("\r\n", "\n") == content.html


def have_patience(gateway: SmtpGateway) -> None:
    """The server is silent no more: it is waited for as long as a busy machine takes."""
    gateway._timeout_s = 30
    gateway._pool._server = replace(gateway._pool._server, timeout_s=30)


async def test_a_connection_is_reused_and_said_goodbye_to() -> None:
    async with smtp_server() as server:
        async with smtp_gateway(server.port) as gateway:
            for _ in range(5):
                assert isinstance(await gateway.send(outgoing()), Accepted)
            assert server.connections == 1
        assert server.commands[-1] == "QUIT"


async def test_no_more_connections_than_allowed_are_open() -> None:
    async with smtp_server() as server, smtp_gateway(server.port, connections=3) as gateway:
        await asyncio.gather(*(gateway.send(outgoing()) for _ in range(20)))
        assert len(server.mails) == 20
        assert server.connections <= 3


async def test_an_idle_connection_that_died_is_reopened_without_a_word() -> None:
    async with smtp_server() as server, smtp_gateway(server.port) as gateway:
        await gateway.send(outgoing())
        server.drop_all()
        assert isinstance(await gateway.send(outgoing()), Accepted)
        assert (server.connections, len(server.mails)) == (2, 2)


async def test_a_reused_connection_that_is_sent_away_is_reopened_once() -> None:
    async with smtp_server() as server, smtp_gateway(server.port) as gateway:
        await gateway.send(outgoing())
        server.replies["MAIL"] = "421 4.7.0 too many mails on this connection"
        assert await gateway.send(outgoing()) == Refused("421 4.7.0", Action.RETRY_LATER, "sender")
        assert server.connections == 2
        server.replies.clear()
        assert isinstance(await gateway.send(outgoing()), Accepted)


async def test_a_refused_recipient_leaves_the_connection_usable() -> None:
    async with smtp_server() as server, smtp_gateway(server.port) as gateway:
        server.replies["RCPT"] = "550 5.1.1 no such user"
        await gateway.send(outgoing())
        server.replies.clear()
        assert isinstance(await gateway.send(outgoing()), Accepted)
        assert server.connections == 1
        assert server.commands.count("RSET") == 1


@pytest.mark.parametrize(
    ("command", "reply", "code", "action"),
    [
        ("GREETING", "554 5.7.1 you are blocked", "554 5.7.1", Action.PAUSE_GATEWAY),
        ("GREETING", "421 4.3.2 busy", "421 4.3.2", Action.RETRY_LATER),
        ("EHLO", "421 busy", "421", Action.RETRY_LATER),
        ("MAIL", "451 4.3.0 trouble", "451 4.3.0", Action.RETRY_LATER),
        ("MAIL", "550 5.7.1 sender refused", "550 5.7.1", Action.PAUSE_GATEWAY),
        ("MAIL", "530 5.7.0 log in first", "530 5.7.0", Action.PAUSE_GATEWAY),
        ("MAIL", "553 5.1.8 sender's domain unknown", "553 5.1.8", Action.PAUSE_GATEWAY),
        ("RCPT", "450 4.2.0 greylisted", "450 4.2.0", Action.RETRY_LATER),
        ("RCPT", "452 4.2.2 mailbox full", "452 4.2.2", Action.RETRY_LATER),
        ("RCPT", "550 no such user", "550", Action.BAD_CONTACT),
        ("RCPT", "550 5.1.1 no such user", "550 5.1.1", Action.BAD_CONTACT),
        ("RCPT", "550-5.1.1 no such\r\n550 5.1.1 user", "550 5.1.1", Action.BAD_CONTACT),
        ("RCPT", "552 5.2.2 mailbox full for good", "552 5.2.2", Action.BAD_CONTACT),
        ("RCPT", "550 5.1.8 sender's address", "550 5.1.8", Action.PAUSE_GATEWAY),
        ("RCPT", "554 5.7.1 relay access denied", "554 5.7.1", Action.PAUSE_GATEWAY),
        ("RCPT", "503 5.5.1 bad sequence", "503 5.5.1", Action.PAUSE_GATEWAY),
        ("DATA", "451 4.3.0 no", "451 4.3.0", Action.RETRY_LATER),
        ("DATA", "550 5.1.1 no recipient", "550 5.1.1", Action.BAD_CONTACT),
        ("CONTENT", "451 4.7.1 greylisted at the end", "451 4.7.1", Action.RETRY_LATER),
        ("CONTENT", "550 5.1.1 no such user after all", "550 5.1.1", Action.BAD_CONTACT),
        ("CONTENT", "550 5.7.1 looks like spam", "550 5.7.1", Action.FILTERED),
        ("CONTENT", "554 rejected", "554", Action.FILTERED),
        ("CONTENT", "552 5.3.4 too big", "552 5.3.4", Action.TEMPLATE_FAULT),
        ("CONTENT", "550 who knows", "550", Action.UNCLASSIFIED),
    ],
)
async def test_each_reply_becomes_its_action(command: str, reply: str, code: str, action: Action) -> None:
    async with smtp_server() as server, smtp_gateway(server.port) as gateway:
        server.replies[command] = reply
        answer = await gateway.send(outgoing())
        assert isinstance(answer, Refused)
        assert (answer.code, answer.action) == (code, action)
        assert server.mails == []


@pytest.mark.parametrize("command", ["GREETING", "EHLO", "MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize("fate", [DROP, HANG])
async def test_a_loss_before_the_content_is_a_safe_retry(command: str, fate: str) -> None:
    async with smtp_server() as server, smtp_gateway(server.port, timeout_s=TIMEOUT_S) as gateway:
        server.replies[command] = fate
        answer = await gateway.send(outgoing())
        assert isinstance(answer, Refused)
        assert answer.action is Action.RETRY
        assert server.mails == []
        server.replies.clear()
        have_patience(gateway)
        assert isinstance(await gateway.send(outgoing()), Accepted)


@pytest.mark.parametrize(("fate", "reason"), [(DROP, "connection_lost"), (HANG, "timeout")])
async def test_a_loss_after_the_content_is_unknown_and_never_repeated(fate: str, reason: str) -> None:
    async with smtp_server() as server, smtp_gateway(server.port, timeout_s=TIMEOUT_S) as gateway:
        server.replies["CONTENT"] = fate
        assert await gateway.send(outgoing()) == Unknown(reason)
        assert server.commands.count("DATA") == 1
        server.replies.clear()
        have_patience(gateway)
        assert isinstance(await gateway.send(outgoing()), Accepted)


async def test_a_refusal_stays_one_though_the_reset_hangs() -> None:
    async with smtp_server() as server, smtp_gateway(server.port, timeout_s=TIMEOUT_S) as gateway:
        server.replies |= {"CONTENT": "554 5.7.1 no", "RSET": HANG}
        assert await gateway.send(outgoing()) == Refused("554 5.7.1", Action.FILTERED, "content")


async def test_what_cannot_be_a_header_is_our_own_fault() -> None:
    async with smtp_server() as server, smtp_gateway(server.port) as gateway:
        answer = await gateway.send(outgoing(EmailContent("a\nBcc: b@example.fi", "t", "h", (), "m")))
        assert answer == Refused("mail_not_composable", Action.TEMPLATE_FAULT)
        assert server.commands == []


async def test_a_recipient_that_smuggles_commands_goes_nowhere() -> None:
    async with smtp_server() as server, smtp_gateway(server.port) as gateway:
        answer = await gateway.send(outgoing(recipient="a@example.fi>\r\nRCPT TO:<b@example.fi"))
        assert isinstance(answer, Refused)
        assert "RCPT" not in server.commands


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("certificate")
    write_certificate(folder / "certificate.pem", folder / "key.pem")
    return folder / "certificate.pem", folder / "key.pem"


@pytest.fixture
def tls(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    return context


async def test_mail_is_encrypted_with_starttls(tls: ssl.SSLContext, certificate: tuple[Path, Path]) -> None:
    async with (
        smtp_server(tls=tls) as server,
        smtp_gateway(server.port, security="starttls", ca_file=certificate[0]) as gateway,
    ):
        assert isinstance(await gateway.send(outgoing()), Accepted)
        assert isinstance(await gateway.send(outgoing()), Accepted)
        assert (server.encrypted, server.connections) == (1, 1)
        assert server.commands.index("STARTTLS") < server.commands.index("MAIL")


async def test_mail_is_encrypted_from_the_start(tls: ssl.SSLContext, certificate: tuple[Path, Path]) -> None:
    async with (
        smtp_server(tls=tls, implicit=True) as server,
        smtp_gateway(server.port, security="tls", ca_file=certificate[0]) as gateway,
    ):
        assert isinstance(await gateway.send(outgoing()), Accepted)


async def _refused_in_the_clear(server: SmtpServer, gateway: SmtpGateway) -> str:
    answer = await gateway.send(outgoing())
    assert isinstance(answer, Refused)
    assert answer.action is Action.PAUSE_GATEWAY
    assert "MAIL" not in server.commands
    assert "AUTH" not in server.commands
    return answer.code


@pytest.mark.parametrize("username", [None, "u"])
async def test_without_starttls_nothing_is_sent_in_the_clear(username: str | None) -> None:
    async with (
        smtp_server() as server,
        smtp_gateway(server.port, security="starttls", username=username, password=username) as gateway,
    ):
        server.features.append("AUTH PLAIN")
        assert await _refused_in_the_clear(server, gateway) == "server_lacks_feature"


async def test_a_server_that_refuses_starttls_gets_nothing(tls: ssl.SSLContext) -> None:
    async with smtp_server(tls=tls) as server, smtp_gateway(server.port, security="starttls") as gateway:
        server.replies["STARTTLS"] = "554 5.7.3 not today"
        assert await _refused_in_the_clear(server, gateway) == "554 5.7.3"


@pytest.mark.parametrize(("security", "implicit"), [("starttls", False), ("tls", True)])
async def test_an_unknown_certificate_pauses_the_gateway(
    tls: ssl.SSLContext, security: Security, implicit: bool
) -> None:
    async with (
        smtp_server(tls=tls, implicit=implicit) as server,
        smtp_gateway(server.port, security=security) as gateway,
    ):
        assert await _refused_in_the_clear(server, gateway) == "certificate_refused"


async def test_wrong_credentials_pause_the_gateway() -> None:
    async with smtp_server() as server, smtp_gateway(server.port, username="u", password="p") as gateway:
        server.features.append("AUTH PLAIN")
        server.replies["AUTH"] = "535 5.7.8 wrong"
        assert await gateway.send(outgoing()) == Refused("535 5.7.8", Action.PAUSE_GATEWAY, "connecting")
        server.replies["AUTH"] = "235 2.7.0 welcome"
        assert isinstance(await gateway.send(outgoing()), Accepted)


async def test_a_server_that_can_is_told_what_to_report_and_to_leave_the_body_out() -> None:
    async with (
        smtp_server() as server,
        smtp_gateway(server.port, bounce_address=lambda attempt: f"b+{attempt}@county.example") as gateway,
    ):
        server.features.append("DSN")
        assert isinstance(await gateway.send(outgoing()), Accepted)
        sender, recipient, _ = server.mails[0]
        assert sender == "MAIL FROM:<b+abc@county.example> RET=HDRS ENVID=abc"
        assert recipient == f"RCPT TO:<{RECIPIENT}> NOTIFY=FAILURE,DELAY"


@pytest.mark.parametrize("features", [[], ["DSN"]])
async def test_where_nobody_reads_bounces_or_the_server_cannot_nothing_is_asked(features: list[str]) -> None:
    verp = None if features else (lambda attempt: f"b+{attempt}@county.example")
    async with smtp_server() as server, smtp_gateway(server.port, bounce_address=verp) as gateway:
        server.features += features
        assert isinstance(await gateway.send(outgoing()), Accepted)
        assert "RET=" not in server.mails[0][0]
        assert "NOTIFY" not in server.mails[0][1]


async def test_a_server_from_before_ehlo_gets_its_mail_too() -> None:
    async with smtp_server() as server, smtp_gateway(server.port) as gateway:
        server.replies["EHLO"] = "502 5.5.1 what?"
        assert isinstance(await gateway.send(outgoing()), Accepted)
        assert server.commands[:2] == ["EHLO", "HELO"]
