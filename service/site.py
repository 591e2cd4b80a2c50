"""The public addresses that are about the service itself: health, metrics, the API's document and its page."""

from __future__ import annotations

import asyncio
import json
import math
import re
from datetime import datetime
from functools import cache
from typing import Annotated, Any, Literal

import jinja2
import structlog
from aiohttp import web
from asyncpg import PostgresError
from markupsafe import Markup, escape
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import Field

from service import metrics
from service.channels.operations import Pause, delivery_health, list_pauses, show_health
from service.db import autocommit, schema_is_current
from service.errors import SeteliError
from service.guessing.operations import breaker_state, weigh_misses
from service.logs import exception_fields
from service.openapi import openapi_document
from service.problems import FOLDER, catalogue
from service.web import AnswerModel, Call, Reply, Route

log = structlog.get_logger()

VERSION = "0.1.0"
HEALTH_TIMEOUT_S = 3.0  # whoever watches does not wait for a database that is away or silent
ROUTES_KEY: web.AppKey[tuple[Route, ...]] = web.AppKey("routes")
PAGES = FOLDER.parent / "pages"
# No script runs on these pages unless its nonce is added, and nothing is loaded from anywhere.
PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}


class Live(AnswerModel):
    status: Literal["live"] = "live"


class PausedGateway(AnswerModel):
    """A gateway that keeps its messages. Who exactly paused it is for the command line to tell: this page is public."""

    name: str
    reason: Annotated[str, Field(description="The gateway's error code, `budget`, or the words of whoever paused it")]
    since: datetime
    until: Annotated[datetime | None, Field(description="When one message is tried; none: when a person resumes it")]
    by: Literal["service", "person"]
    probing: Annotated[bool, Field(description="Its time is over, and one message is to show whether it works again")]

    @classmethod
    def of(cls, pause: Pause) -> PausedGateway:
        return cls(
            name=pause.gateway,
            reason=pause.reason,
            since=pause.since,
            until=pause.until,
            by="service" if pause.paused_by is None else "person",
            probing=pause.is_probing,
        )


class TrippedBreaker(AnswerModel):
    """So many unknown codes were tried that a person must look. How many, only who supports the service is told."""

    tripped_at: datetime


class Ready(AnswerModel):
    """`ready` says whether to send requests here; Redis only wakes workers, so its loss is told, not fatal."""

    status: Literal["ready", "not_ready"]
    database: Literal["up", "down", "schema_out_of_date"]
    redis: Literal["up", "down"]
    paused_gateways: list[PausedGateway]
    guess_breaker: Annotated[TrippedBreaker | None, Field(description="None: it is not tripped")]


async def get_live(_call: Call) -> Reply:
    """The process runs."""
    return Reply(body=Live())


async def get_ready(call: Call) -> Reply:
    """Whether this process can serve."""
    database: Literal["up", "down", "schema_out_of_date"] = "down"
    paused: list[PausedGateway] = []
    tripped: TrippedBreaker | None = None
    try:
        async with asyncio.timeout(HEALTH_TIMEOUT_S), autocommit(call.resources.pool) as conn:
            database = "up" if await schema_is_current(conn) else "schema_out_of_date"
            if database == "up":
                paused = [PausedGateway.of(pause) for pause in await list_pauses(conn)]
                since = (await breaker_state(conn)).tripped_at
                tripped = TrippedBreaker(tripped_at=since) if since is not None else None
    except (SeteliError, TimeoutError) as error:
        database = "down"
        log.warning("not_ready", error=error.code if isinstance(error, SeteliError) else "database_silent")
    body = Ready(
        status="ready" if database == "up" else "not_ready",
        database=database,
        redis="up" if await call.resources.wakeups.is_up() else "down",
        paused_gateways=paused,
        guess_breaker=tripped,
    )
    return Reply(status=200 if body.status == "ready" else 503, body=body)


async def get_metrics(call: Call) -> Reply:
    """Prometheus text format.

    What waits is told here, too: a worker cannot tell that no worker is left.
    """
    try:
        async with asyncio.timeout(HEALTH_TIMEOUT_S), autocommit(call.resources.pool) as conn:
            show_health(await delivery_health(conn, call.resources.settings.quiet_hours))
            await weigh_misses(conn)
    except (SeteliError, TimeoutError, PostgresError) as error:
        metrics.queue_age_s.set(math.nan)  # not known; an old figure would calm whoever watches
        log.warning("queue_age_unknown", **exception_fields(error))
    return Reply(body=generate_latest(), content_type=CONTENT_TYPE_LATEST)


async def get_openapi(call: Call) -> Reply:
    """The OpenAPI document."""
    return Reply(body=json.dumps(_document(call), ensure_ascii=False).encode())


async def get_docs(call: Call) -> Reply:
    """The same for people."""
    page = _page_template("docs.html").render(
        document=_document(call), problems=catalogue(call.language), language=call.language
    )
    return Reply(body=page.encode(), content_type="text/html; charset=utf-8", headers=PAGE_HEADERS)


def _document(call: Call) -> dict[str, Any]:
    return _document_of(call.raw.app[ROUTES_KEY], call.resources.settings.public_url)


@cache
def _document_of(routes: tuple[Route, ...], server: str) -> dict[str, Any]:
    return openapi_document(routes, version=VERSION, server=server)


@cache
def _page_template(name: str) -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(PAGES), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["prose"] = _prose
    return environment.get_template(name)


def _prose(text: str) -> Markup:
    """Docstrings mark code with backticks; the page shows it as code."""
    parts = re.split(r"`([^`]+)`", text)
    return Markup("").join(  # every second part stood between backticks
        Markup("<code>{}</code>").format(part) if number % 2 else escape(part) for number, part in enumerate(parts)
    )


ROUTES: tuple[Route, ...] = tuple(
    Route("GET", path, handler, permission=None, summary=summary, documented=False)
    for path, handler, summary in (
        ("/docs", get_docs, "The API for people"),
        ("/openapi.json", get_openapi, "The API for programs"),
        ("/health/live", get_live, "The process runs"),
        ("/health/ready", get_ready, "The process can serve"),
        ("/metrics", get_metrics, "Prometheus metrics"),
    )
)
