"""DKIM: what is signed here, dkimpy verifies, and what was changed on the way it refuses."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from pathlib import Path

import dkim
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st

from service.channels.gateway import Accepted, EmailContent, Image, Outgoing
from service.channels.gateways.dkim import Signer, SigningKeyUnusable, read_signing_key
from service.channels.gateways.smtp import SmtpGateway, compose
from service.channels.gateways.smtp_pool import Server
from service.resources import open_resources
from service.settings import MissingSettings, Settings
from tests.channels.smtp_server import smtp_server
from tests.installations import settings_for

NOW = datetime(2026, 11, 16, 10, 0, tzinfo=UTC)
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
SIGNER = Signer(domain="county.example", selector="s2026", key=KEY)


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, password: bytes | None = None) -> bytes:
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def record(name: bytes, timeout: int = 5) -> bytes:
    """The DNS that a receiver would ask."""
    assert name == b"s2026._domainkey.county.example."
    der = KEY.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return b"v=DKIM1; k=rsa; p=" + base64.b64encode(der)


def is_valid(mail: bytes) -> bool:
    return bool(dkim.verify(mail, dnsfunc=record))


def mail(subject: str = "Palveluseteli – ääkköset", text: str = "Hei!  \n\n.piste\n\tsisennys   \n\n\n") -> bytes:
    content = EmailContent(subject, text, "<p>Hei!</p>", (Image("qr", "image/png", b"\x89PNG" * 300),), "m1")
    sender, to = "Seteli Ää <seteli@county.example>", "maija@perhe.fi"
    return compose(content, sender=sender, recipient=to, now=NOW).as_bytes()


def signed(content: bytes) -> bytes:
    return SIGNER(content, NOW) + content


def test_what_is_signed_verifies() -> None:
    assert is_valid(signed(mail()))


@given(st.text(st.characters(exclude_categories=["C", "Z"])), st.text())
def test_any_mail_that_can_be_composed_verifies(subject: str, text: str) -> None:
    assert is_valid(signed(mail(subject, text)))


def test_a_signature_survives_what_relays_do_to_white_space() -> None:
    whole = signed(mail())
    assert is_valid(b"Received: by relay.example\r\n" + whole)
    assert is_valid(whole.replace(b"\r\nSubject: ", b"\r\nSUBJECT:   "))
    assert is_valid(whole + b"\r\n\r\n")


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        (b"From: Seteli", b"From: Verottaja"),
        (b"To: maija@", b"To: pekka@"),
        (b"m1@county.example", b"m2@county.example"),
        (b"\r\n.piste", b"\r\n.pisto"),
        (b"Subject: ", b"Subject: Re: "),
        (b"multipart/alternative", b"multipart/mixed"),
    ],
)
def test_a_mail_that_was_changed_on_the_way_does_not_verify(was: bytes, becomes: bytes) -> None:
    whole = signed(mail())
    assert was in whole
    assert not is_valid(whole.replace(was, becomes, 1))


@pytest.mark.parametrize(
    "field", [b"From: x@evil.example", b"Subject: other", b"Reply-To: x@evil.example", b"To: a@b.fi"]
)
def test_no_field_can_be_put_in_front_of_a_signed_mail(field: bytes) -> None:
    assert not is_valid(field + b"\r\n" + signed(mail()))


def test_of_two_fields_of_a_name_the_lower_one_is_signed() -> None:
    twice = b"Auto-Submitted: no\r\n" + mail()
    assert is_valid(signed(twice))
    assert is_valid(signed(twice).replace(b"Auto-Submitted: no\r\n", b"Auto-Submitted: nu\r\n", 1))


async def test_the_gateway_signs_what_it_sends() -> None:
    async with smtp_server() as server:
        gateway = SmtpGateway(
            Server(host="127.0.0.1", port=server.port, security="none", local_hostname="a.example", timeout_s=2),
            sender="Seteli <seteli@county.example>",
            sign=SIGNER,
        )
        content = EmailContent("s", ".piste\n..kaksi\n", "<p>h</p>", (), "m1")
        assert isinstance(await gateway.send(Outgoing("a", "maija@perhe.fi", content)), Accepted)
        await gateway.close()
    arrived = server.mails[0][2].replace(b"\r\n..", b"\r\n.")
    assert arrived.startswith(b"DKIM-Signature:")
    assert is_valid(arrived)


def test_a_key_is_read_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(pem(KEY))
    assert read_signing_key(str(path)).private_numbers() == KEY.private_numbers()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n",
        pem(KEY, b"password"),
        pem(ec.generate_private_key(ec.SECP256R1())),
    ],
    ids=["empty", "nonsense", "password", "elliptic"],
)
def test_a_key_that_cannot_sign_is_told_without_repeating_it(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(content)
    with pytest.raises(SigningKeyUnusable) as caught:
        read_signing_key(str(path))
    assert "secret" not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)
    with pytest.raises(SigningKeyUnusable):
        read_signing_key(str(tmp_path / "absent.pem"))


async def test_a_process_whose_key_cannot_be_used_does_not_start() -> None:
    settings = settings_for(
        "postgresql://127.0.0.1:9/x", "redis://127.0.0.1:9", dkim_key_file="/nowhere.pem", dkim_selector="s"
    )
    with pytest.raises(MissingSettings, match="DKIM_KEY_FILE"):
        async with open_resources(settings):
            pass


@pytest.mark.parametrize(
    "changes",
    [
        {"dkim_selector": "s"},
        {"dkim_key_file": "key.pem"},
        {"dkim_key_file": "key.pem", "dkim_selector": "s; t=y"},
        {"bounce_address": "bounces-and-more@county.example"},  # no room for the token
        {"bounce_address": "bounce"},
    ],
)
def test_settings_of_mail_that_cannot_work_are_refused(changes: dict[str, str]) -> None:
    with pytest.raises(ValueError):
        settings_for("postgresql://x", "redis://x", **changes)


def test_settings_of_mail_that_can_work_are_taken() -> None:
    settings: Settings = settings_for("postgresql://x", "redis://x", bounce_address="bounce@county.example")
    assert settings.dkim_key_file is None
