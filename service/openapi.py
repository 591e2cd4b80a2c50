"""The OpenAPI 3.1 document, made from the table of routes and the models that parse the requests.

Nothing is described by hand, so nothing can be described wrongly: the models are the parsers, the errors are the
classes that the handlers raise.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from service.errors import DatabaseUnavailable, IdempotencyKeyReused, InvalidRequest, RequestInFlight, SeteliError
from service.web import EDGE_ERRORS, ProblemModel, Route, status_of
from service.web.errors import (
    BrokenHttp,
    Forbidden,
    IdempotencyKeyMissing,
    InternalError,
    SealKeyMissing,
    Unauthenticated,
)

Json = dict[str, Any]
_REF = "#/components/schemas/{model}"


def openapi_document(routes: Iterable[Route], *, version: str, server: str) -> Json:
    """The document for these routes; undocumented ones (health, pages, hooks) are left out."""
    listed = [route for route in routes if route.documented]
    models: list[tuple[type[BaseModel], Literal["validation", "serialization"]]] = [(ProblemModel, "serialization")]
    for route in listed:
        models += [(model, "validation") for model in (route.body, route.query) if model is not None]
        models += [(route.answer, "serialization")] if route.answer is not None else []
    references, definitions = models_json_schema(models, ref_template=_REF)
    schemas = definitions.get("$defs", {})
    paths: defaultdict[str, Json] = defaultdict(dict)
    for route in listed:
        paths[route.path][route.method.lower()] = _operation(route, references, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Seteli",
            "version": version,
            "description": "Approved decisions become mobile vouchers; providers charge them with one short request.",
        },
        "servers": [{"url": server}],
        "security": [{"key": []}],
        "paths": dict(paths),
        "components": {
            "schemas": schemas,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "bearerFormat": "stl_live_…"}},
        },
    }


def _operation(route: Route, references: Any, schemas: Json) -> Json:
    operation: Json = {
        "operationId": route.handler.__name__,
        "summary": route.summary,
        "description": (route.handler.__doc__ or "").strip(),
        "tags": [route.path.split("/")[2].partition(".")[0]],
        "parameters": [*_path_parameters(route), *_header_parameters(route), *_query_parameters(route, schemas)],
        "responses": _responses(route, references),
    }
    if route.permission is None:
        operation["security"] = []  # anybody may ask
    else:
        operation["description"] += f"\n\nPermission: `{route.permission}`."
    if route.body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": references[route.body, "validation"]}},
        }
    return operation


def _path_parameters(route: Route) -> list[Json]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "format": "uuid"}}
        for name in re.findall(r"{(\w+)}", route.path)
    ]


def _header_parameters(route: Route) -> list[Json]:
    parameters: list[Json] = [
        {
            "name": "Accept-Language",
            "in": "header",
            "required": False,
            "description": "The language of the sentences in errors: fi, sv or en.",
            "schema": {"type": "string"},
        }
    ]
    if route.idempotency != "none":
        parameters.append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": route.idempotency == "required",
                "description": "A new one with each new request; the same one when a request is repeated.",
                "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]([ -~]*[!-~])?$"},
            }
        )
    return parameters


def _query_parameters(route: Route, schemas: Json) -> list[Json]:
    if route.query is None:
        return []
    schema = schemas[route.query.__name__]
    required = schema.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in required, "schema": shape}
        for name, shape in schema["properties"].items()
    ]


def _responses(route: Route, references: Any) -> Json:
    success: Json = {"description": "Done"}
    if route.answer is not None:
        success["description"] = (route.answer.__doc__ or "Done").strip().partition("\n")[0]
        success["content"] = {"application/json": {"schema": references[route.answer, "serialization"]}}
    elif route.streams is not None:
        success["content"] = {route.streams: {"schema": {"type": "string"}}}
    responses: Json = {str(route.status): success}
    by_status: defaultdict[int, list[type[SeteliError]]] = defaultdict(list)
    for error in dict.fromkeys(_errors(route)):
        by_status[status_of(error)].append(error)
    for status, errors in sorted(by_status.items()):
        told = "\n".join(f"`{error.code}`: {(error.__doc__ or '').strip()}" for error in errors)
        responses[str(status)] = {
            "description": told,
            "content": {"application/problem+json": {"schema": references[ProblemModel, "serialization"]}},
        }
    return responses


def _errors(route: Route) -> Iterable[type[SeteliError]]:
    yield BrokenHttp
    if route.permission is not None:
        yield from (Unauthenticated, Forbidden)
    if route.body is not None:
        yield from EDGE_ERRORS
    if route.body is not None or route.query is not None:
        yield InvalidRequest
    if route.idempotency != "none":
        yield from (IdempotencyKeyMissing, IdempotencyKeyReused)
    if route.permission is not None and route.method == "POST":
        yield RequestInFlight
    yield from route.errors
    yield from (InternalError, SealKeyMissing, DatabaseUnavailable)
