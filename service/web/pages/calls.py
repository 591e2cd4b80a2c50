"""What a page's handler gets and gives: PageCall, PageReply, the PageRoute they stand under, and who looks."""

from __future__ import annotations

import secrets
import unicodedata
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, Protocol, Self, TypeVar
from uuid import UUID

from aiohttp import web
from aiohttp.web_request import FileField
from multidict import MultiDict, MultiDictProxy
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from service.errors import NotFound, SeteliError
from service.identity_codes import PersonalIdentityCode, refuse_identity_code
from service.problems import Problem, reword
from service.web.calls import EdgeResources, Reply, Stream
from service.web.edge import MAX_BODY_BYTES, READ_TIMEOUT_S, invalid_request
from service.web.pages.clients import browser_family, client_prefix
from service.web.pages.csrf import csrf_token
from service.web.pages.words import translations

NoteKind = Literal["done", "warning"]
FIELD_MAX = 4000  # characters of one field, unless its page asks for more


@dataclass(frozen=True, slots=True)
class Note:
    """A sentence for the next page, kept with the session. Never holds a code, a contact or a key."""

    kind: NoteKind
    text: str


@dataclass(frozen=True, slots=True)
class Visitor:
    """Whoever is signed in, with both factors."""

    person_id: UUID
    session_id: UUID
    name: str
    role: str
    owner: Literal["provider", "organiser"]
    owner_id: UUID
    owner_name: str
    language: str
    permissions: frozenset[str]
    has_notes: bool = False

    @property
    def actor(self) -> str:
        """As the audit log writes it."""
        return f"person:{self.person_id}"


class PageResources(EdgeResources, Protocol):
    """What pages need of the process; `service.resources.Resources` has it."""

    async def visitor(self, session_token: str) -> Visitor | None: ...
    async def leave_note(self, session_id: UUID, note: Note) -> None: ...
    async def take_notes(self, session_id: UUID) -> Sequence[Note]: ...
    async def choose_language(self, person_id: UUID, language: str) -> None: ...
    async def timed_out(self, session_token: str) -> UUID | None: ...


class FormModel(BaseModel):
    """A filled-in form: everything is text, and what the page does not ask for is left out.

    An empty field is as if it were not there, so `| None = None` is an optional one.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, str_strip_whitespace=True)

    @model_validator(mode="after")
    def _refuse_what_may_not_be_stored(self) -> Self:
        for name, value in self.__dict__.items():
            if isinstance(value, str):
                refuse_identity_code(name, value)
        return self


FormData = MultiDictProxy[str | bytearray | bytes | FileField]


def no_form() -> FormData:
    return MultiDictProxy(MultiDict())


Model = TypeVar("Model", bound=FormModel)


class SessionToken:
    """The cookie's value. One is made only when a form is shown to somebody who has none: pages set no other."""

    def __init__(self, value: str | None) -> None:
        self.value = value
        self.is_new = False

    def ensure(self) -> str:
        if self.value is None:
            self.value, self.is_new = secrets.token_urlsafe(32), True
        return self.value


