"""Who may be paid by the organiser, for what and when: approving, ending with its consequences, and the first person.

A company itself is suspended by whoever runs the installation, because it works for others, too; an organiser ends its
own approvals, all of them at once if it likes.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Annotated

from asyncpg import Record
from pydantic import Field

from service import audit
from service.db import Connection, transaction
from service.desk import operations
from service.desk.pages.decisions import programme_names
from service.desk.pages.forms import (
    ADMINS,
    APPROVERS,
    CASEWORK,
    Address,
    Day,
    Reason,
    Ticked,
    read_day,
    today,
    with_words,
    wrong,
)
from service.errors import InvalidRequest
from service.organisers.operations import organiser_by_id
from service.people.operations import links
from service.providers.model import Provider, ProviderUnknown
from service.providers.operations import add_provider, approve_many, find_provider, withdraw_approval
from service.providers.operations import approve as approve_provider
from service.web.pages import N_, PAGE_LANGUAGES, FormModel, PageCall, PageReply, PageRoute, redirect, render
from service.web.pages.words import show_day

APPROVE_ACTION = "provider.approve"
END_ACTION = "provider.end_approval"
WITHDRAW_ACTION = "provider.withdraw_approval"
ADD_ACTION = "provider.add"
INVITE_ACTION = "provider.invite_first"
FIRST_ROLE = "provider_admin"
AT_ONCE_MAX = 200
BusinessId = Annotated[str, Field(max_length=20)]


class ApprovalForm(FormModel):
    """`business_ids`: one a line, or with commas between."""

    business_ids: Annotated[str, Field(max_length=4000)]
    programmes: Annotated[list[str], Field(min_length=1, max_length=100)]
    valid_from: Day
    valid_to: Day | None = None


class EndForm(FormModel):
    """`programme` None: every approval of the organiser's own. `sure` comes from the page with the consequences."""

    programme: Annotated[str, Field(max_length=40)] | None = None
    last_day: Day
    reason: Reason
    sure: Ticked = None


class CompanyForm(FormModel):
    business_id: BusinessId
    name: Annotated[str, Field(max_length=120)]


class InvitationForm(FormModel):
    name: Annotated[str, Field(max_length=120)]
    email: Address
    language: Annotated[str, Field(max_length=2)]


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
        may_add=call.visitor.role in ADMINS,
        today=today(),
    )


async def approve(call: PageCall) -> PageReply:
    """Let providers be paid by this organiser alone for some programmes, all or none; again moves the days."""
    form = call.form_as(ApprovalForm)
    valid_from = read_day(call, "valid_from", form.valid_from)
    valid_to = read_day(call, "valid_to", form.valid_to) if form.valid_to else None
    business_ids = form.business_ids.replace(",", " ").split()
    if not 1 <= len(business_ids) <= AT_ONCE_MAX:
        raise wrong("business_ids", call.gettext("Write a business ID on each line."))
    async with transaction(call.resources.pool) as conn:
        approved = await approve_many(
            conn,
            business_ids=business_ids,
            programmes=form.programmes,
            organiser_id=call.visitor.owner_id,
            valid_from=valid_from,
            valid_to=valid_to,
        )
        days = f"{', '.join(dict.fromkeys(form.programmes))} {valid_from}–{valid_to or ''}"
        await audit.record_many(
            conn,
            organiser_id=call.visitor.owner_id,
            actor=call.visitor.actor,
            action=APPROVE_ACTION,
            subject_ids=[each.provider_id for each in approved],
            reason=days,
        )
    return await redirect(call, "/desk/providers", note=call.gettext("The providers are approved."))


async def add(call: PageCall) -> PageReply:
    """Add a company to the register, so that it can be approved. The same again adds nothing."""
    form = call.form_as(CompanyForm)
    async with transaction(call.resources.pool) as conn:
        provider = await add_provider(conn, business_id=form.business_id, name=form.name)
        await _note(call, conn, ADD_ACTION, provider, form.business_id)
    note = call.gettext("The company is in the register. Approve it for a programme.")
    return await redirect(call, "/desk/providers", note=note)


