"""An owner's admins invite and remove their own people, and help those who lost their phone."""

from __future__ import annotations

from pydantic import Field

from service.db import Connection, transaction
from service.people.model import ADMINS, NAME_MAX, Person, PersonUnknown
from service.people.operations import accounts, administration, links
from service.people.pages.words import event_name, role_name, role_options
from service.web.pages import N_, PAGE_LANGUAGES, FormModel, PageCall, PageReply, PageRoute, redirect, render

PEOPLE = "/people"


class InvitationForm(FormModel):
    name: str = Field(min_length=1, max_length=NAME_MAX)
    email: str = Field(min_length=3, max_length=254)
    role: str
    language: str = Field(pattern="^(fi|sv|en)$")


def state_of(call: PageCall, person: Person) -> str:
    """In one word or two, what stands in the way of signing in."""
    if person.disabled_at is not None:
        return call.gettext("Removed")
    if person.last_seen_at is None and not person.has_password:
        return call.gettext("Invited")
    return call.gettext("In use") if person.has_second_factor else call.gettext("Second step missing")


async def show_people(call: PageCall) -> PageReply:
    """Everybody of one's own owner."""
    visitor = call.visitor
    async with transaction(call.resources.pool) as conn:
        people = await accounts.list_people(conn, owner=visitor.owner, owner_id=visitor.owner_id)
    rows = [(person, role_name(call, person.role), state_of(call, person)) for person in people]
    return await render(call, "people/people.html", rows=rows)


async def show_invite(call: PageCall) -> PageReply:
    """The form for another person."""
    return await render(
        call,
        "people/invite.html",
        roles=role_options(call, call.visitor.owner),
        languages_to_choose=list(PAGE_LANGUAGES.items()),
    )


async def do_invite(call: PageCall) -> PageReply:
    """Add a person and mail the invitation."""
    form, visitor = call.form_as(InvitationForm), call.visitor
    async with transaction(call.resources.pool) as conn:
        invited = await links.invite(
            conn,
            call.resources.keys,
            owner=visitor.owner,
            owner_id=visitor.owner_id,
            role=form.role,
            name=form.name,
            email=form.email,
            language=form.language,
            inviter=visitor.name,
            actor=visitor.actor,
        )
    _wake(call, invited)
    note = call.gettext("%(name)s is invited: the link is on its way by e-mail.", name=form.name)
    return await redirect(call, PEOPLE, note=note)


async def show_person(call: PageCall) -> PageReply:
    """One person, what they went through, and what can be done for them."""
    async with transaction(call.resources.pool) as conn:
        person = await _find(call, conn)
        events = await accounts.list_events(conn, person_id=person.person_id)
        delivery = await links.invitation_state(conn, person)
    return await render(
        call,
        "people/person.html",
        person=person,
        role=role_name(call, person.role),
        state=state_of(call, person),
        roles=role_options(call, person.owner),
        is_oneself=person.person_id == call.visitor.person_id,
        delivery=delivery,
        events=[(event_name(call, event.action), event.recorded_at) for event in events],
    )


async def do_invite_again(call: PageCall) -> PageReply:
    """Mail a new invitation in place of the earlier one."""
    async with transaction(call.resources.pool) as conn:
        person = await _find(call, conn)
        invited = await links.invite_again(
            conn,
            call.resources.keys,
            person_id=person.person_id,
            inviter=call.visitor.name,
            actor=call.visitor.actor,
        )
    _wake(call, invited)
    note = call.gettext("A new link is on its way by e-mail. The earlier one no longer works.")
    return await redirect(call, f"{PEOPLE}/{person.person_id}", note=note)


async def change_role(call: PageCall) -> PageReply:
    """Give somebody another role."""
    async with transaction(call.resources.pool) as conn:
        person = await _find(call, conn)
        await administration.change_role(conn, person, role=call.value("role"), actor=call.visitor.actor)
    return await redirect(call, f"{PEOPLE}/{person.person_id}", note=call.gettext("The role is changed."))


async def reset_person(call: PageCall) -> PageReply:
    """Forget somebody's second step, so that they set up a new one: for a lost phone."""
    async with transaction(call.resources.pool) as conn:
        person = await _find(call, conn)
        await administration.reset_person(conn, person, actor=call.visitor.actor)
    note = call.gettext("The second step is reset. It is set up anew at the next sign-in.")
    return await redirect(call, f"{PEOPLE}/{person.person_id}", note=note)


async def remove_person(call: PageCall) -> PageReply:
    """Let somebody sign in no more."""
    async with transaction(call.resources.pool) as conn:
        person = await _find(call, conn)
        await administration.remove_person(conn, person, actor=call.visitor.actor)
    return await redirect(call, PEOPLE, note=call.gettext("%(name)s can no longer sign in.", name=person.name))


async def _find(call: PageCall, conn: Connection) -> Person:
    visitor = call.visitor
    person_id = call.path_id("person_id", PersonUnknown)
    return await administration.find_own(conn, owner=visitor.owner, owner_id=visitor.owner_id, person_id=person_id)


def _wake(call: PageCall, invited: links.Invited) -> None:
    call.resources.wakeups.wake(invited.message_id)


ONE = PEOPLE + "/{person_id}"
PAGES: tuple[PageRoute, ...] = (
    PageRoute("GET", PEOPLE, show_people, roles=ADMINS, summary="One's own people", nav=N_("People")),
    PageRoute("GET", PEOPLE + "/invite", show_invite, roles=ADMINS, summary="Invite a person"),
    PageRoute("POST", PEOPLE + "/invite", do_invite, roles=ADMINS, summary="Send an invitation", form=show_invite),
    PageRoute("GET", ONE, show_person, roles=ADMINS, summary="One person"),
    PageRoute("POST", ONE + "/invite", do_invite_again, roles=ADMINS, summary="Invite again", form=show_person),
    PageRoute("POST", ONE + "/role", change_role, roles=ADMINS, summary="Change a role", form=show_person),
    PageRoute("POST", ONE + "/reset", reset_person, roles=ADMINS, summary="Reset a second step", form=show_person),
    PageRoute("POST", ONE + "/remove", remove_person, roles=ADMINS, summary="Remove a person", form=show_person),
)
