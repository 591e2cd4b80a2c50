"""What a handler gets and gives: Call, Reply, the Route they stand under, and the base of all JSON models."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol, Self, TypeVar
from uuid import UUID

from aiohttp import web
from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

from service.crypto import Keys
from service.db import Pool
from service.errors import NotFound, SeteliError
from service.idempotency import Claim, make_claim
from service.identity_codes import refuse_identity_code
from service.queue import Wakeups
from service.settings import Settings


@dataclass(frozen=True)
class Caller:
    """Whose key it is, and what it may do."""

    key_id: UUID
    owner: Literal["organiser", "provider", "support"]
    owner_id: UUID
    permissions: frozenset[str]

    @property
    def actor(self) -> str:
        """As the audit log writes it."""
        return f"key:{self.key_id}"


class EdgeResources(Protocol):
    """What the edge needs of the process; `service.resources.Resources` has it."""

    @property
    def settings(self) -> Settings: ...
    @property
    def pool(self) -> Pool: ...
    @property
    def keys(self) -> Keys: ...
    @property
    def wakeups(self) -> Wakeups: ...
    async def authenticate(self, key: str) -> Caller | None: ...


class RequestModel(BaseModel):
    """What comes in: nothing unknown, nothing converted, nothing that PostgreSQL could not store or we may not."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, str_strip_whitespace=True)

    @model_validator(mode="after")
    def _refuse_what_may_not_be_stored(self) -> Self:
        _refuse_nul_in(self)
        for name, value in self.__dict__.items():
            if isinstance(value, str):
                refuse_identity_code(name, value)
        return self


class QueryModel(BaseModel):
    """The part after the question mark: everything is text there, so numbers and dates are read from it."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    @model_validator(mode="after")
    def _refuse_nul(self) -> Self:
        _refuse_nul_in(self)
        return self


def _refuse_nul_in(model: BaseModel) -> None:
    for name, value in model.__dict__.items():
        if isinstance(value, str) and "\0" in value:
            raise PydanticCustomError("nul", "contains a NUL byte", {"field": name})


class AnswerModel(BaseModel):
    model_config = ConfigDict(frozen=True)


class InvalidField(AnswerModel):
    field: str
    reason: str


class ProblemModel(AnswerModel):
    """An error (RFC 9457). `code` is stable; `detail` and `next_step` are for people, in the caller's language."""

    model_config = ConfigDict(frozen=True, extra="allow")

    type: str
    title: str
    status: int
    code: str
    detail: str
    next_step: str
    fields: list[InvalidField] | None = None


Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Call:
    """One request, read and checked."""

    resources: EdgeResources
    language: str
    raw: web.Request
    route: Route
    body: BaseModel | None = None
    query: BaseModel | None = None
    idempotency_key: str | None = None
    known_caller: Caller | None = None

    @property
    def caller(self) -> Caller:
        """Who calls; only on routes with a permission."""
        assert self.known_caller is not None, "a public route has no caller"
        return self.known_caller

    def body_as(self, model: type[Model]) -> Model:
        assert isinstance(self.body, model)
        return self.body

    def query_as(self, model: type[Model]) -> Model:
        assert isinstance(self.query, model)
        return self.query

    def path_id(self, name: str, missing: type[NotFound]) -> UUID:
        """The id in the path; what is no id at all is answered like an id that nobody has."""
        try:
            return UUID(self.raw.match_info[name])
        except ValueError:
            raise missing from None

    def claim(self) -> Claim | None:
        """The caller's claim to have this done once; None without an Idempotency-Key."""
        if self.idempotency_key is None:
            return None
        return make_claim(
            self.resources.keys.index,
            owner_id=self.caller.owner_id,
            key=self.idempotency_key,
            method=self.raw.method,
            path=self.raw.path,
            # As it was asked: a field that comes later makes no other request of an old one, and a null that takes
            # something away is another request than leaving it out.
            body=self.body.model_dump_json(exclude_unset=True) if self.body is not None else "",
            language=self.language,
        )


@dataclass(frozen=True)
class Reply:
    status: int = 200
    body: BaseModel | bytes | None = None
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Stream:
    """A reply too long to be made at once: the chunks are asked for as the caller takes them.

    What fails before the first chunk is answered like any error. After it the headers are out, so the connection is cut
    without the end of the transfer: a caller sees that it has not got everything.
    """

    chunks: AsyncGenerator[bytes, None]
    content_type: str
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[Call], Awaitable[Reply | Stream]]


@dataclass(frozen=True)
class Route:
    """One line of the table of routes. `permission` None only for what `app.PUBLIC` lists."""

    method: Literal["GET", "POST"]
    path: str
    handler: Handler
    permission: str | None
    summary: str
    body: type[RequestModel] | None = None
    query: type[QueryModel] | None = None
    answer: type[AnswerModel] | None = None
    status: int = 200
    errors: tuple[type[SeteliError], ...] = ()
    idempotency: Literal["none", "optional", "required"] = "none"
    streams: str | None = None  # in place of `answer`: the type of a Stream
    documented: bool = True
