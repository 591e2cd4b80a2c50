"""`/support`: who is stopped for guessing, and the alarm, for people in a browser. Needs no script.

Whoever opens it shows a support key as the password of HTTP Basic, with any name. No cookie, nothing to log out of.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import tomllib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from urllib.parse import parse_qsl
from uuid import UUID

import jinja2
from aiohttp import web
from pydantic import ValidationError

from service.db import autocommit, transaction
from service.errors import SeteliError
from service.guessing import operations
from service.guessing.forms import is_from_here, is_token, make_token
from service.guessing.handlers import SupportReason
from service.guessing.model import REASON_MAX, SUPPORT_READ, SUPPORT_WRITE, BlockUnknown, SupportReasonUnfit
from service.problems import format_time, problem
from service.web import Call, Caller, Reply, Route, status_of

TEMPLATES = Path(__file__).parent.parent.parent / "templates"
PATH = "/support"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "X-Frame-Options": "DENY",
    # Not `no-referrer`: under it a browser tells no origin with a form either.
    "Referrer-Policy": "same-origin",
    "X-Robots-Tag": "noindex",
    "Vary": "Accept-Language, Authorization",
}
HTML = "text/html; charset=utf-8"
DONE = ("lifted", "acknowledged")
FORM_BYTES_MAX = 16 * 1024
READ_TIMEOUT_S = 10.0


class _FormRefused(Exception):
    """Not sent from our page, or too long after it was shown."""


async def get_support(call: Call) -> Reply:
    """The list of who is stopped, and the alarm."""

    async def show(caller: Caller) -> Reply:
        done = call.raw.query.get("done")
        return await _page(call, caller, notice=done if done in DONE else None)

    return await _signed_in(call, SUPPORT_READ, show)


async def post_support(call: Call) -> Reply:
    """Lift a block or acknowledge the alarm, then show the page anew."""

    async def act(caller: Caller) -> Reply:
        try:
            done = await _act(call, caller)
        except _FormRefused:
            return await _page(call, caller, status=403, notice="refused")
        except SeteliError as error:
            told = problem(error.code, error.details, call.language)
            return await _page(call, caller, status=status_of(error), fault=f"{told.detail} {told.next_step}")
        return Reply(status=303, headers=HEADERS | {"Location": f"{PATH}?done={done}"})

    return await _signed_in(call, SUPPORT_WRITE, act)


async def get_style(_call: Call) -> Reply:
    """How the page looks; a file of its own, because nothing inline may be trusted."""
    return Reply(body=(TEMPLATES / "pages" / "support.css").read_bytes(), content_type="text/css; charset=utf-8")


async def _signed_in(call: Call, permission: str, show: Callable[[Caller], Awaitable[Reply]]) -> Reply:
    """What `show` makes for a key with this permission; for anybody else the browser's question for a password."""
    try:
        caller = await _authenticate(call, permission)
        if caller is not None:
            return await show(caller)
    except SeteliError as error:  # the database is away: a person should not read JSON
        told = problem(error.code, error.details, call.language)
        return _html(call, "support_closed.html", status=status_of(error), sentence=f"{told.detail} {told.next_step}")
    reply = _html(call, "support_closed.html", status=401, sentence=_words(call.language)["unauthenticated"])
    challenge = {"WWW-Authenticate": 'Basic realm="Seteli support", charset="UTF-8"'}
    return Reply(status=401, body=reply.body, content_type=HTML, headers={**reply.headers, **challenge})


async def _authenticate(call: Call, permission: str) -> Caller | None:
    scheme, _, encoded = call.raw.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        key = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return None
    caller = await call.resources.authenticate(key.strip())
    return caller if caller is not None and permission in caller.permissions else None


async def _act(call: Call, caller: Caller) -> str:
    """Do what the form asks, and say which of DONE it was. Raises _FormRefused and what the operations raise."""
    form = await _read_form(call.raw)
    settings, index = call.resources.settings, call.resources.keys.index
    if not is_from_here(call.raw.headers, public_url=settings.public_url, host=call.raw.host):
        raise _FormRefused
    if not is_token(index, caller.key_id, datetime.now(UTC), form.get("token", "")):
        raise _FormRefused
    try:
        reason = SupportReason(reason=form.get("reason", "")).reason
    except ValidationError:
        raise SupportReasonUnfit(max=REASON_MAX) from None
    async with transaction(call.resources.pool) as conn:
        if form.get("action") == "acknowledge":
            await operations.acknowledge_breaker(conn, actor=caller.actor, reason=reason)
            return "acknowledged"
        if form.get("action") != "lift":
            raise _FormRefused
        credential_id = _credential_id(form.get("credential_id", ""))
        await operations.lift_block(conn, credential_id=credential_id, actor=caller.actor, reason=reason)
        return "lifted"


def _credential_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise BlockUnknown from None


async def _read_form(raw: web.Request) -> Mapping[str, str]:
    """Raises _FormRefused for what our page could not have sent."""
    if raw.content_type != "application/x-www-form-urlencoded" or (raw.content_length or 0) > FORM_BYTES_MAX:
        raise _FormRefused
    try:
        async with asyncio.timeout(READ_TIMEOUT_S):
            content = await raw.read()
        return dict(parse_qsl(content.decode(), keep_blank_values=True, max_num_fields=10))
    except (TimeoutError, ValueError, web.HTTPRequestEntityTooLarge, web.RequestPayloadError):
        raise _FormRefused from None


async def _page(
    call: Call, caller: Caller, *, status: int = 200, notice: str | None = None, fault: str | None = None
) -> Reply:
    async with autocommit(call.resources.pool) as conn:
        seen = await operations.overview(conn)
    words = _words(call.language)
    breaker = seen.breaker
    limits = asdict(breaker) | {"tripped_at": breaker.tripped_at and format_time(breaker.tripped_at, call.language)}
    return _html(
        call,
        "support.html",
        status=status,
        blocks=seen.blocks,
        others=seen.others,
        breaker=breaker,
        limits=limits,
        token=make_token(call.resources.keys.index, caller.key_id, datetime.now(UTC)),
        may_write=SUPPORT_WRITE in caller.permissions,
        notice=fault or (words[f"notice_{notice}"] if notice else None),
        is_fault=fault is not None or notice == "refused",
        reason_max=REASON_MAX,
    )


def _html(call: Call, template: str, *, status: int, **values: object) -> Reply:
    words = _words(call.language)
    text = _template(template).render(
        language=call.language, words=words, clock=lambda moment: format_time(moment, call.language), **values
    )
    headers = HEADERS | {"Content-Language": call.language}
    return Reply(status=status, body=text.encode(), content_type=HTML, headers=headers)


@cache
def _words(language: str) -> Mapping[str, str]:
    """All words of one language, as in its file."""
    return tomllib.loads((TEMPLATES / "support" / f"{language}.toml").read_text("utf-8"))


@cache
def _template(name: str) -> jinja2.Template:
    loader = jinja2.FileSystemLoader(TEMPLATES / "pages")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template(name)


ROUTES: tuple[Route, ...] = (
    Route("GET", PATH, get_support, None, "Who is stopped for guessing, for people", documented=False),
    Route("POST", PATH, post_support, None, "Lift a block, or acknowledge the alarm", documented=False),
    Route("GET", f"{PATH}/style.css", get_style, None, "How the support page looks", documented=False),
)
