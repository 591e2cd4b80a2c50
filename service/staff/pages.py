"""The office's page of those who charge by text message: added, unlocked, removed, each PIN shown once."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import Field

from service.db import autocommit, transaction
from service.people.model import PROVIDER_ROLES
from service.staff import operations
from service.staff.model import NAME_MAX, NewPin, WorkerLanguage, WorkerUnknown
from service.web.pages import N_, PAGE_LANGUAGES, FormModel, PageCall, PageReply, PageRoute, redirect, render

OFFICE_ROLES = PROVIDER_ROLES - {"worker"}
PATH = "/provider/workers"


class WorkerForm(FormModel):
    name: Annotated[str, Field(min_length=1, max_length=NAME_MAX)]
    phone: Annotated[str, Field(min_length=1, max_length=40)]
    language: WorkerLanguage


async def show_workers(call: PageCall) -> PageReply:
    """Who may charge by text message."""
    async with autocommit(call.resources.pool) as conn:
        workers = await operations.list_workers(conn, provider_id=call.visitor.owner_id)
    return await render(
        call,
        "provider/workers.html",
        workers=workers,
        languages_of_texts=list(PAGE_LANGUAGES.items()),
        sender=call.resources.settings.twilio_sender,
    )


async def add_worker(call: PageCall) -> PageReply:
    """Register a worker's phone, and show the PIN."""
    form = call.form_as(WorkerForm)
    async with transaction(call.resources.pool) as conn:
        made = await operations.add_worker(
            conn,
            call.resources.keys,
            provider_id=call.visitor.owner_id,
            name=form.name,
            phone=form.phone,
            language=form.language,
            countries=call.resources.settings.sms_countries,
            actor=call.visitor.actor,
        )
    return await _pin(call, made)


async def renew_pin(call: PageCall) -> PageReply:
    """Another PIN in place of the one before; a lock is lifted with it."""
    worker_id = _worker_id(call)
    async with transaction(call.resources.pool) as conn:
        workers = await operations.list_workers(conn, provider_id=call.visitor.owner_id)
        is_locked = any(each.worker_id == worker_id and each.locked_at is not None for each in workers)
        give = operations.unlock_worker if is_locked else operations.new_pin
        made = await give(
            conn,
            call.resources.keys,
            provider_id=call.visitor.owner_id,
            worker_id=worker_id,
            actor=call.visitor.actor,
        )
    return await _pin(call, made)


async def remove_worker(call: PageCall) -> PageReply:
    """From the next text on the phone charges nothing."""
    async with transaction(call.resources.pool) as conn:
        worker = await operations.remove_worker(
            conn, provider_id=call.visitor.owner_id, worker_id=_worker_id(call), actor=call.visitor.actor
        )
    return await redirect(call, PATH, note=call.gettext("%(name)s is removed.", name=worker.name))


async def _pin(call: PageCall, made: NewPin) -> PageReply:
    """In the answer itself and nowhere else: a page that could be opened again would have to keep it."""
    return await render(call, "provider/pin.html", worker=made.worker, pin=made.pin)


def _worker_id(call: PageCall) -> UUID:
    return call.path_id("worker_id", WorkerUnknown)


PAGES: tuple[PageRoute, ...] = (
    PageRoute("GET", PATH, show_workers, roles=OFFICE_ROLES, summary="Who charges by text", nav=N_("Text messages")),
    PageRoute(
        "POST", PATH, add_worker, roles=OFFICE_ROLES, summary="Add a worker who charges by text", form=show_workers
    ),
    PageRoute(
        "POST", f"{PATH}/{{worker_id}}/pin", renew_pin, roles=OFFICE_ROLES, summary="Another PIN", form=show_workers
    ),
    PageRoute(
        "POST",
        f"{PATH}/{{worker_id}}/remove",
        remove_worker,
        roles=OFFICE_ROLES,
        summary="Remove a worker",
        form=show_workers,
    ),
)
