"""From an aiohttp request to a page's PageCall, and from its reply or error to an aiohttp response."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from urllib.parse import quote

from aiohttp import web

from service import metrics
from service.errors import DatabaseUnavailable, OutcomeUnknown, RequestInFlight, SeteliError
from service.identity_codes import PersonalIdentityCode
from service.problems import Problem, choose_language, problem
from service.web.calls import Reply, Stream
from service.web.copies import for_everybody
from service.web.edge import MAX_BODY_BYTES, READ_TIMEOUT_S, fault_of_ours, send_stream, to_response
from service.web.errors import (
    BodyTooLarge,
    BodyTooSlow,
    BrokenForm,
    InternalError,
    PageForbidden,
    RouteNotFound,
    status_of,
)
from service.web.pages.calls import (
    FormData,
    Note,
    PageCall,
    PageReply,
    PageResources,
    PageRoute,
    SessionToken,
    errors_by_field,
)
from service.web.pages.csrf import check_csrf, check_origin, session_cookie_name
from service.web.pages.kept import LIVES as KEPT_FORM_LIVES
from service.web.pages.kept import keep_form, kept_form, kept_form_cookie_name
from service.web.pages.rendering import render, set_up_templates
from service.web.pages.ways import PAGES_KEY, SIGN_IN, way_back
from service.web.pages.words import PAGE_LANGUAGES, translations

ERROR_PAGE = "error.html"
FORM: web.RequestKey[FormData] = web.RequestKey("form")
"""What was sent with a request, once it is read."""
NONCE_BYTES = 16
HSTS = "max-age=63072000; includeSubDomains"
RESOURCES_KEY: web.AppKey[PageResources] = web.AppKey("page_resources")
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
NO_PAGES = ("/v1/", "/hooks/", "/health/", "/openapi.json", "/metrics")
NOWHERE = PageRoute(
    "GET",
    "",
    lambda call: render(call, ERROR_PAGE, title="", is_passing=False),
    roles=None,
    summary="An address that is none",
)


def add_pages(app: web.Application, pages: Iterable[PageRoute], resources: PageResources) -> None:
    """Serve these pages, each wrapped in everything that its PageRoute says; GET answers HEAD too."""
    table = tuple(pages)
    app[PAGES_KEY], app[RESOURCES_KEY] = table, resources
    set_up_templates(app)
    for page in table:
        add = app.router.add_get if page.method == "GET" else app.router.add_post
        add(page.path, _handler(page, resources))


def page_headers(nonce: str, *, is_https: bool, script_sources: tuple[str, ...] = ()) -> Mapping[str, str]:
    """What every page is sent with: nothing loads or runs but what is ours, no frame shows it, no cache keeps it."""
    scripts = " ".join(("'self'", f"'nonce-{nonce}'", *script_sources))
    policy = (
        f"default-src 'none'; script-src {scripts}; style-src 'self' 'nonce-{nonce}'; img-src 'self' data:; "
        "connect-src 'self'; media-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    )
    headers = {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Permissions-Policy": "camera=(self), microphone=(), geolocation=(), browsing-topics=()",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cache-Control": "no-store",
    }
    return headers | ({"Strict-Transport-Security": HSTS} if is_https else {})


def _handler(page: PageRoute, resources: PageResources) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(raw: web.Request) -> web.StreamResponse:
        started = time.perf_counter()
        call = _begin(raw, page, resources)
        try:
            call = await _recognise(call)
            reply = await _answer(call)
        except SeteliError as error:
            if isinstance(error, DatabaseUnavailable):
                metrics.database_unavailable.inc()
                call = await _with_form(call)
            reply = await _error_page(call, error)
        except web.HTTPException:
            raise
        except Exception as error:  # noqa: BLE001 - the outermost loop of a page
            reply = await _error_page(call, fault_of_ours(error, page.path, page.method))
        response = await _send(call, reply)
        metrics.requests_s.labels(page.method, page.path, response.status).observe(time.perf_counter() - started)
        return response

    return handle


def _begin(raw: web.Request, page: PageRoute, resources: PageResources) -> PageCall:
    asked = raw.query.get("lang")
    cookie = None if page.for_everybody else raw.cookies.get(session_cookie_name(resources.settings))
    return PageCall(
        resources=resources,
        route=page,
        raw=raw,
        language=asked if asked in PAGE_LANGUAGES else choose_language(raw.headers.get("Accept-Language")),
        token=SessionToken(cookie),
        nonce=secrets.token_urlsafe(NONCE_BYTES),
    )


async def _recognise(call: PageCall) -> PageCall:
    """Who looks, and in the language that they chose."""
    token = None if call.route.by_link else call.token.value
    visitor = await call.resources.visitor(token) if token else None
    if visitor is None:
        return call
    asked = call.raw.query.get("lang")
    return replace(call, known_visitor=visitor, language=asked if asked in PAGE_LANGUAGES else visitor.language)


async def _answer(call: PageCall) -> Reply | Stream:
    page, visitor = call.route, call.known_visitor
    if page.method == "POST":
        check_origin(call.raw, call.resources.settings.public_url)
        is_welcome = page.roles is None or (visitor is not None and visitor.role in page.roles)
        if visitor is None and not is_welcome and (call.raw.content_length or 0) > MAX_BODY_BYTES:
            return _sign_in(call, "ended=1&")  # a large file is not read from a stranger
        max_bytes, timeout_s = (page.max_bytes, page.read_timeout_s) if is_welcome else (MAX_BODY_BYTES, READ_TIMEOUT_S)
        call = replace(call, form=await _read_form(call.raw, max_bytes, timeout_s))
        if page.roles is not None and visitor is None:
            kept = await keep_form(call)
            return replace(_sign_in(call, "ended=1&" if kept is None else "ended=kept&"), kept_form=kept)
        if not page.by_link:
            check_csrf(call.resources.keys.index, call.token.value, call.value("csrf"))
    if page.roles is not None:
        if visitor is None:
            return _sign_in(call)
        if visitor.role not in page.roles:
            raise PageForbidden
    handler, chosen = page.handler, call.value("show_in")
    if page.again is not None and visitor is not None and chosen in PAGE_LANGUAGES:
        await call.resources.choose_language(visitor.person_id, chosen)
        call, handler = replace(call, language=chosen), page.again
    if page.method == "GET" and visitor is not None and (form := kept_form(call)) is not None:
        return await _filled_again(call, form)
    try:
        return await handler(call)
    except SeteliError as error:
        if page.form is None:
            raise
        again = replace(call, problem=_explain(error, call.language), errors=errors_by_field(error, call.language))
        return replace(await _form(page.form(again)), status=status_of(error))


async def _filled_again(call: PageCall, form: FormData) -> Reply:
    """The page with what was filled in before the session was over; once, or it would always begin so."""
    note = translations(call.language).gettext("What you had filled in is here again. Nothing has been sent yet.")
    await call.resources.leave_note(call.visitor.session_id, Note("done", note))
    shown = replace(call, form=form, known_visitor=replace(call.visitor, has_notes=True))
    reply = await _form(call.route.handler(shown))
    return replace(reply, kept_form="") if isinstance(reply, PageReply) else reply


def _sign_in(call: PageCall, why: str = "") -> PageReply:
    """To the page of signing in, and from there back to this page, or to the one with this form."""
    there = quote(way_back(call), safe="")
    return PageReply(status=303, headers={"Location": call.address(f"{SIGN_IN}?{why}next={there}")})


async def _form(shown: Awaitable[Reply | Stream]) -> Reply:
    reply = await shown
    assert isinstance(reply, Reply), "a form is a page"
    return reply


async def _read_form(raw: web.Request, max_bytes: int, timeout_s: float) -> FormData:
    if raw.content_type not in FORMS:
        raise BrokenForm
    if (raw.content_length or 0) > max_bytes:
        raise BodyTooLarge(max_bytes=max_bytes)
    try:
        async with asyncio.timeout(timeout_s):
            raw[FORM] = form = await raw.clone(client_max_size=max_bytes).post()
            return form
    except TimeoutError:
        raise BodyTooSlow from None
    except web.HTTPRequestEntityTooLarge:
        raise BodyTooLarge(max_bytes=max_bytes) from None
    except (
        web.RequestPayloadError,
        ValueError,
        LookupError,
    ):  # cut off, no form, or not in the encoding that it claims
        raise BrokenForm from None


async def _with_form(call: PageCall) -> PageCall:
    """What was sent, for a button that sends it again: who looked could not even be looked up. Only what this browser
    sent from a page of ours, as its token shows, and nothing with a file or a password in it."""
    if call.route.method != "POST" or call.route.roles is None or call.raw.content_type != FORMS[0]:
        return call
    try:
        form = call.raw.get(FORM) or await _read_form(call.raw, MAX_BODY_BYTES, READ_TIMEOUT_S)
        sent = replace(call, form=form)
        check_origin(call.raw, call.resources.settings.public_url)
        check_csrf(call.resources.keys.index, call.token.value, sent.value("csrf"))
    except SeteliError:
        return call
    return call if any("password" in name for name in form) else sent


def _explain(error: SeteliError, language: str) -> Problem:
    """The error's sentences. What the API tells programmers of these is no use on a page."""
    gettext = translations(language).gettext
    if isinstance(error, RouteNotFound):
        return Problem(
            gettext("There is no page at this address."), gettext("Check the address, or begin from the first page.")
        )
    if isinstance(error, InternalError):
        return Problem(
            gettext("Something went wrong here. The fault is ours, and it has been recorded."),
            gettext("Try again in a moment. Nothing is done twice."),
        )
    if isinstance(error, DatabaseUnavailable):
        return Problem(
            gettext("The service is not there for a moment. Nothing was done."),
            gettext("Try again in a moment. Nothing is done twice."),
        )
    if isinstance(error, RequestInFlight):
        return Problem(
            gettext("Somebody is changing the same thing at this moment. Nothing was done."),
            gettext("Try again in a moment. Nothing is done twice."),
        )
    if isinstance(error, OutcomeUnknown):
        return Problem(
            gettext("The connection broke, and it is not certain yet whether it was done."),
            gettext("Try again in a moment. Nothing is done twice."),
        )
    if isinstance(error, PersonalIdentityCode):  # whose sentence names the field as programs do
        return Problem(
            gettext("There is a personal identity code in what was filled in. It was not stored."),
            gettext("Write a reference of your own system in its place, which tells nobody who it is."),
        )
    return problem(error.code, error.details, language)