async def show_provider(call: PageCall) -> PageReply:
    """One provider as this organiser sees it: approvals, prices, and what can be done."""
    async with transaction(call.resources.pool) as conn:
        provider, approvals = await _own_provider(call, conn)
        prices = await operations.prices_of(conn, organiser_id=call.visitor.owner_id, provider_id=provider.provider_id)
        people = await operations.people_of(conn, provider_id=provider.provider_id)
        may_invite = call.visitor.role in ADMINS and await operations.may_name_first(
            conn, organiser_id=call.visitor.owner_id, provider_id=provider.provider_id
        )
        names = await programme_names(call, conn)
    return await render(
        call,
        "desk/provider.html",
        provider=provider,
        approvals=approvals,
        own=[each for each in approvals if _can_end(each)],
        prices=prices,
        people=people,
        names=names,
        page_languages=list(PAGE_LANGUAGES.items()),
        may_approve=call.visitor.role in APPROVERS,
        may_invite=may_invite,
        today=today(),
    )


async def end(call: PageCall) -> PageReply:
    """Show whom it concerns; with `sure`, make it the last day on which visits are paid by this organiser."""
    form = call.form_as(EndForm)
    last_day = read_day(call, "last_day", form.last_day)
    async with transaction(call.resources.pool) as conn:
        provider, approvals = await _own_provider(call, conn)
        ending = _choose_ending(call, approvals, form.programme, last_day)
        if form.sure is None:
            return await _show_consequences(call, conn, provider, ending, last_day)
        for each in ending:
            await _end(call, conn, provider, each, last_day, form.reason)
    note = call.gettext("The approval ends on the day you chose.")
    return await redirect(call, f"/desk/providers/{provider.business_id}", note=note)


async def invite(call: PageCall) -> PageReply:
    """Invite a new provider's first person, who invites the others; once there is one, it is the provider's own affair.

    A company that works already, or for others, too, gets its first person from whoever runs the installation.
    """
    form = call.form_as(InvitationForm)
    async with transaction(call.resources.pool) as conn:
        provider, _ = await _own_provider(call, conn)
        await operations.lock_provider(conn, provider_id=provider.provider_id)
        if await operations.people_of(conn, provider_id=provider.provider_id):
            raise wrong("email", call.gettext("This provider has people already, who invite the others."))
        if not await operations.may_name_first(
            conn, organiser_id=call.visitor.owner_id, provider_id=provider.provider_id
        ):
            raise wrong("email", call.gettext("Its first person is invited by whoever runs the installation."))
        invited = await links.invite(
            conn,
            call.resources.keys,
            owner="provider",
            owner_id=provider.provider_id,
            role=FIRST_ROLE,
            name=form.name,
            email=form.email,
            language=form.language if form.language in PAGE_LANGUAGES else call.language,
            inviter=call.visitor.name,
            actor=call.visitor.actor,
        )
        await _note(call, conn, INVITE_ACTION, provider, None)
    call.resources.wakeups.wake(invited.message_id)
    note = call.gettext("%(name)s is invited: the link is on its way by e-mail.", name=form.name)
    return await redirect(call, f"/desk/providers/{provider.business_id}", note=note)


async def _own_provider(call: PageCall, conn: Connection) -> tuple[Provider, Sequence[Record]]:
    """A provider that this organiser, or its region, has approved for something. Raises ProviderUnknown."""
    provider = await find_provider(conn, call.raw.match_info["business_id"])
    approvals = [
        each
        for each in await operations.approvals_of(conn, organiser_id=call.visitor.owner_id)
        if each["business_id"] == provider.business_id
    ]
    if not approvals:
        raise ProviderUnknown(business_id=provider.business_id)
    return provider, approvals


def _choose_ending(
    call: PageCall, approvals: Sequence[Record], programme: str | None, last_day: date
) -> Sequence[Record]:
    """Those that a last day makes shorter. Raises InvalidRequest: there are none, or one would be turned round.

    One that has begun has a first day that visits may be charged of; before it there is nothing to end.
    """
    own = [each for each in approvals if _can_end(each) and programme in (None, each["programme"])]
    if not own:
        raise wrong("last_day", call.gettext("This approval is not your organisation's own."))
    ending = [each for each in own if each["valid_to"] is None or each["valid_to"] > last_day]
    if not ending:
        raise wrong("last_day", call.gettext("The approval ends sooner already."))
    begun = [each["valid_from"] for each in ending if last_day < each["valid_from"] <= today()]
    if begun:
        raise _begun(call, max(begun))
    return ending


