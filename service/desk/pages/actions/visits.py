"""What a caseworker says of a charged visit: that it was not so, and that this is cleared up.

Taking a visit back is the provider's alone: it is its invoice. An organiser makes it wait, asks for that, and clears
it up when it is done, or when the visit turns out to be right after all.
"""

from __future__ import annotations

from uuid import UUID

from asyncpg import Record

from service.db import Connection
from service.debits.disputes import DebitUnknown, dispute_debit, resolve_dispute
from service.desk import operations as desk
from service.desk.pages.actions.action import Action, ReasonForm
from service.organisers.model import Organiser
from service.web.pages import N_, PageCall


async def find_visit(conn: Connection, call: PageCall, voucher_id: UUID) -> Record:
    """The visit in the address. Raises DebitUnknown: not charged to this voucher."""
    debit_id = call.path_id("debit_id", DebitUnknown)
    visit = await desk.visit_of(conn, organiser_id=call.visitor.owner_id, voucher_id=voucher_id, debit_id=debit_id)
    if visit is None:
        raise DebitUnknown
    return visit


async def _dispute(call: PageCall, conn: Connection, organiser: Organiser, voucher_id: UUID) -> None:
    visit = await find_visit(conn, call, voucher_id)
    await dispute_debit(
        conn,
        organiser_id=organiser.organiser_id,
        debit_id=visit["entry_id"],
        actor=call.visitor.actor,
        reason=call.form_as(ReasonForm).reason,
    )


async def _resolve(call: PageCall, conn: Connection, organiser: Organiser, voucher_id: UUID) -> None:
    visit = await find_visit(conn, call, voucher_id)
    await resolve_dispute(
        conn,
        organiser_id=organiser.organiser_id,
        debit_id=visit["entry_id"],
        actor=call.visitor.actor,
        resolution=call.form_as(ReasonForm).reason,
    )


DISPUTE = Action(
    "dispute",
    N_("This visit was not so"),
    N_("The visit is marked as disputed, for the provider, too, and waits on the list of what needs a person."),
    N_("The visit is disputed."),
    _dispute,
)
STANDS = Action(
    "resolve",
    N_("The visit stands"),
    N_(
        "You have asked the family and the provider, and the visit is right as it is charged. If it is not, ask the"
        " provider to take it back: only the provider can, on its page. Then come back here."
    ),
    N_("The dispute is over: the visit stands."),
    _resolve,
)
STANDS_SETTLED = Action(
    "resolve",
    N_("The dispute is cleared up"),
    N_(
        "The visit is settled: the provider cannot take it back here any more. If it was not so, agree with the"
        " provider how it is put right, and write down what you agreed."
    ),
    N_("The dispute is over."),
    _resolve,
)
TAKEN_BACK = Action(
    "resolve",
    N_("The visit was taken back"),
    N_("The provider has taken the visit back: its value is the family's again, and nothing is paid for it."),
    N_("The dispute is over: the visit was taken back."),
    _resolve,
)


def action_for(name: str, visit: Record) -> Action | None:
    """What the name in an address means for this visit; None if nothing."""
    if name == DISPUTE.name:
        return DISPUTE
    if name != STANDS.name:
        return None
    if visit["left_amount"] == 0:
        return TAKEN_BACK
    return STANDS_SETTLED if visit["settled"] else STANDS


def is_possible(action: Action, visit: Record) -> bool:
    """Whether it can be done as things are: a dispute needs something left of the visit, an end an open dispute."""
    return not visit["disputed"] and visit["left_amount"] > 0 if action is DISPUTE else bool(visit["disputed"])
