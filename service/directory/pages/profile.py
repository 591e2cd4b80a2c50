"""The page on which a provider's office writes what the directory tells of it: filled in, looked at, kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from pydantic import Field

from service.db import Connection, transaction
from service.directory import operations
from service.directory.model import (
    DESCRIPTION_LANGUAGES,
    DESCRIPTION_MAX,
    GENERAL,
    HOURS,
    LANGUAGES,
    NOTHING_TOLD,
    Profile,
    ProfileUnfit,
    check_profile,
)
from service.directory.operations import KeptProfiles
from service.directory.pages.words import Words
from service.errors import InvalidRequest
from service.people.model import PROVIDER_ROLES
from service.problems import Problem
from service.web.pages import N_, PAGE_LANGUAGES, FormModel, PageCall, PageReply, PageRoute, redirect, render

PATH = "/provider/profile"
OFFICE_ROLES = PROVIDER_ROLES - {"worker"}
RULES: Mapping[str, str] = {
    "areas": N_("Write the names of municipalities, at most 60, with commas between."),
    "hours": N_("Write hours like 08:00 and 16:00; the day ends at 24:00."),
    "languages": N_("Choose languages from the list."),
    "phone": N_("Write a telephone number like 014 555 0101."),
    "email": N_("Write an e-mail address like info@example.fi."),
    "web": N_("Write a web address that begins with https://."),
}
TEXT_RULE = N_("Write at most 1,200 characters, and no identity codes.")


class ProfileForm(FormModel):
    programme: Annotated[str, Field(max_length=40)] = GENERAL
    description_fi: Annotated[str, Field(max_length=3 * DESCRIPTION_MAX)] = ""
    description_sv: Annotated[str, Field(max_length=3 * DESCRIPTION_MAX)] = ""
    description_en: Annotated[str, Field(max_length=3 * DESCRIPTION_MAX)] = ""
    areas: Annotated[str, Field(max_length=4000)] = ""
    hours: tuple[Annotated[str, Field(max_length=20)], ...] = ()
    languages: tuple[Annotated[str, Field(max_length=20)], ...] = ()
    phone: Annotated[str, Field(max_length=100)] = ""
    email: Annotated[str, Field(max_length=300)] = ""
    web: Annotated[str, Field(max_length=300)] = ""
    takes_new: Literal["yes", "no"] | None = None
    do: Literal["look", "keep"] = "keep"


@dataclass(frozen=True, slots=True)
class _Shown:
    """What the form's fields begin with."""

    programme: str
    kept: KeptProfiles
    programmes: Mapping[str, Mapping[str, str]]

    @property
    def profile(self) -> Profile:
        return self.kept.profiles.get(self.programme, NOTHING_TOLD)


async def show_profile(call: PageCall) -> PageReply:
    """What the directory tells of one's own company, in general or of one service."""
    return await _show(call, None)


async def set_profile(call: PageCall) -> PageReply:
    """Look at what is filled in, or keep it: then it shows at once."""
    form = call.form_as(ProfileForm)
    try:
        wanted = _profile(call, form)
        if form.do == "look":
            return await _show(call, check_profile(wanted))
        async with transaction(call.resources.pool) as conn:
            await operations.set_profile(
                conn,
                provider_id=call.visitor.owner_id,
                programme=form.programme,
                profile=wanted,
                actor=call.visitor.actor,
            )
    except ProfileUnfit as error:
        field = str(error.details["field"])
        reason = call.gettext(RULES.get(field, TEXT_RULE))
        raise InvalidRequest(fields=[{"field": field, "reason": reason}]) from None
    there = f"{PATH}?programme={form.programme}" if form.programme else PATH
    return await redirect(call, there, note=call.gettext("Kept. Families see it from now on."))


async def show_again(call: PageCall) -> PageReply:
    """The form as it was filled in, with what is wrong in a person's words."""
    if call.errors:
        call = replace(
            call,
            problem=Problem(
                call.gettext("Something is missing, or is not possible."), call.gettext("Correct what is marked below.")
            ),
        )
    return await _show(call, None)


async def _show(call: PageCall, preview: Profile | None) -> PageReply:
    async with transaction(call.resources.pool) as conn:
        shown = await _read(call, conn)
    names = {each: name.get(call.language, name["fi"]) for each, name in shown.programmes.items()}
    general = shown.kept.profiles[GENERAL]
    return await render(
        call,
        "directory/profile.html",
        kept=shown.kept,
        profile=shown.profile,
        programme=shown.programme,
        programmes=names,
        general=general,
        preview=preview and _over(general if shown.programme else NOTHING_TOLD, preview),
        say=Words(call),
        hours=HOURS,
        served=LANGUAGES,
        page_languages=PAGE_LANGUAGES,
        description_max=DESCRIPTION_MAX,
    )


async def _read(call: PageCall, conn: Connection) -> _Shown:
    provider_id = call.visitor.owner_id
    kept = await operations.profiles_of(conn, provider_id=provider_id)
    programmes = await operations.approved_programmes(conn, provider_id=provider_id)
    asked = call.value("programme") if call.form else call.query.get("programme", GENERAL)
    return _Shown(asked if asked in programmes else GENERAL, kept, programmes)


def _profile(call: PageCall, form: ProfileForm) -> Profile:
    descriptions = {each: getattr(form, f"description_{each}") for each in DESCRIPTION_LANGUAGES}
    areas = tuple(part for each in form.areas.replace("\n", ",").split(",") if (part := " ".join(each.split())))
    return Profile(
        descriptions=descriptions,
        areas=areas or None,
        hours={kind: _hours(call, kind) for kind in form.hours} or None,
        languages=form.languages or None,
        phone=form.phone or None,
        email=form.email or None,
        web=form.web or None,
        takes_new=None if form.takes_new is None else form.takes_new == "yes",
    )


def _hours(call: PageCall, kind: str) -> str:
    """From two fields of one kind of day; both empty: at no told hours."""
    begins, ends = (_clock(call.value(f"{kind}_{end}", limit=10)) for end in ("from", "to"))
    return f"{begins}-{ends}" if begins or ends else ""


def _clock(text: str) -> str:
    """8 · 8.30 · 08:30 as 08:30; anything else as it is, to be refused."""
    hours, _, minutes = text.replace(".", ":").partition(":")
    return f"{hours:0>2}:{minutes:0<2}" if text else ""


def _over(general: Profile, own: Profile) -> Profile:
    """As the directory shows it: what a programme says nothing of is as in general."""
    return Profile(
        descriptions={**general.descriptions, **own.descriptions},
        areas=own.areas or general.areas,
        hours=own.hours or general.hours,
        languages=own.languages or general.languages,
        phone=own.phone or general.phone,
        email=own.email or general.email,
        web=own.web or general.web,
        takes_new=general.takes_new if own.takes_new is None else own.takes_new,
    )


PAGES: tuple[PageRoute, ...] = (
    PageRoute("GET", PATH, show_profile, roles=OFFICE_ROLES, summary="What the directory tells", nav=N_("Directory")),
    PageRoute(
        "POST", PATH, set_profile, roles=OFFICE_ROLES, summary="Change what the directory tells", form=show_again
    ),
)
