"""The sandbox's JSON for scripts: what reached phones and inboxes, faults, and families that answer or
delete."""

import json
from functools import partial
from http import HTTPStatus
from xml.etree import ElementTree as ET

import aiohttp
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.sandbox.faults import Faults, FaultSettings
from service.sandbox.mail import Attachment, Mail, Mailbox
from service.sandbox.phone.model import Text, iso, to_plain
from service.sandbox.phone.network import PhoneNetwork
from service.sandbox.phone.receipts import Answer, ReceiptSender
from service.sandbox.phone.refusals import plain_number

_HARMLESS = {"Content-Security-Policy": "sandbox; default-src 'none'", "X-Content-Type-Options": "nosniff"}


# Readable with curl: å, not \u00e5.
_json = partial(web.json_response, dumps=partial(json.dumps, ensure_ascii=False))


class Inbound(BaseModel):
    """A text that a family sends. `to` is the number it answers to; without it, the last one that wrote to
    it."""

    model_config = ConfigDict(extra="forbid")

    sender: str = Field(alias="from", pattern=r"^\+[1-9]\d{6,14}$")
    body: str = Field(max_length=1600)
    to: str | None = None


class Configuration(BaseModel):
    """What can be set while the sandbox runs."""

    model_config = ConfigDict(extra="forbid")

    inbound_url: str | None = Field(pattern=r"^https?://[^\s/]+(/\S*)?$")


class ScriptApi:
    """The handlers of the sandbox's own JSON."""

    def __init__(self, network: PhoneNetwork, mailbox: Mailbox, faults: Faults, receipts: ReceiptSender) -> None:
        self._network = network
        self._mailbox = mailbox
        self._faults = faults
        self._receipts = receipts

    def routes(self) -> list[web.RouteDef]:
        """The sandbox's own routes."""
        return [
            web.get("/health", self.health),
            web.get("/messages", self.messages),
            web.delete("/messages/{sid}", self.delete_message),
            web.post("/phones/{number}/delete", self.delete_from_phone),
            web.post("/inbound", self.inbound),
            web.post("/configure", self.configure),
            web.get("/faults", self.show_faults),
            web.post("/faults", self.set_faults),
            web.get("/mail", self.mails),
            web.get("/mail/{id}/raw", self.raw_mail),
            web.get("/mail/{id}/images/{content_id}", self.image),
        ]

    async def health(self, _request: web.Request) -> web.Response:
        """Answers as soon as the sandbox takes texts and mails."""
        return _json({"status": "ok"})

    async def messages(self, request: web.Request) -> web.Response:
        """Texts that reached phones, in order of arrival; `to` chooses one phone."""
        to = request.query.get("to")
        newest_first = self._network.newest_first(None if to is None else plain_number(to))
        texts = [
            to_plain(text, status=self._network.shown_status(text)) for text in newest_first if not text.is_inbound
        ]
        return _json(texts[::-1])

    async def delete_message(self, request: web.Request) -> web.Response:
        """The family deletes this text from its phone; the record keeps it with `deleted_at`. Repeatable."""
        return self._delete(request.match_info["sid"], phone=None)

    async def delete_from_phone(self, request: web.Request) -> web.Response:
        """The same, from the page's form or as JSON `{sid}`."""
        phone = plain_number(request.match_info["number"])
        if request.content_type == "application/x-www-form-urlencoded":
            self._delete(str((await request.post()).get("sid", "")), phone=phone)
            raise web.HTTPSeeOther("/")
        try:
            sid = str(json.loads(await request.read())["sid"])
        except (ValueError, KeyError, TypeError):
            return _error(HTTPStatus.BAD_REQUEST, 'the body must be JSON: {"sid": …}')
        return self._delete(sid, phone=phone)

    async def inbound(self, request: web.Request) -> web.Response:
        """The family texts; answers with what the application answered to the signed webhook."""
        try:
            given = Inbound.model_validate_json(await request.read())
        except ValidationError as error:
            return _invalid(error)
        url = self._network.inbound_url
        if url is None:
            return _error(HTTPStatus.CONFLICT, 'no inbound_url yet: POST /configure {"inbound_url": …}')
        text = self._network.take_inbound(given.sender, given.body, to=given.to)
        try:
            answer = await self._receipts.post(text.sid, url, _inbound_form(text, self._network.account_sid))
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            return _error(HTTPStatus.BAD_GATEWAY, f"the application did not answer: {type(error).__name__}")
        for reply in _replies(answer):
            self._network.reply(text.sender, text.to, reply)
        return _json({"sid": text.sid, "status": answer.status, "body": answer.body})

    async def configure(self, request: web.Request) -> web.Response:
        """Set where inbound texts go."""
        try:
            given = Configuration.model_validate_json(await request.read())
        except ValidationError as error:
            return _invalid(error)
        self._network.configure(given.inbound_url)
        return _json({"inbound_url": given.inbound_url})

    async def show_faults(self, _request: web.Request) -> web.Response:
        """The faults in force, and how many of each were injected since the sandbox began."""
        return _json(self._faults.describe())

    async def set_faults(self, request: web.Request) -> web.Response:
        """Put a whole set of faults in force; what is left out is healed, so `{}` heals everything."""
        try:
            settings = FaultSettings.model_validate_json(await request.read() or b"{}")
        except ValidationError as error:
            return _invalid(error)
        self._faults.apply(settings)
        return _json(self._faults.describe())

    async def mails(self, request: web.Request) -> web.Response:
        """Mails in order of arrival; `to` chooses one inbox."""
        to = request.query.get("to")
        mails = [_mail_json(mail) for mail in self._mailbox.newest_first(to.strip() if to else None)]
        return _json(mails[::-1])

    async def raw_mail(self, request: web.Request) -> web.Response:
        """The mail as it came over the wire."""
        mail = self._mailbox.find(request.match_info["id"])
        if mail is None:
            return _error(HTTPStatus.NOT_FOUND, "no such mail")
        return web.Response(body=mail.raw, content_type="message/rfc822", headers=_HARMLESS)

    async def image(self, request: web.Request) -> web.Response:
        """An inline image by its Content-ID, without the angle brackets."""
        mail = self._mailbox.find(request.match_info["id"])
        wanted = request.match_info["content_id"]
        found = [part for part in (mail.attachments if mail else []) if part.content_id == wanted]
        if not found:
            return _error(HTTPStatus.NOT_FOUND, "no such image")
        kind = found[0].content_type
        kind = kind if kind.startswith("image/") else "application/octet-stream"
        return web.Response(body=found[0].content, content_type=kind, headers=_HARMLESS)

    def _delete(self, sid: str, *, phone: str | None) -> web.Response:
        text = self._network.find(sid)
        if text is None or text.is_inbound or (phone is not None and text.to != phone):
            return _error(HTTPStatus.NOT_FOUND, "no such text on this phone")
        self._network.delete_from_phone(text)
        return _json(to_plain(text, status=self._network.shown_status(text)))


