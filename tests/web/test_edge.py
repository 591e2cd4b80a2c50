"""The edge alone: a few routes, no database."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import date
from types import SimpleNamespace
from typing import Annotated

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from pydantic import Field
from structlog.testing import capture_logs
from uuid_utils.compat import uuid7

from service import metrics
from service.crypto import KeyMissing, Keys
from service.errors import Conflict, DatabaseUnavailable, InvalidRequest, NotFound
from service.web import (
    MAX_BODY_BYTES,
    AnswerModel,
    Call,
    Caller,
    QueryModel,
    Reply,
    RequestModel,
    Route,
    add_routes,
    edge,
    problem_reply,
)
from tests.installations import Served


class Part(RequestModel):
    pages: int
    note: str | None = None


class Thing(RequestModel):
    amount: Annotated[int, Field(gt=0, le=10**9)]
    day: date | None = None
    note: str | None = None
    part: Part | None = None


class Page(QueryModel):
    limit: Annotated[int, Field(ge=1, le=10)] = 5


class Answer(AnswerModel):
    amount: int
    key: str | None = None


class Missing(NotFound):
    """x"""

    code = "route_not_found"


class Busy(Conflict):
    """x"""

    code = "request_in_flight"


async def post_thing(call: Call) -> Reply:
    return Reply(status=201, body=Answer(amount=call.body_as(Thing).amount, key=call.idempotency_key))


async def get_page(call: Call) -> Reply:
    return Reply(body=Answer(amount=call.query_as(Page).limit))


async def get_thing(call: Call) -> Reply:
    return Reply(body=Answer(amount=call.path_id("thing_id", Missing).int % 7))


async def fail(call: Call) -> Reply:
    raise {
        "sealed": KeyMissing("2"),
        "busy": Busy(),
        "down": DatabaseUnavailable(),
        "bug": ZeroDivisionError("secret 4827"),
    }[call.raw.match_info["how"]]


ROUTES = (
    Route("POST", "/things", post_thing, "things:write", "", body=Thing, answer=Answer, idempotency="required"),
    Route("POST", "/loose", post_thing, "things:write", "", body=Thing, answer=Answer, idempotency="optional"),
    Route("GET", "/things", get_page, "things:read", "", query=Page, answer=Answer),
    Route("GET", "/things/{thing_id}", get_thing, "things:read", "", answer=Answer),
    Route("GET", "/fail/{how}", fail, None, ""),
)
CALLER = Caller(uuid7(), "provider", uuid7(), frozenset({"things:write", "things:read"}))


class FakeResources(SimpleNamespace):
    async def authenticate(self, key: str) -> Caller | None:
        if key == "weak":
            return Caller(uuid7(), "provider", uuid7(), frozenset())
        return CALLER if key == "good" else None


Client = TestClient[web.Request, web.Application]


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    keys = Keys.from_keyrings(encryption=(("k", b"0" * 32),), index=(("k", b"1" * 32),))
    app = web.Application(middlewares=[edge], client_max_size=MAX_BODY_BYTES)
    add_routes(app, ROUTES, FakeResources(keys=keys))
    async with TestClient(Served(app)) as running:
        yield running


GOOD = {"Authorization": "Bearer good", "Idempotency-Key": "k1"}


async def test_a_good_request_is_answered(client: Client) -> None:
    answer = await client.post("/things", json={"amount": 5, "day": "2026-11-21"}, headers=GOOD)
    assert answer.status == 201
    assert await answer.json() == {"amount": 5, "key": "k1"}
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /things?note=" + b"4" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /things HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer 4827\x000315\r\n\r\n",
        b"GET /things HTTP/1.1\r\nHost: x\r\nContent-Length: 4827\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"4827 0315 9268\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
    ],
    ids=["a long address", "a broken header", "two lengths", "no HTTP", "TLS"],
)
async def test_what_is_no_http_is_refused_as_all_else_and_never_quoted(client: Client, sent: bytes) -> None:
    assert client.server is not None
    reader, writer = await asyncio.open_connection(client.server.host, client.server.port)
    writer.write(sent)
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    assert b" 400 " in head.partition(b"\r\n")[0]
    assert b"Content-Type: application/problem+json" in head
    assert b"Cache-Control: no-store" in head
    assert json.loads(body)["code"] == "broken_http"
    assert b"4827" not in head + body
    assert (await client.get("/health")).status in (200, 404), "it serves on"


async def test_what_a_field_must_be_is_told_in_the_callers_language(client: Client) -> None:
    told = []
    for language in ("fi", "sv", "en"):
        headers = GOOD | {"Accept-Language": language}
        answer = await client.post("/things", json={"amount": 0, "day": "x"}, headers=headers)
        told.append([fault["reason"] for fault in (await answer.json())["fields"]])
    assert told == [
        ["suurempi kuin 0", "päivä muodossa 2026-11-21"],
        ["större än 0", "en dag i formen 2026-11-21"],
        ["greater than 0", "a day, as 2026-11-21"],
    ]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "amount"),
        ({"amount": 0}, "amount"),
        ({"amount": -1}, "amount"),
        ({"amount": 10**30}, "amount"),
        ({"amount": 1.5}, "amount"),
        ({"amount": "5"}, "amount"),
        ({"amount": True}, "amount"),
        ({"amount": None}, "amount"),
        ({"amount": 5, "extra": 1}, "extra"),
        ({"amount": 5, "day": "2026-13-01"}, "day"),
        ({"amount": 5, "note": "a\0b"}, "note"),
        ([], "body"),
        ("text", "body"),
    ],
)
async def test_a_wrong_field_is_named_and_never_quoted(client: Client, body: object, field: str) -> None:
    answer = await client.post("/things", json=body, headers=GOOD)
    problem = await answer.json()
    assert (answer.status, problem["code"]) == (400, "invalid_request")
    assert answer.content_type == "application/problem+json"
    assert field in [fault["field"] for fault in problem["fields"]]


@pytest.mark.parametrize("body", [b"", b"{", b'{"amount": 5', b"\xff\xfe", b'{"amount": 5}}'])
async def test_broken_json_is_said_to_be_broken(client: Client, body: bytes) -> None:
    answer = await client.post("/things", data=body, headers=GOOD | {"Content-Type": "application/json"})
    assert (answer.status, (await answer.json())["code"]) == (400, "broken_json")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"amount": 15, "amount": 30}', "amount"),
        (b'{"amount": 15, "am\\u006funt": 15}', "amount"),
        (b'{"amount": 5, "part": {"pages": 1, "pages": 2}}', "pages"),
    ],
)
async def test_a_field_that_stands_twice_is_named_and_neither_value_is_taken(
    client: Client, body: bytes, field: str
) -> None:
    answer = await client.post("/things", data=body, headers=GOOD | {"Content-Type": "application/json"})
    problem = await answer.json()
    assert (answer.status, problem["code"]) == (400, "invalid_request")
    assert problem["fields"] == [{"field": field, "reason": "on annettu kahdesti"}]


async def test_the_same_name_in_two_objects_is_no_repetition(client: Client) -> None:
    body = {"amount": 5, "note": "x", "part": {"pages": 2, "note": "y"}}
    assert (await client.post("/things", json=body, headers=GOOD)).status == 201


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_body_that_is_not_in_the_encoding_it_claims_is_broken(client: Client, encoding: str) -> None:
    headers = GOOD | {"Content-Type": "application/json", "Content-Encoding": encoding}
    answer = await client.post("/things", data=b"xx", headers=headers, compress=False)
    assert (answer.status, (await answer.json())["code"]) == (400, "broken_json")


async def test_a_personal_identity_code_is_refused_in_any_text(client: Client) -> None:
    answer = await client.post("/things", json={"amount": 5, "note": "for 131052-308T"}, headers=GOOD)
    problem = await answer.json()
    assert (answer.status, problem["code"], problem["field"]) == (400, "personal_identity_code", "note")


async def test_another_content_type_is_refused(client: Client) -> None:
    answer = await client.post("/things", data={"amount": "5"}, headers=GOOD)
    assert (answer.status, (await answer.json())["code"]) == (415, "not_json")


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_that_is_too_large_is_refused_whether_or_not_it_says_its_length(
    client: Client, chunked: bool
) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b" " * MAX_BODY_BYTES

    data = chunks() if chunked else b" " * (MAX_BODY_BYTES + 1)
    answer = await client.post("/things", data=data, headers=GOOD | {"Content-Type": "application/json"})
    assert (answer.status, (await answer.json())["code"]) == (413, "body_too_large")


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer ", "Bearer bad", "Basic good", "good", "Bearer good extra"]
)
async def test_without_a_good_key_there_is_one_answer(client: Client, authorization: str | None) -> None:
    headers = {"Idempotency-Key": "k"} | ({} if authorization is None else {"Authorization": authorization})
    answer = await client.post("/things", json={"amount": 5}, headers=headers)
    assert (answer.status, (await answer.json())["code"]) == (401, "unauthenticated")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


async def test_a_key_without_the_permission_is_told_which_one_it_lacks(client: Client) -> None:
    answer = await client.post("/things", json={"amount": 5}, headers=GOOD | {"Authorization": "Bearer weak"})
    problem = await answer.json()
    assert (answer.status, problem["code"], problem["permission"]) == (403, "forbidden", "things:write")


@pytest.mark.parametrize("key", [None, "", " ", '""', "ä", "x" * 256, "tab\there"])
async def test_a_write_of_money_needs_a_usable_idempotency_key(client: Client, key: str | None) -> None:
    headers = {"Authorization": "Bearer good"} | ({} if key is None else {"Idempotency-Key": key})
    answer = await client.post("/things", json={"amount": 5}, headers=headers)
    assert (answer.status, (await answer.json())["code"]) == (400, "idempotency_key_missing")


async def test_a_quoted_key_is_the_same_key(client: Client) -> None:
    answer = await client.post("/things", json={"amount": 5}, headers=GOOD | {"Idempotency-Key": '"k1"'})
    assert (await answer.json())["key"] == "k1"


@pytest.mark.parametrize("path", ["/things", "/loose"])
async def test_two_keys_in_one_request_are_refused_and_neither_is_taken(client: Client, path: str) -> None:
    headers = [("Authorization", "Bearer good"), ("Idempotency-Key", "k1"), ("Idempotency-Key", "k2")]
    answer = await client.post(path, json={"amount": 5}, headers=headers)
    problem = await answer.json()
    assert (answer.status, problem["code"]) == (400, "invalid_request")
    assert problem["fields"] == [{"field": "Idempotency-Key", "reason": "on annettu kahdesti"}]


async def test_a_key_that_a_proxy_has_repeated_is_one_key(client: Client) -> None:
    headers = [("Authorization", "Bearer good"), ("Idempotency-Key", "k1"), ("Idempotency-Key", '"k1"')]
    answer = await client.post("/things", json={"amount": 5}, headers=headers)
    assert (answer.status, (await answer.json())["key"]) == (201, "k1")


async def test_an_optional_key_may_be_missing(client: Client) -> None:
    answer = await client.post("/loose", json={"amount": 5}, headers={"Authorization": "Bearer good"})
    assert (answer.status, (await answer.json())["key"]) == (201, None)


@pytest.mark.parametrize("query", ["limit=0", "limit=11", "limit=x", "other=1", "limit=%00"])
async def test_a_wrong_query_is_refused(client: Client, query: str) -> None:
    answer = await client.get(f"/things?{query}", headers=GOOD)
    assert (answer.status, (await answer.json())["code"]) == (400, "invalid_request")


async def test_a_parameter_that_stands_twice_is_named_and_neither_value_is_taken(client: Client) -> None:
    answer = await client.get("/things?limit=3&limit=4", headers=GOOD)
    assert (answer.status, (await answer.json())["fields"]) == (
        400,
        [{"field": "limit", "reason": "on annettu kahdesti"}],
    )


async def test_what_is_no_id_is_answered_like_an_id_that_nobody_has(client: Client) -> None:
    answer = await client.get("/things/not-an-id", headers=GOOD)
    assert answer.status == 404


async def test_an_unknown_address_and_a_wrong_method_are_problems_too(client: Client) -> None:
    nowhere, wrong = await client.get("/nowhere"), await client.delete("/things")
    assert (nowhere.status, (await nowhere.json())["code"]) == (404, "route_not_found")
    assert (wrong.status, (await wrong.json())["code"]) == (405, "method_not_allowed")
    assert wrong.headers["Allow"] == "GET, HEAD, POST"


async def test_a_database_that_is_down_is_503_and_says_when_to_come_back(client: Client) -> None:
    answer = await client.get("/fail/down")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "2")


async def test_a_fault_of_ours_is_500_and_tells_nothing_of_what_was_in_it(
    client: Client, capfd: pytest.CaptureFixture[str]
) -> None:
    answer = await client.get("/fail/bug")
    assert (answer.status, (await answer.json())["code"]) == (500, "internal_error")
    told = await answer.text() + "".join(capfd.readouterr())
    assert "4827" not in told


async def test_what_is_sealed_under_a_key_that_is_not_there_is_told_as_that_and_counted(client: Client) -> None:
    before = metrics.seal_keys_missing._value.get()
    with capture_logs() as logs:
        answer = await client.get("/fail/sealed")
    problem = await answer.json()
    assert (answer.status, problem["code"]) == (500, "seal_key_missing")
    assert "Idempotency-Key" not in problem["next_step"]
    assert metrics.seal_keys_missing._value.get() == before + 1
    assert [(line["event"], line["key_id"]) for line in logs] == [("seal_key_missing", "2")]


@pytest.mark.parametrize(
    ("header", "language"),
    [(None, "fi"), ("sv", "sv"), ("en-GB, fi;q=0.3", "en"), ("de, sv;q=0.5", "sv"), ("x;q=y,,;", "fi"), ("*", "fi")],
)
async def test_the_sentence_is_in_the_language_asked_for(client: Client, header: str | None, language: str) -> None:
    answer = await client.get("/fail/busy", headers={"Accept-Language": header} if header else {})
    assert answer.headers["Content-Language"] == language
    assert (await answer.json())["next_step"]


@pytest.mark.parametrize(
    ("language", "reason"), [("en", "a whole number"), ("fi", "kokonaisluku"), ("sv", "ett heltal")]
)
def test_what_our_own_checks_say_of_a_field_is_told_in_the_callers_language(language: str, reason: str) -> None:
    error = InvalidRequest(fields=[{"field": "granted", "reason": "a whole number"}])
    body = problem_reply(error, language).body
    assert isinstance(body, bytes)
    assert json.loads(body)["fields"] == [{"field": "granted", "reason": reason}]
