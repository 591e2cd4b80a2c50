"""The inbox: a real SMTP client on one side, scripts and the page on the other."""

from __future__ import annotations

import ssl
from email.message import EmailMessage
from pathlib import Path

import aiosmtplib
import pytest

from tests.sandbox.desk import Sandbox, running_sandbox

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))


def letter(to: str = "maija@example.fi") -> EmailMessage:
    message = EmailMessage()
    message["From"] = "Seteli <seteli@example.fi>"
    message["To"] = to
    message["Subject"] = "Palvelusetelisi: kotipalvelu ä"
    message["Message-ID"] = "<one@seteli.example>"
    message.set_content("Koodi 4827 0315 9268 – näytä se.\n.\nloppu\n")
    message.add_alternative('<p>Koodi ä</p><img src="cid:qr@seteli">', subtype="html")
    html = message.get_payload()[1]
    html.add_related(PNG, "image", "png", cid="<qr@seteli>")
    return message


async def send(sandbox: Sandbox, message: EmailMessage, **options: object) -> None:
    options = {"start_tls": False, "timeout": 5, **options}
    await aiosmtplib.send(
        message, hostname="localhost", port=sandbox.smtp_port, sender="bounce+1@seteli.example", **options
    )


async def test_a_mail_is_kept_whole_and_shown_parsed(sandbox: Sandbox) -> None:
    await send(sandbox, letter())
    [mail] = await sandbox.get("/mail?to=MAIJA@example.fi")
    assert (mail["from"], mail["to"]) == ("bounce+1@seteli.example", ["maija@example.fi"])
    assert mail["subject"] == "Palvelusetelisi: kotipalvelu ä"
    assert mail["message_id"] == "<one@seteli.example>"
    assert mail["text"] == "Koodi 4827 0315 9268 – näytä se.\n.\nloppu\n"
    assert mail["html"].strip() == '<p>Koodi ä</p><img src="cid:qr@seteli">'
    assert mail["attachments"] == [{"content_id": "qr@seteli", "content_type": "image/png", "size": len(PNG)}]
    assert ["To", "maija@example.fi"] in mail["headers"]
    async with sandbox.session.get(f"{sandbox.url}/mail/{mail['id']}/raw") as raw:
        assert b"Message-ID: <one@seteli.example>\r\n" in await raw.read()
    async with sandbox.session.get(f"{sandbox.url}/mail/{mail['id']}/images/qr@seteli") as image:
        assert (await image.read(), image.content_type) == (PNG, "image/png")
    assert await sandbox.get("/mail?to=matti@example.fi") == []


async def test_starttls_works_with_the_certificate_that_the_sandbox_wrote(sandbox: Sandbox) -> None:
    trusted = ssl.create_default_context(cafile=str(sandbox.data / "smtp-certificate.pem"))
    await send(sandbox, letter(), start_tls=True, tls_context=trusted)
    with pytest.raises(ssl.SSLCertVerificationError):
        await send(sandbox, letter(), start_tls=True)
    assert len(await sandbox.get("/mail")) == 1
    assert (sandbox.data / "smtp-key.pem").stat().st_mode & 0o077 == 0


async def test_a_repeat_is_seen_as_two_mails(sandbox: Sandbox) -> None:
    await send(sandbox, letter())
    await send(sandbox, letter())
    mails = await sandbox.get("/mail")
    assert len({mail["id"] for mail in mails}) == 2
    assert len({mail["message_id"] for mail in mails}) == 1


async def test_the_mails_html_is_shown_with_its_images_and_may_do_nothing_else(sandbox: Sandbox) -> None:
    await send(sandbox, letter())
    [mail] = await sandbox.get("/mail")
    async with sandbox.session.get(f"{sandbox.url}/mail/{mail['id']}/html") as response:
        html = await response.text()
    assert 'src="data:image/png;base64,iVBOR' in html
    assert response.headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
    async with sandbox.session.get(sandbox.url + "/") as response:
        page = await response.text()
    assert (
        f'<iframe sandbox="" loading="lazy" title="The mail as its reader sees it" src="/mail/{mail["id"]}/html"'
        in page
    )
    assert "Palvelusetelisi: kotipalvelu ä" in page
    for path in ("raw", "html", "images/x"):
        async with sandbox.session.get(f"{sandbox.url}/mail/none/{path}") as response:
            assert response.status == 404


