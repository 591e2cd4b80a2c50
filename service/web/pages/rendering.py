"""Templates filled in, one jinja2 environment for each language; redirects, and the navigation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial

import aiohttp_jinja2
import jinja2
from aiohttp import web
from markupsafe import Markup

from service.web.pages.assets import asset_address
from service.web.pages.calls import Note, NoteKind, PageCall, PageReply
from service.web.pages.ways import FRONT, PAGES_KEY, PUBLIC_FRONT, home_address, in_language, way_back
from service.web.pages.words import (
    DIRECTIONS,
    PAGE_LANGUAGES,
    PAGES,
    show_amount,
    show_day,
    show_hours,
    show_money,
    show_number,
    show_time,
    translations,
)

ENVIRONMENTS = {language: web.AppKey(f"templates_{language}", jinja2.Environment) for language in PAGE_LANGUAGES}
FILTERS: Mapping[str, Callable[..., str]] = {
    "amount": show_amount,
    "money": show_money,
    "hours": show_hours,
    "day": show_day,
    "time": show_time,
    "number": show_number,
}


def set_up_templates(app: web.Application) -> None:
    """One environment for each language, on the application."""
    for language, key in ENVIRONMENTS.items():
        app[key] = _environment(language)


@cache  # an environment keeps what it has compiled: a second application in a process need not do it again
def _environment(language: str) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(PAGES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update(_filters(language))
    environment.policies["ext.i18n.trimmed"] = True
    environment.install_gettext_translations(translations(language), newstyle=True)  # type: ignore[attr-defined]
    environment.globals.update(
        asset=asset_address, language=language, direction=DIRECTIONS[language], languages=PAGE_LANGUAGES
    )
    return environment


def _filters(language: str) -> Mapping[str, Callable[..., str]]:
    inflected = {name: partial(show, language=language) for name, show in FILTERS.items()}
    return {**inflected, "attributes": _attributes}


def _attributes(named: Mapping[str, object]) -> Markup:
    """A macro's further arguments as HTML attributes: `aria_label` is aria-label, False and None are left out."""
    return Markup("").join(
        Markup(" {}").format(name.replace("_", "-"))
        if value is True
        else Markup(' {}="{}"').format(name.replace("_", "-"), value)
        for name, value in named.items()
        if value is not None and value is not False
    )


async def render(call: PageCall, template: str, *, status: int = 200, **values: object) -> PageReply:
    """A page from `templates/pages/<template>`, in the visitor's language, with the notes that wait for it.

    Every template has `call`, `visitor` (or None), `nonce`, `problem`, `errors`, `notes`, `nav`, `home`, `way_back`
    and `language`.
    """
    visitor = call.known_visitor
    notes = await call.resources.take_notes(visitor.session_id) if visitor and visitor.has_notes else ()
    context = {
        "call": call,
        "visitor": visitor,
        "nonce": call.nonce,
        "problem": call.problem,
        "errors": call.errors,
        "notes": notes,
        "nav": navigation(call),
        "way_back": way_back(call),
        "in_language": partial(in_language, call),
        "home": home_address(call, visitor.role) if visitor else PUBLIC_FRONT if call.route.for_everybody else FRONT,
        **values,
    }
    body = aiohttp_jinja2.render_string(template, call.raw, context, app_key=ENVIRONMENTS[call.language])
    return PageReply(status=status, body=body.encode(), headers={"Content-Language": call.language})


async def redirect(
    call: PageCall, path: str, *, note: str | None = None, kind: NoteKind = "done", session: str | None = None
) -> PageReply:
    """Go and GET this path of ours (303); `note` is shown there, to whoever is signed in.

    `session` is the new value of the cookie: pages of `service.people` alone give one.
    """
    if note is not None and call.known_visitor is not None:
        await call.resources.leave_note(call.known_visitor.session_id, Note(kind, note))
    return PageReply(status=303, headers={"Location": call.address(path)}, session=session)


@dataclass(frozen=True, slots=True)
class NavigationEntry:
    path: str
    label: str
    is_current: bool


def navigation(call: PageCall) -> list[NavigationEntry]:
    """What the visitor's role may go to, in the order of the table of pages."""
    visitor = call.known_visitor
    if visitor is None:
        return []
    here = call.raw.path + "/"
    entries = [
        (page.path, call.gettext(page.nav))
        for page in call.raw.app[PAGES_KEY]
        if page.nav is not None and page.roles is not None and visitor.role in page.roles
    ]
    # Of /provider and /provider/history, the longer one that leads here.
    current = max((path for path, _ in entries if here.startswith(path + "/")), key=len, default=None)
    return [NavigationEntry(path, label, path == current) for path, label in entries]
