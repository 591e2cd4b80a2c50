"""The web process: all routes in one table, and how the process starts and stops."""

from __future__ import annotations

import asyncio

import structlog
from aiohttp import web

from service import site
from service.attention import handlers as attention_handlers
from service.channels import handlers as channel_handlers
from service.debits import handlers as debit_handlers
from service.debits.pages import PAGES as PROVIDER_PAGES
from service.debits.pages import PUBLIC as PROVIDER_PUBLIC
from service.desk.pages import PAGES as DESK_PAGES
from service.directory import handlers as directory_handlers
from service.directory.pages import PAGES as DIRECTORY_PAGES
from service.directory.pages import PUBLIC as DIRECTORY_PUBLIC
from service.family.pages import PAGES as FAMILY_PAGES
from service.family.pages import PUBLIC as FAMILY_PUBLIC
from service.guessing import handlers as guessing_handlers
from service.guessing.pages import PAGES as SUPPORT_PAGES
from service.guessing.pages import PUBLIC as SUPPORT_PUBLIC
from service.overview.pages import PAGES as OVERVIEW_PAGES
from service.people.pages import PAGES as PEOPLE_PAGES
from service.people.pages import PUBLIC as PEOPLE_PUBLIC
from service.resources import Resources, open_resources
from service.settings import Settings
from service.staff import handlers as staff_handlers
from service.staff.pages import PAGES as STAFF_PAGES
from service.vouchers import handlers as voucher_handlers
from service.web import MAX_BODY_BYTES, Route, add_routes, edge
from service.web.pages import ASSET_ROUTES, PageRoute, add_pages, page_edge
from service.web.server import Runner

log = structlog.get_logger()

ROUTES: tuple[Route, ...] = (
    *voucher_handlers.ROUTES,
    *debit_handlers.ROUTES,
    *staff_handlers.ROUTES,
    *attention_handlers.ROUTES,
    *channel_handlers.ROUTES,
    *directory_handlers.ROUTES,
    *guessing_handlers.ROUTES,
    *site.ROUTES,
)
# The only addresses that answer without a key; the hooks check a signature themselves, the directory is public by law.
PUBLIC = frozenset(
    {
        "/docs",
        "/openapi.json",
        "/health/live",
        "/health/ready",
        "/metrics",
        "/hooks/twilio/inbound",
        "/hooks/twilio/status/{attempt}",
        "/v1/directory/programmes",
        "/v1/directory/providers",
    }
)
# The pages for people; their order is that of the navigation.
PAGES: tuple[PageRoute, ...] = (
    *PROVIDER_PAGES,
    *STAFF_PAGES,
    *DIRECTORY_PAGES,
    *DESK_PAGES,
    *OVERVIEW_PAGES,
    *PEOPLE_PAGES,
    *SUPPORT_PAGES,
    *FAMILY_PAGES,
    *ASSET_ROUTES,
)
# The only pages that are shown to somebody who is not signed in; the support page asks for a password itself, a
# family's opens by its own address.
PUBLIC_PAGES = frozenset(
    {
        *PROVIDER_PUBLIC,
        *PEOPLE_PUBLIC,
        *SUPPORT_PUBLIC,
        *FAMILY_PUBLIC,
        *DIRECTORY_PUBLIC,
        *(route.path for route in ASSET_ROUTES),
    }
)
SHUTDOWN_S = 20.0


def build_app(resources: Resources) -> web.Application:
    """The application over open resources; it closes nothing."""
    app = web.Application(middlewares=[edge, page_edge], client_max_size=MAX_BODY_BYTES)
    app[site.ROUTES_KEY] = ROUTES
    add_routes(app, ROUTES, resources)
    add_pages(app, PAGES, resources)
    return app


async def run_web(settings: Settings, stop: asyncio.Event) -> None:
    """Serve until `stop` is set, then take no new connections, finish what is in flight and return."""
    async with open_resources(settings, process="web") as resources:
        runner = Runner(
            build_app(resources),
            access_log=None,
            shutdown_timeout=SHUTDOWN_S,
            keepalive_timeout=75,
            handler_cancellation=False,  # a debit is never cancelled because its caller hung up
        )
        await runner.setup()
        site_ = web.TCPSite(runner, settings.host, settings.port, backlog=1024)
        await site_.start()
        log.info("web_started", port=settings.port)
        try:
            await stop.wait()
        finally:
            log.info("web_stopping")
            await runner.cleanup()
            log.info("web_stopped")