def _begun(call: PageCall, first: date) -> InvalidRequest:
    day = show_day(first, call.language)
    return wrong("last_day", call.gettext("The approval began on %(day)s: end it then or later.", day=day))


async def _end(
    call: PageCall, conn: Connection, provider: Provider, approval: Record, last_day: date, reason: str
) -> None:
    """Make it the last day, or take back what begins later: moved to before its beginning, it would allow that day."""
    programme, first = approval["programme"], approval["valid_from"]
    if first <= last_day:
        await _store(call, conn, provider.business_id, programme, first, last_day, END_ACTION, reason)
        return
    if not await withdraw_approval(
        conn, provider_id=provider.provider_id, programme=programme, organiser_id=call.visitor.owner_id
    ):
        raise _begun(call, first)  # at midnight
    days = f"{programme} {first}–{approval['valid_to'] or ''}"
    await _note(call, conn, WITHDRAW_ACTION, provider, f"{days}: {reason}")


async def _show_consequences(
    call: PageCall, conn: Connection, provider: Provider, ending: Sequence[Record], last_day: date
) -> PageReply:
    programmes = [each["programme"] for each in ending]
    concerned = await operations.concerned_by_end(
        conn,
        organiser_id=call.visitor.owner_id,
        provider_id=provider.provider_id,
        programmes=programmes,
        last_day=last_day,
    )
    names = await programme_names(call, conn)
    return await render(
        call,
        "desk/end_approval.html",
        provider=provider,
        programmes=[names.get(each, each) for each in programmes],
        last_day=last_day,
        concerned=concerned,
        given=[(name, value) for name in ("programme", "last_day", "reason") if (value := call.value(name))],
    )


def _can_end(approval: Record) -> bool:
    return approval["region"] is None and (approval["valid_to"] is None or approval["valid_to"] >= today())


async def _store(
    call: PageCall,
    conn: Connection,
    business_id: str,
    programme: str,
    valid_from: date,
    valid_to: date | None,
    action: str,
    reason: str | None,
) -> None:
    organiser = await organiser_by_id(conn, call.visitor.owner_id)
    approval = await approve_provider(
        conn,
        business_id=business_id,
        programme=programme,
        organiser_slug=organiser.slug,
        valid_from=valid_from,
        valid_to=valid_to,
    )
    days = f"{programme} {valid_from}–{valid_to or ''}"
    await audit.record(
        conn,
        organiser_id=organiser.organiser_id,
        actor=call.visitor.actor,
        action=action,
        subject_id=approval.provider_id,
        reason=days if reason is None else f"{days}: {reason}",
    )


async def _note(call: PageCall, conn: Connection, action: str, provider: Provider, reason: str | None) -> None:
    await audit.record(
        conn,
        organiser_id=call.visitor.owner_id,
        actor=call.visitor.actor,
        action=action,
        subject_id=provider.provider_id,
        reason=reason,
    )


PAGES: tuple[PageRoute, ...] = (
    PageRoute("GET", "/desk/providers", show_providers, roles=CASEWORK, summary="Providers", nav=N_("Providers")),
    PageRoute(
        "POST",
        "/desk/providers/approve",
        approve,
        roles=APPROVERS,
        summary="Approve providers for programmes",
        form=with_words(show_providers),
    ),
    PageRoute(
        "POST", "/desk/providers/add", add, roles=ADMINS, summary="Add a company", form=with_words(show_providers)
    ),
    PageRoute("GET", "/desk/providers/{business_id}", show_provider, roles=CASEWORK, summary="One provider"),
    PageRoute(
        "POST",
        "/desk/providers/{business_id}/end",
        end,
        roles=APPROVERS,
        summary="End approvals",
        form=with_words(show_provider),
    ),
    PageRoute(
        "POST",
        "/desk/providers/{business_id}/invite",
        invite,
        roles=ADMINS,
        summary="Invite a provider's first person",
        form=with_words(show_provider),
    ),
)
