"""What an action of a caseworker is: its words, and the function that does it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from service.db import Connection
from service.desk.pages.forms import Reason
from service.organisers.model import Organiser
from service.vouchers.operations import Sent
from service.web.pages import FormModel, PageCall

Do = Callable[[PageCall, Connection, Organiser, UUID], Awaitable[Sent | None]]


class ReasonForm(FormModel):
    reason: Reason


@dataclass(frozen=True, slots=True)
class Action:
    """`explanation` says what happens, before it does; `needs_form` False is done with its button at once."""

    name: str
    title: str
    explanation: str
    done: str
    do: Do
    is_final: bool = False
    needs_form: bool = True


class Reasoned(Protocol):
    """An operation on a voucher that takes a reason and nothing else."""

    async def __call__(
        self, conn: Connection, /, *, organiser: Organiser, voucher_id: UUID, actor: str, reason: str
    ) -> None: ...


def with_reason(operation: Reasoned) -> Do:
    """Does the operation with the reason that is filled in."""

    async def do(call: PageCall, conn: Connection, organiser: Organiser, voucher_id: UUID) -> None:
        reason = call.form_as(ReasonForm).reason
        await operation(conn, organiser=organiser, voucher_id=voucher_id, actor=call.visitor.actor, reason=reason)

    return do
