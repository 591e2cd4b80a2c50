"""The sandbox for the eye: old phones with their texts, and an inbox with its mails. No script, nothing
from outside.

A mail's HTML is shown in a frame that may do nothing but lay out text and the mail's own images.
"""

import base64
import re
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from itertools import islice
from pathlib import Path
from urllib.parse import unquote
from zoneinfo import ZoneInfo

import aiohttp_jinja2
from aiohttp import web
from jinja2 import FileSystemLoader, StrictUndefined

from service.sandbox.mail import Mail, Mailbox
from service.sandbox.phone.model import Text
from service.sandbox.phone.network import PhoneNetwork

TEMPLATES = Path(__file__).resolve().parents[2] / "templates" / "pages" / "sandbox"
PHONES_MAX, TEXTS_MAX, MAILS_MAX = 24, 6, 12
REFRESH_S = 3
HELSINKI = ZoneInfo("Europe/Helsinki")  # where the phones lie, wherever this machine is

_PAGE_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
_MAIL_POLICY = (
    "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'; form-action 'none'; "
    "base-uri 'none'; frame-ancestors 'self'"
)
_CID = re.compile(r"cid:([^\"'\s)>&]+)")


@dataclass(frozen=True, slots=True)
class Screen:
    """One text as the phone's display shows it."""

    sid: str
    other: str
    body: str
    time: str
    parts: int
    encoding: str
    characters: int
    status: str
    error_code: int | None
    is_own: bool


@dataclass(frozen=True, slots=True)
class Phone:
    """One handset and what its memory shows."""

    number: str
    screens: list[Screen]
    more: int


class SandboxPages:
    """The handlers of the pages."""

    def __init__(self, network: PhoneNetwork, mailbox: Mailbox) -> None:
        self._network = network
        self._mailbox = mailbox

    def routes(self) -> list[web.RouteDef]:
        """The pages' routes."""
        return [web.get("/", self.desk), web.get("/mail/{id}/html", self.mail_html)]

    async def desk(self, request: web.Request) -> web.Response:
        """Phones and inbox, newest first; looks again by itself every few seconds unless `?pause` is
        given."""
        numbers = self._network.phones()
        mails = list(islice(self._mailbox.newest_first(), MAILS_MAX))
        context = {
            "refresh_s": None if "pause" in request.query else REFRESH_S,
            "phones": [self._phone(number) for number in numbers[:PHONES_MAX]],
            "phones_more": max(len(numbers) - PHONES_MAX, 0),
            "mails": [(mail, _clock(mail.at)) for mail in mails],
            "mails_more": self._mailbox.count() - len(mails),
        }
        response = aiohttp_jinja2.render_template("desk.html", request, context)
        response.headers["Content-Security-Policy"] = _PAGE_POLICY
        response.headers["Cache-Control"] = "no-store"
        return response

    async def mail_html(self, request: web.Request) -> web.Response:
        """A mail's HTML with its own images, and nothing else."""
        mail = self._mailbox.find(request.match_info["id"])
        if mail is None or mail.html is None:
            raise web.HTTPNotFound
        return web.Response(
            text=with_images(mail, mail.html),
            status=HTTPStatus.OK,
            content_type="text/html",
            headers={
                "Content-Security-Policy": _MAIL_POLICY,
                "X-Content-Type-Options": "nosniff",
                "Cache-Control": "private, max-age=86400, immutable",
            },
        )

    def _phone(self, number: str) -> Phone:
        kept = [text for text in self._network.newest_first(number) if text.deleted_at is None]
        return Phone(number, [self._screen(text) for text in kept[:TEXTS_MAX]], max(len(kept) - TEXTS_MAX, 0))

    def _screen(self, text: Text) -> Screen:
        return Screen(
            sid=text.sid,
            other=text.to if text.is_inbound else text.sender,
            body=text.body,
            time=_clock(text.at),
            parts=text.parts,
            encoding=text.encoding,
            characters=len(text.body),
            status=self._network.shown_status(text).value,
            error_code=text.error_code,
            is_own=text.is_inbound,
        )


def with_images(mail: Mail, html: str) -> str:
    """Replace `cid:` references by the images themselves, so that the frame needs no request at all."""
    images = {
        part.content_id: f"data:{part.content_type};base64,{base64.b64encode(part.content).decode()}"
        for part in mail.attachments
        if part.content_type.startswith("image/")
    }
    return _CID.sub(lambda found: images.get(unquote(found[1]), found[0]), html)


def set_up_templates(app: web.Application) -> None:
    """Give `app` the sandbox's templates."""
    aiohttp_jinja2.setup(
        app,
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, HELSINKI).strftime("%d.%m. %H:%M:%S")
