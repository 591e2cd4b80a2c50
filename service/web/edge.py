"""From an aiohttp request to a handler's Call, and from its Reply or error to an aiohttp response."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing

import structlog
from aiohttp import web
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from service import metrics
from service.crypto import KeyMissing
from service.db import Connection
from service.errors import DatabaseUnavailable, InvalidRequest, SeteliError
from service.idempotency import TEXTED_PREFIX, claim_or_replay, store_answer
from service.logs import exception_fields
from service.problems import choose_language, field_reason, problem, reword
from service.web.calls import (
    AnswerModel,
    Call,
    Caller,
    EdgeResources,
    Model,
    ProblemModel,
    Reply,
    RequestModel,
    Route,
    Stream,
)
from service.web.errors import (
    BodyTooLarge,
    BodyTooSlow,
    BrokenJson,
    Forbidden,
    IdempotencyKeyMissing,
    IdempotencyKeyReserved,
    InternalError,
    MethodNotAllowed,
    NotJson,
    RouteNotFound,
    SealKeyMissing,
    Unauthenticated,
    status_of,
)

log = structlog.get_logger()

MAX_BODY_BYTES = 64 * 1024
SENT_ALWAYS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
READ_TIMEOUT_S = 10.0
TAKE_TIMEOUT_S = 10.0  # below the 15 s after which PostgreSQL ends a transaction that waits for its user


async def once(
    call: Call, conn: Connection, write: Callable[[], Awaitable[AnswerModel]], *, status: int = 200
) -> Reply:
    """Do `write` in the caller's transaction, or, for an Idempotency-Key seen before, repeat its answer byte for byte.

    Without a key it is simply done. Raises IdempotencyKeyReused when the key came with another request.
    """
    claim = call.claim()
    if claim is not None:
        stored = await claim_or_replay(conn, claim)
        if stored is not None:
            return Reply(status=status, body=stored, headers={"Idempotent-Replayed": "true"})
    answer = (await write()).model_dump_json().encode()
    if claim is not None:
        await store_answer(conn, claim, answer)
    return Reply(status=status, body=answer)


def problem_reply(error: SeteliError, language: str) -> Reply:
    """The problem document of an error, in one language."""
    words = problem(error.code, error.details, language)
    status = status_of(error)
    body = ProblemModel.model_validate(
        dict(error.details)
        | _fields_in(language, error)
        | {
            "type": f"/docs#{error.code}",
            "title": error.code.replace("_", " ").capitalize(),
            "status": status,
            "code": error.code,
            "detail": words.detail,
            "next_step": words.next_step,
        }
    )
    headers = {"Content-Language": language}
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="seteli"'
    if status == 503:
        headers["Retry-After"] = "2"
    if (allowed := error.details.get("allowed")) is not None:
        headers["Allow"] = str(allowed)
    if (wait_s := error.details.get("retry_after_s")) is not None:
        headers["Retry-After"] = str(wait_s)
    return Reply(
        status=status,
        body=body.model_dump_json(exclude_none=True).encode(),
        content_type="application/problem+json",
        headers=headers,
    )


def _fields_in(language: str, error: SeteliError) -> dict[str, list[dict[str, str]]]:
    """The fields that the error lists, each with its reason in the caller's language: our own checks speak English."""
    fields = error.details.get("fields")
    if not isinstance(fields, list):
        return {}
    return {"fields": [{**one, "reason": reword(one["reason"], language)} for one in fields if isinstance(one, dict)]}


def add_routes(app: web.Application, routes: Iterable[Route], resources: EdgeResources) -> None:
    """Serve these routes, each wrapped in everything that its Route says; GET answers HEAD too."""
    for route in routes:
        add = app.router.add_get if route.method == "GET" else app.router.add_post
        add(route.path, _handler(route, resources))


