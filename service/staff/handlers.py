"""A provider's office keeps its workers: who may charge by text, and from which phone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from service.channels.contacts import PhoneNotMobile
from service.db import autocommit, transaction
from service.staff import operations
from service.staff.model import (
    NAME_MAX,
    NewPin,
    Worker,
    WorkerLanguage,
    WorkerLocked,
    WorkerNameUnfit,
    WorkerNotLocked,
    WorkerPhoneTaken,
    WorkerUnknown,
)
from service.web import AnswerModel, Call, QueryModel, Reply, RequestModel, Route


class WorkerRequest(RequestModel):
    name: Annotated[str, Field(min_length=1, max_length=NAME_MAX, description="As your own people know it")]
    phone: Annotated[str, Field(min_length=1, max_length=40, description="A mobile number, of this worker alone")]
    language: Annotated[WorkerLanguage, Field(description="Of the answers to its texts")] = "fi"


class WorkerQuery(QueryModel):
    cursor: UUID | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50


class WorkerItem(AnswerModel):
    """A worker. Its number is shown by its last digits, its PIN never."""

    worker_id: UUID
    name: str
    language: WorkerLanguage
    phone_hint: str | None
    state: Literal["active", "locked", "removed"]
    locked_at: datetime | None
    created_at: datetime


class WorkerWithPin(WorkerItem):
    """The only time that the PIN is shown."""

    pin: str


class WorkerList(AnswerModel):
    """Oldest first. `next_cursor` is there when there is more."""

    workers: Sequence[WorkerItem]
    next_cursor: UUID | None


async def post_worker(call: Call) -> Reply:
    """Register a worker's phone, and show its PIN once. A repeat finds the phone taken: ask for a new PIN then."""
    asked = call.body_as(WorkerRequest)
    async with transaction(call.resources.pool) as conn:
        made = await operations.add_worker(
            conn,
            call.resources.keys,
            provider_id=call.caller.owner_id,
            name=asked.name,
            phone=asked.phone,
            language=asked.language,
            countries=call.resources.settings.sms_countries,
            actor=call.caller.actor,
        )
    return Reply(status=201, body=_with_pin(made))


async def get_workers(call: Call) -> Reply:
    """A page of the provider's workers, oldest first; pass `next_cursor` on as `cursor`."""
    query = call.query_as(WorkerQuery)
    async with autocommit(call.resources.pool) as conn:
        found = await operations.list_workers(
            conn, provider_id=call.caller.owner_id, after=query.cursor, limit=query.limit + 1
        )
    page = found[: query.limit]
    more = len(found) > query.limit
    return Reply(
        body=WorkerList(
            workers=[WorkerItem(**_fields(worker)) for worker in page], next_cursor=page[-1].worker_id if more else None
        )
    )


async def post_new_pin(call: Call) -> Reply:
    """Another PIN in place of the one before, shown once."""
    worker_id = call.path_id("worker_id", WorkerUnknown)
    async with transaction(call.resources.pool) as conn:
        made = await operations.new_pin(
            conn,
            call.resources.keys,
            provider_id=call.caller.owner_id,
            worker_id=worker_id,
            actor=call.caller.actor,
        )
    return Reply(body=_with_pin(made))


async def post_unlock(call: Call) -> Reply:
    """Let a worker charge again after three wrong PINs; it gets a new one, shown once."""
    worker_id = call.path_id("worker_id", WorkerUnknown)
    async with transaction(call.resources.pool) as conn:
        made = await operations.unlock_worker(
            conn,
            call.resources.keys,
            provider_id=call.caller.owner_id,
            worker_id=worker_id,
            actor=call.caller.actor,
        )
    return Reply(body=_with_pin(made))


async def post_remove(call: Call) -> Reply:
    """From the next text on the phone charges nothing. Again is harmless."""
    worker_id = call.path_id("worker_id", WorkerUnknown)
    async with transaction(call.resources.pool) as conn:
        worker = await operations.remove_worker(
            conn, provider_id=call.caller.owner_id, worker_id=worker_id, actor=call.caller.actor
        )
    return Reply(body=WorkerItem(**_fields(worker)))


def _fields(worker: Worker) -> dict[str, object]:
    return {
        name: getattr(worker, name)
        for name in ("worker_id", "name", "language", "phone_hint", "state", "locked_at", "created_at")
    }


def _with_pin(made: NewPin) -> WorkerWithPin:
    return WorkerWithPin(**_fields(made.worker), pin=made.pin)


ROUTES: tuple[Route, ...] = (
    Route(
        "POST",
        "/v1/workers",
        post_worker,
        "workers:write",
        "Register a worker who may charge by text message",
        body=WorkerRequest,
        answer=WorkerWithPin,
        status=201,
        errors=(PhoneNotMobile, WorkerNameUnfit, WorkerPhoneTaken),
    ),
    Route(
        "GET",
        "/v1/workers",
        get_workers,
        "workers:write",
        "Your workers, oldest first",
        query=WorkerQuery,
        answer=WorkerList,
    ),
    Route(
        "POST",
        "/v1/workers/{worker_id}/new-pin",
        post_new_pin,
        "workers:write",
        "Give a worker another PIN",
        answer=WorkerWithPin,
        errors=(WorkerUnknown, WorkerLocked),
    ),
    Route(
        "POST",
        "/v1/workers/{worker_id}/unlock",
        post_unlock,
        "workers:write",
        "Let a worker charge again after three wrong PINs",
        answer=WorkerWithPin,
        errors=(WorkerUnknown, WorkerNotLocked),
    ),
    Route(
        "POST",
        "/v1/workers/{worker_id}/remove",
        post_remove,
        "workers:write",
        "Take a worker off the list",
        answer=WorkerItem,
        errors=(WorkerUnknown,),
    ),
)
