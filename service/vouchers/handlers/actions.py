"""What every caseworker's change of a voucher has in common: done once, answered with the voucher as it is then."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime
from uuid import UUID

from service.db import Connection, transaction
from service.errors import SeteliError
from service.organisers.model import Organiser
from service.organisers.operations import organiser_by_id
from service.vouchers import operations
from service.vouchers.answers.vouchers import ChangeAnswer
from service.vouchers.decisions import helsinki_day
from service.vouchers.model import VoucherNotOpen, VoucherUnknown
from service.vouchers.operations import Sent
from service.web import Call, Reply, RequestModel, Route, once

Change = Callable[[Connection, Organiser, UUID, date], Awaitable[Sent | None]]


async def change_once(call: Call, change: Change) -> Reply:
    """Do it once, answer with the voucher as it is then, and wake a worker when there is a message to send."""
    resources, voucher_id, today = call.resources, path_voucher(call), helsinki_today()
    sent: list[Sent] = []
    async with transaction(resources.pool) as conn:
        organiser = await organiser_by_id(conn, call.caller.owner_id)

        async def write() -> ChangeAnswer:
            done = await change(conn, organiser, voucher_id, today)
            if done is not None:
                sent.append(done)
            view = await operations.voucher_view(
                conn, resources.keys, organiser_id=organiser.organiser_id, voucher_id=voucher_id, today=today
            )
            return ChangeAnswer.of_view(view, done.message_id if done is not None else None)

        reply = await once(call, conn, write)
    for message in sent:
        resources.wakeups.wake(message.message_id)
    return reply


def path_voucher(call: Call) -> UUID:
    return call.path_id("voucher_id", VoucherUnknown)


def helsinki_today() -> date:
    return helsinki_day(datetime.now(UTC))


def action(
    name: str,
    handler: Callable[[Call], Awaitable[Reply]],
    summary: str,
    body: type[RequestModel] | None,
    *errors: type[SeteliError],
) -> Route:
    return Route(
        "POST",
        f"/v1/vouchers/{{voucher_id}}/{name}",
        handler,
        "vouchers:write",
        summary,
        body=body,
        answer=ChangeAnswer,
        errors=(VoucherUnknown, VoucherNotOpen, *errors),
        idempotency="optional",
    )
