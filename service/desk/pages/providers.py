"""Who may be paid for what: an organiser's own approvals and its region's; supervisors approve and end."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from asyncpg import Record
from pydantic import Field

from service import audit
from service.db import Connection, transaction
from service.desk import operations
from service.desk.pages.decisions import programme_names
from service.desk.pages.forms import APPROVERS, CASEWORK, Day, read_day, today, with_words, wrong
from service.organisers.operations import organiser_by_id
from service.providers.model import Approval
from service.providers.operations import approve as approve_provider
from service.web.pages import N_, FormModel, PageCall, PageReply, PageRoute, redirect, render

APPROVE_ACTION = "provider.approve"


class ApprovalForm(FormModel):
    business_id: Annotated[str, Field(max_length=20)]
    programme: Annotated[str, Field(max_length=40)]
    valid_from: Day
    valid_to: Day | None = None


class EndForm(FormModel):
    business_id: Annotated[str, Field(max_length=20)]
    programme: Annotated[str, Field(max_length=40)]
    last_day: Day


async def show_providers(call: PageCall) -> PageReply:
    """Every approval, by provider."""
    async with transaction(call.resources.pool) as conn:
        approvals = await operations.approvals_of(conn, organiser_id=call.visitor.owner_id)
        names = await programme_names(call, conn)
    return await render(
        call,
        "desk/providers.html",
        approvals=approvals,
        names=names,
        may_approve=call.visitor.role in APPROVERS,
        today=today(),
    )


async def approve(call: PageCall) -> PageReply:
    """Let a provider be paid by this organiser alone; again moves the days."""
    form = call.form_as(ApprovalForm)
    valid_from = read_day(call, "valid_from", form.valid_from)
    valid_to = read_day(call, "valid_to", form.valid_to) if form.valid_to else None
    async with transaction(call.resources.pool) as conn:
        await _store(call, conn, form.business_id, form.programme, valid_from, valid_to)
    return await redirect(call, "/desk/providers", note=call.gettext("The provider is approved."))


async def end(call: PageCall) -> PageReply:
    """The last day on which the provider's visits are paid by this organiser."""
    form = call.form_as(EndForm)
    last_day = read_day(call, "last_day", form.last_day)
    async with transaction(call.resources.pool) as conn:
        found = await operations.approvals_of(conn, organiser_id=call.visitor.owner_id)
        own = [each for each in found if _is_own(each, form)]
        if not own:
            raise wrong("last_day", call.gettext("This approval is not your organisation's own."))
        await _store(call, conn, form.business_id, form.programme, own[0]["valid_from"], last_day)
    return await redirect(call, "/desk/providers", note=call.gettext("The approval ends on the day you chose."))


def _is_own(approval: Record, form: EndForm) -> bool:
    return (
        approval["region"] is None
        and approval["business_id"] == form.business_id
        and approval["programme"] == form.programme
    )


async def _store(
    call: PageCall, conn: Connection, business_id: str, programme: str, valid_from: date, valid_to: date | None
) -> Approval:
    organiser = await organiser_by_id(conn, call.visitor.owner_id)
    approval = await approve_provider(
        conn,
        business_id=business_id,
        programme=programme,
        organiser_slug=organiser.slug,
        valid_from=valid_from,
        valid_to=valid_to,
    )
    await audit.record(
        conn,
        organiser_id=organiser.organiser_id,
        actor=call.visitor.actor,
        action=APPROVE_ACTION,
        subject_id=approval.provider_id,
        reason=f"{programme} {valid_from}–{valid_to or ''}",
    )
    return approval


PAGES: tuple[PageRoute, ...] = (
    PageRoute("GET", "/desk/providers", show_providers, roles=CASEWORK, summary="Providers", nav=N_("Providers")),
    PageRoute(
        "POST",
        "/desk/providers/approve",
        approve,
        roles=APPROVERS,
        summary="Approve a provider",
        form=with_words(show_providers),
    ),
    PageRoute(
        "POST",
        "/desk/providers/end",
        end,
        roles=APPROVERS,
        summary="End an approval",
        form=with_words(show_providers),
    ),
)