def _handler(route: Route, resources: EdgeResources) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(raw: web.Request) -> web.StreamResponse:
        started = time.perf_counter()
        language = choose_language(raw.headers.get("Accept-Language"))
        try:
            reply = await route.handler(await _read_call(raw, route, resources, language))
            response = await send_stream(raw, reply) if isinstance(reply, Stream) else to_response(reply)
        except SeteliError as error:
            if isinstance(error, DatabaseUnavailable):
                metrics.database_unavailable.inc()
            response = to_response(problem_reply(error, language))
        metrics.requests_s.labels(route.method, route.path, response.status).observe(time.perf_counter() - started)
        return response

    return handle


async def send_stream(raw: web.Request, stream: Stream) -> web.StreamResponse:
    """Send the chunks as fast as they are taken. Raises what goes wrong before the first; later, hangs up."""
    headers = {**SENT_ALWAYS, **stream.headers, "Content-Type": stream.content_type}
    response = web.StreamResponse(headers=headers)
    async with aclosing(stream.chunks) as chunks:
        if raw.method == "HEAD":
            await response.prepare(raw)
            return response
        chunk = await anext(chunks, None)
        is_whole = False
        try:
            await response.prepare(raw)
            while chunk is not None:
                async with asyncio.timeout(TAKE_TIMEOUT_S):
                    await response.write(chunk)
                chunk = await anext(chunks, None)
            await response.write_eof()
            is_whole = True
        except (ConnectionError, TimeoutError, SeteliError) as error:
            log.warning("stream_broken_off", path_template=_template(raw), error=type(error).__name__)
        finally:
            if not is_whole and raw.transport is not None:
                raw.transport.abort()  # no end of the transfer, and no second answer behind half of the first
    return response


def to_response(reply: Reply) -> web.Response:
    body = reply.body.model_dump_json().encode() if isinstance(reply.body, BaseModel) else reply.body
    headers = {**SENT_ALWAYS, **reply.headers}
    if body is None:
        return web.Response(status=reply.status, headers=headers)
    headers["Content-Type"] = reply.content_type
    return web.Response(status=reply.status, body=body, headers=headers)


async def _read_call(raw: web.Request, route: Route, resources: EdgeResources, language: str) -> Call:
    caller = await _authenticate(raw, route, resources)
    return Call(
        resources=resources,
        language=language,
        raw=raw,
        route=route,
        known_caller=caller,
        idempotency_key=_idempotency_key(raw, route),
        query=_parse(route.query, _parameters(raw), language) if route.query else None,
        body=await _read_body(raw, route.body, language) if route.body else None,
    )


async def _authenticate(raw: web.Request, route: Route, resources: EdgeResources) -> Caller | None:
    if route.permission is None:
        return None
    scheme, _, key = raw.headers.get("Authorization", "").partition(" ")
    caller = await resources.authenticate(key.strip()) if scheme.lower() == "bearer" else None
    if caller is None:
        raise Unauthenticated
    if route.permission not in caller.permissions:
        raise Forbidden(permission=route.permission)
    return caller


def _idempotency_key(raw: web.Request, route: Route) -> str | None:
    if route.idempotency == "none":
        return None
    keys = {_bare(key) for key in raw.headers.getall("Idempotency-Key", ())}
    if not keys and route.idempotency == "optional":
        return None
    if len(keys) > 1:
        raise _given_twice("Idempotency-Key")
    key = keys.pop() if keys else ""
    if not (1 <= len(key) <= 255 and key.isascii() and key.isprintable()):
        raise IdempotencyKeyMissing
    if key.startswith(TEXTED_PREFIX):
        raise IdempotencyKeyReserved(prefix=TEXTED_PREFIX)
    return key


def _bare(key: str) -> str:
    """The draft writes the key as a quoted string, most clients send it bare: both are the same key."""
    key = key.strip()
    return key[1:-1] if len(key) >= 2 and key[0] == key[-1] == '"' else key


def _parameters(raw: web.Request) -> Mapping[str, str]:
    """The part after the question mark. Raises InvalidRequest for a name that stands there twice."""
    if len(raw.query) > len(given := dict(raw.query)):
        raise _given_twice(next(name for name in given if len(raw.query.getall(name)) > 1))
    return given