async def _error_page(call: PageCall, error: SeteliError) -> Reply:
    """What went wrong and what to do now, as a page. Never says more than the error's own sentences."""
    shown = replace(call, problem=_explain(error, call.language))
    if isinstance(error, DatabaseUnavailable):
        shown = replace(shown, known_visitor=None)  # no notes: they are in the database
    gettext = translations(call.language).gettext
    title = gettext("Page not found") if isinstance(error, RouteNotFound) else gettext("This did not work")
    is_passing = isinstance(error, DatabaseUnavailable)
    return await render(shown, ERROR_PAGE, title=title, status=status_of(error), is_passing=is_passing)


async def _send(call: PageCall, reply: Reply | Stream) -> web.StreamResponse:
    settings = call.resources.settings
    is_https = settings.public_url.startswith("https://")
    headers = {
        **page_headers(call.nonce, is_https=is_https, script_sources=call.route.script_sources),
        **reply.headers,
    }
    if isinstance(reply, Stream):
        return await send_stream(call.raw, replace(reply, headers=headers))
    if call.route.for_everybody:
        shown = replace(reply, headers=headers)
        return to_response(for_everybody(call.raw, shown) if reply.status == 200 else shown)
    response = to_response(replace(reply, headers=headers))
    if isinstance(reply, PageReply) and reply.kept_form is not None:
        _keep(response, kept_form_cookie_name(settings), reply.kept_form, is_https=is_https)
    name = session_cookie_name(settings)
    if isinstance(reply, PageReply) and reply.ends_session:
        response.del_cookie(name, path="/", secure=is_https, httponly=True, samesite="Lax")
        return response
    token = reply.session if isinstance(reply, PageReply) else None
    if token is None and call.token.is_new:
        token = call.token.value
    if token is not None:
        # No Max-Age: it goes with the browser; how long a session lives is decided in the database.
        response.set_cookie(name, token, path="/", secure=is_https, httponly=True, samesite="Lax")
    return response


def _keep(response: web.StreamResponse, name: str, kept: str, *, is_https: bool) -> None:
    if kept:
        age = int(KEPT_FORM_LIVES.total_seconds())
        response.set_cookie(name, kept, max_age=age, path="/", secure=is_https, httponly=True, samesite="Lax")
    else:
        response.del_cookie(name, path="/", secure=is_https, httponly=True, samesite="Lax")


@web.middleware
async def page_edge(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Unknown addresses as a page for whoever reads pages; programs get the API's problem document."""
    try:
        return await handler(request)
    except web.HTTPNotFound:
        reads_pages = "text/html" in request.headers.get("Accept", "")
        if not reads_pages or request.path.startswith(NO_PAGES) or RESOURCES_KEY not in request.app:
            raise
        call = _begin(request, NOWHERE, request.app[RESOURCES_KEY])
        return await _send(call, await _error_page(call, RouteNotFound()))