async def test_a_mail_that_is_no_mime_at_all_is_kept_and_shown(sandbox: Sandbox) -> None:
    async with aiosmtplib.SMTP(hostname="127.0.0.1", port=sandbox.smtp_port, start_tls=False) as client:
        await client.sendmail("a@x.example", ["b@x.example"], b"\xff\xfe no headers \x00\r\n")
        await client.sendmail(
            "a@x.example", ["b@x.example"], b"Content-Type: text/plain; charset=klingon\r\n\r\nhei\r\n"
        )
    mails = await sandbox.get("/mail")
    assert [mail["to"] for mail in mails] == [["b@x.example"]] * 2
    assert mails[1]["text"].strip() == "hei"
    async with sandbox.session.get(sandbox.url + "/") as response:
        assert response.status == 200


async def test_mails_survive_a_restart_byte_for_byte(tmp_path: Path) -> None:
    async with running_sandbox(tmp_path) as first:
        await send(first, letter())
        [before] = await first.get("/mail")
        certificate = (tmp_path / "smtp-certificate.pem").read_bytes()
    async with running_sandbox(tmp_path) as second:
        assert await second.get("/mail") == [before]
        assert (tmp_path / "smtp-certificate.pem").read_bytes() == certificate


class TestFaults:
    @pytest.mark.parametrize(
        ("faults", "to", "code"),
        [
            ({"smtp_4xx": 1}, "a@x.example", 451),
            ({"smtp_5xx": 1}, "a@x.example", 550),
            ({}, "unknown@x.example", 550),
            ({}, "full@x.example", 452),
        ],
    )
    async def test_a_refused_recipient_gets_the_code_and_the_connection_stays_usable(
        self, sandbox: Sandbox, faults: dict[str, object], to: str, code: int
    ) -> None:
        await sandbox.inject(**faults)
        async with aiosmtplib.SMTP(hostname="127.0.0.1", port=sandbox.smtp_port, start_tls=False) as client:
            with pytest.raises(aiosmtplib.SMTPRecipientsRefused) as raised:
                await client.send_message(letter(to))
            assert raised.value.recipients[0].code == code
            await sandbox.inject()
            await client.send_message(letter())
        assert len(await sandbox.get("/mail")) == 1

    @pytest.mark.parametrize("start_tls", [False, True])
    async def test_a_mail_dropped_in_data_was_not_taken(self, sandbox: Sandbox, start_tls: bool) -> None:
        await sandbox.inject(smtp_drop_in_data=1)
        with pytest.raises((aiosmtplib.SMTPServerDisconnected, ConnectionError)):
            await send(sandbox, letter(), start_tls=start_tls, validate_certs=False)
        assert await sandbox.get("/mail") == []
        assert (await sandbox.get("/faults"))["injected"] == {"smtp_drop_in_data": 1}

    @pytest.mark.parametrize("start_tls", [False, True])
    async def test_a_mail_whose_250_is_lost_was_taken(self, sandbox: Sandbox, start_tls: bool) -> None:
        await sandbox.inject(smtp_lost_250=1)
        with pytest.raises((aiosmtplib.SMTPServerDisconnected, ConnectionError)):
            await send(sandbox, letter(), start_tls=start_tls, validate_certs=False)
        assert len(await sandbox.get("/mail")) == 1

    async def test_no_address_is_logged(self, sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(0)
        await send(sandbox, letter())
        await sandbox.inject(smtp_lost_250=1)
        with pytest.raises((aiosmtplib.SMTPServerDisconnected, ConnectionError)):
            await send(sandbox, letter())
        assert "maija" not in caplog.text
        assert "4827" not in caplog.text