async def _read_body(raw: web.Request, model: type[RequestModel], language: str) -> RequestModel:
    if raw.content_type != "application/json":
        raise NotJson
    if (raw.content_length or 0) > MAX_BODY_BYTES:
        raise BodyTooLarge(max_bytes=MAX_BODY_BYTES)
    try:
        async with asyncio.timeout(READ_TIMEOUT_S):
            content = await raw.read()
    except TimeoutError:
        raise BodyTooSlow from None
    except web.HTTPRequestEntityTooLarge:
        raise BodyTooLarge(max_bytes=MAX_BODY_BYTES) from None
    except (web.RequestPayloadError, ConnectionError):  # not in the encoding that it claims, or cut off
        raise BrokenJson from None
    try:
        body = model.model_validate_json(content)
    except ValidationError as error:
        if any(fault["type"] == "json_invalid" for fault in error.errors(include_input=False)):
            raise BrokenJson from None
        raise invalid_request(error, language) from None
    _REFUSING_TWICE.decode(content.decode())  # well-formed and UTF-8: it was read a moment ago
    return body


def _refuse_twice(pairs: list[tuple[str, object]]) -> None:
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise _given_twice(next(name for name in names if names.count(name) > 1))


def _given_twice(name: str) -> InvalidRequest:
    return InvalidRequest(fields=[{"field": name, "reason": "is given twice"}])


# Pydantic takes the last of two alike, RFC 8259 §4 leaves it open, and a program on the way may have gone by the first:
# of two amounts neither is charged. Numbers stay text, so that none is too long to be made one.
_REFUSING_TWICE = json.JSONDecoder(object_pairs_hook=_refuse_twice, parse_int=str, parse_float=str)


def _parse(model: type[Model], values: Mapping[str, str], language: str) -> Model:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise invalid_request(error, language) from None


def invalid_request(error: ValidationError, language: str) -> SeteliError:
    """Which fields are wrong and what they must be, in the caller's language, without repeating what was in them."""
    faults = error.errors(include_input=False, include_url=False)[:20]
    return InvalidRequest(
        fields=[
            {
                "field": _field(fault),
                "reason": field_reason(fault["type"], fault.get("ctx", {}), language),
            }
            for fault in faults
        ]
    )


def _field(fault: ErrorDetails) -> str:
    """Where the fault is. A check of a whole object knows its field, and pydantic the way to the object."""
    path = [str(part) for part in fault["loc"]]
    if fault["type"] == "nul":
        path.append(fault["ctx"]["field"])
    return ".".join(path) or "body"


@web.middleware
async def edge(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """The outermost loop of a request: unknown addresses, wrong methods, and faults of ours."""
    language = choose_language(request.headers.get("Accept-Language"))
    try:
        return await handler(request)
    except web.HTTPNotFound:
        return to_response(problem_reply(RouteNotFound(), language))
    except web.HTTPMethodNotAllowed as error:
        return to_response(problem_reply(MethodNotAllowed(allowed=", ".join(sorted(error.allowed_methods))), language))
    except web.HTTPException:
        raise
    except Exception as error:  # noqa: BLE001 - the process's outermost loop
        return to_response(problem_reply(fault_of_ours(error, _template(request), request.method), language))


def fault_of_ours(error: Exception, path_template: str, method: str) -> SeteliError:
    """Write down what went wrong, and give what the caller is told of it."""
    if isinstance(error, KeyMissing):
        metrics.seal_keys_missing.inc()
        log.error("seal_key_missing", path_template=path_template, method=method, key_id=error.key_id)
        return SealKeyMissing()
    log.error("request_failed", path_template=path_template, method=method, **exception_fields(error))
    return InternalError()


def _template(raw: web.Request) -> str:
    resource = raw.match_info.route.resource
    return resource.canonical if resource is not None else "?"