@dataclass(frozen=True)
class PageCall:
    """One request for a page, read and checked."""

    resources: PageResources
    route: PageRoute
    raw: web.Request
    language: str
    token: SessionToken
    nonce: str
    known_visitor: Visitor | None = None
    form: FormData = field(default_factory=no_form)
    problem: Problem | None = None
    """Why the form that is shown again was refused."""
    errors: Mapping[str, str] = field(default_factory=dict)
    """The same by field, for those that are wrong."""

    @property
    def visitor(self) -> Visitor:
        """Who looks; only on pages with roles."""
        assert self.known_visitor is not None, "a public page has no visitor"
        return self.known_visitor

    @property
    def csrf(self) -> str:
        """What every form carries in its field `csrf`, bound to the session's cookie."""
        return csrf_token(self.resources.keys.index, self.token.ensure())

    @property
    def session_token(self) -> str | None:
        """The session's cookie, whoever it belongs to. For `service.people`; never shown, stored or logged."""
        return self.token.value

    @cached_property
    def query(self) -> Mapping[str, str]:
        """The part after the question mark, without what could not be stored."""
        return {name: clean(value) for name, value in self.raw.query.items()}

    def value(self, name: str, default: str = "", *, limit: int = FIELD_MAX) -> str:
        """What was filled in, trimmed and cut to `limit` characters; empty when the form had no such field."""
        value = self.form.get(name, default)
        return clean(value)[:limit] if isinstance(value, str) else default

    def values(self, name: str) -> list[str]:
        """All that was ticked or filled in under one name."""
        return [clean(value) for value in self.form.getall(name, []) if isinstance(value, str)]

    def secret(self, name: str) -> str:
        """What was filled in exactly as it was typed: a password. Empty when the form had no such field."""
        value = self.form.get(name, "")
        return value[:FIELD_MAX] if isinstance(value, str) else ""

    def file(self, name: str) -> bytes | None:
        """What was uploaded, or None. In memory, no larger than the route's `max_bytes`; to be asked for once."""
        value = self.form.get(name)
        if not isinstance(value, FileField):
            return None
        with value.file as content:
            return content.read()

    def file_name(self, name: str) -> str:
        """What the browser calls the file that was uploaded; empty without one. It may name a family."""
        value = self.form.get(name)
        return clean(value.filename)[:FIELD_MAX] if isinstance(value, FileField) else ""

    def form_as(self, model: type[Model]) -> Model:
        """The form as a checked model. Raises InvalidRequest, which names the wrong fields (see `errors`)."""
        given = {name: value for name in self.form if (value := self.value(name))}
        many = {name: self.values(name) for name, spec in model.model_fields.items() if _is_list(spec.annotation)}
        try:
            return model.model_validate({**given, **many})
        except ValidationError as error:
            raise invalid_request(error, self.language) from None

    def path_id(self, name: str, missing: type[NotFound]) -> UUID:
        """The id in the path; what is no id at all is answered like an id that nobody has."""
        try:
            return UUID(self.raw.match_info[name])
        except ValueError:
            raise missing from None

    def gettext(self, text: str, **values: object) -> str:
        """The text in the visitor's language, with `%(name)s` filled in."""
        found = translations(self.language).gettext(text)
        return found % values if values else found

    @property
    def client_prefix(self) -> str:
        """The network that the request came from, as far as our own proxies tell: for counting, never for the log."""
        return client_prefix(self.raw, trusted_proxies=self.resources.settings.trusted_proxies)

    @property
    def browser(self) -> str:
        """The family of the browser, for a person to know their devices by: `Firefox, Android`."""
        return browser_family(self.raw.headers.get("User-Agent", ""))

    def address(self, path: str) -> str:
        """A path of ours that keeps a language chosen on this page by someone who is not signed in."""
        chosen = self.raw.query.get("lang")
        if self.known_visitor is not None or chosen != self.language:
            return path
        return f"{path}{'&' if '?' in path else '?'}lang={chosen}"


def clean(text: str) -> str:
    """Trimmed, composed (NFC), and without control characters other than line ends and tabs."""
    kept = "".join(sign for sign in text if sign in "\n\t" or unicodedata.category(sign) not in ("Cc", "Cs"))
    return unicodedata.normalize("NFC", kept).strip()


def _is_list(annotation: object) -> bool:
    return getattr(annotation, "__origin__", None) in (list, tuple, set, frozenset)


@dataclass(frozen=True)
class PageReply(Reply):
    """`session` is the cookie's new value; `ends_session` takes it away. So is `kept_form` that of the module `kept`;
    empty, it takes that one away."""

    content_type: str = "text/html; charset=utf-8"
    session: str | None = field(default=None, repr=False)
    ends_session: bool = False
    kept_form: str | None = field(default=None, repr=False)


PageHandler = Callable[[PageCall], Awaitable[Reply | Stream]]


@dataclass(frozen=True)
class PageRoute:
    """One line of the table of pages. `roles` None only for what `app.PUBLIC_PAGES` lists."""

    method: Literal["GET", "POST"]
    path: str
    handler: PageHandler
    roles: frozenset[str] | None
    summary: str
    nav: str | None = None
    """The word in the navigation, marked with N_, for pages that stand in it; the order is the table's."""
    form: PageHandler | None = None
    """The page that shows what was wrong with this POST, with what was filled in: usually the GET of the same path."""
    again: PageHandler | None = None
    """Shows once more what was filled in, and does nothing: on a page with a long form, another language keeps it all.
    What was sent then stands in the page, so never for a form with a secret. It comes back after a session that was
    over, too."""
    filled: Callable[[PageCall], str | None] | None = None
    """The address that shows this POST's form as it was filled in: only for what stands in addresses anyway."""
    max_bytes: int = MAX_BODY_BYTES
    """Of the form; more than usual is read only from somebody who may use the page."""
    read_timeout_s: float = READ_TIMEOUT_S
    by_link: bool = False
    """The address itself is the secret that opens the page: no session is looked for and no cookie set, and a form
    carries no token, for no other site knows where to send one. Nothing there tells whose service this is."""
    script_sources: tuple[str, ...] = ()
    """More for the page's script-src, e.g. 'wasm-unsafe-eval' for a scanner."""
    for_everybody: bool = False
    """Shown alike to all: no session is looked up, no cookie set, and caches may keep it for a minute. Has no form
    but those that search."""


def errors_by_field(error: SeteliError, language: str) -> Mapping[str, str]:
    """What is wrong with each field, of an InvalidRequest or a PersonalIdentityCode; empty for other errors."""
    if isinstance(error, PersonalIdentityCode):
        reason = translations(language).gettext("This is a personal identity code, which is never stored.")
        return {str(error.details["field"]): reason}
    fields = error.details.get("fields")
    if not isinstance(fields, list):
        return {}
    return {one["field"]: reword(one["reason"], language) for one in fields if isinstance(one, dict)}