def _mail_json(mail: Mail) -> dict[str, object]:
    def attachment(part: Attachment) -> dict[str, object]:
        return {"content_id": part.content_id, "content_type": part.content_type, "size": len(part.content)}

    return {
        "id": mail.id,
        "from": mail.sender,
        "to": mail.recipients,
        "subject": str(mail.message.get("Subject", "")),
        "message_id": str(mail.message.get("Message-ID", "")).strip() or None,
        "headers": [[name, str(value)] for name, value in mail.message.items()],
        "text": mail.text,
        "html": mail.html,
        "attachments": [attachment(part) for part in mail.attachments],
        "at": iso(mail.at),
    }


def _inbound_form(text: Text, account_sid: str) -> dict[str, str]:
    # The blank fields are Twilio's: they belong to the signature, too.
    return {
        "AccountSid": account_sid,
        "ApiVersion": "2010-04-01",
        "Body": text.body,
        "From": text.sender,
        "FromCity": "",
        "FromCountry": "FI" if text.sender.startswith("+358") else "",
        "FromState": "",
        "FromZip": "",
        "MessageSid": text.sid,
        "NumMedia": "0",
        "NumSegments": str(text.parts),
        "SmsMessageSid": text.sid,
        "SmsSid": text.sid,
        "SmsStatus": "received",
        "To": text.to,
        "ToCity": "",
        "ToCountry": "FI" if text.to.startswith("+358") else "",
        "ToState": "",
        "ToZip": "",
    }


def _replies(answer: Answer) -> list[str]:
    if answer.status != HTTPStatus.OK or not answer.body.lstrip().startswith("<"):
        return []
    try:
        response = ET.fromstring(answer.body)  # noqa: S314 - our own application's answer
    except ET.ParseError:
        return []
    bodies = (message.findtext("Body") or message.text or "" for message in response.iter("Message"))
    return [body.strip() for body in bodies if body.strip()]


def _invalid(error: ValidationError) -> web.Response:
    problems = [
        {"field": ".".join(map(str, each["loc"])), "problem": each["msg"]}
        for each in error.errors(include_url=False, include_context=False, include_input=False)
    ]
    return _json({"error": "invalid", "problems": problems}, status=HTTPStatus.BAD_REQUEST)


def _error(status: HTTPStatus, sentence: str) -> web.Response:
    return _json({"error": sentence}, status=status)
