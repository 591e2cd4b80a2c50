"""The API's description as a stranger's program reads it: whatever is sent, the answer is one that is described."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from schemathesis.checks import CheckFunction
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from service.db import Pool
from service.sandbox.sample import COUNTY, FAMILY_SERVICES
from service.vouchers.decisions import helsinki_day
from tests.installations import Installation, install, settings_for

PROVIDER = FAMILY_SERVICES.business_id
CHECKS: list[CheckFunction] = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
VOUCHERS = 12
ANSWER_TIMEOUT_S = 120  # how soon an answer comes is not asked here
MOST_USED = ("/v1/decisions", "/v1/validate", "/v1/debits", "/v1/holds")


@dataclass
class Known:
    """Real ids and codes, so that requests get past the door."""

    codes: list[str] = field(default_factory=list)
    ids: dict[str, list[str]] = field(default_factory=dict)


@pytest.fixture
async def here(pool: Pool, database_url: str, redis_url: str) -> AsyncIterator[Installation]:
    async with install(settings_for(database_url, redis_url)) as installation:
        yield installation


async def live_in(here: Installation) -> Known:
    """Vouchers, debits and holds, as they are when work goes on."""
    known = Known(ids={name: [] for name in ("voucher_id", "debit_id", "hold_id")})
    for number in range(VOUCHERS):
        made = await here.decide(granted=6000, weekly=None)
        code = await here.code_of(made["voucher_id"])
        if number % 3:
            known.codes.append(code)
        else:  # what is done to these, suspending and cancelling, is not done to those that are charged
            known.ids["voucher_id"].append(made["voucher_id"])
        for path, name in (("/v1/debits", "debit_id"), ("/v1/holds", "hold_id")):
            answer = await here.call(
                PROVIDER, "POST", path, {"code": code} | hour_of_today(number), key=f"{path}{number}"
            )
            if answer.status == 201:
                known.ids[name].append((await answer.json())[name])
    return known


def hour_of_today(hour: int) -> dict[str, str]:
    """An hour of today, so that its tariff is known whatever the weekday."""
    day = helsinki_day(datetime.now(UTC))
    return {"starts_at": f"{day}T{hour:02}:00", "ends_at": f"{day}T{hour:02}:45"}


async def forgive(pool: Pool) -> None:
    """Codes are guessed all the time here; without this every key would be blocked after the fifth."""
    while True:
        await pool.execute("DELETE FROM credential_blocks")
        await pool.execute("DELETE FROM code_misses")
        await asyncio.sleep(0.05)


class Stranger:
    """Sends what the description allows, and some of what it does not, and compares the answers with it."""

    def __init__(self, document: dict[str, Any], base_url: str, keys: dict[str, str], known: Known) -> None:
        self.document, self.base_url, self.keys, self.known = document, base_url, keys, known
        self.session = requests.Session()
        self.statuses: Counter[int] = Counter()
        self.answered: Counter[str] = Counter()
        self.faults: dict[str, str] = {}

    def ask_everything(self, examples: int, start: int) -> None:
        with contextlib.closing(self.session):
            schema = schemathesis.openapi.from_dict(self.document)
            for found in schema.get_all_operations():
                operation = found.ok()
                for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):
                    with contextlib.suppress(schemathesis.errors.SchemathesisError):  # nothing that could be wrong
                        self.ask_one(operation, mode, examples, start)

    def ask_one(self, operation: Any, mode: schemathesis.GenerationMode, examples: int, start: int) -> None:
        profile = settings(
            max_examples=examples,
            deadline=None,
            database=None,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        )

        @seed(start)
        @profile
        @given(case=operation.as_strategy(generation_mode=mode), luck=st.integers(0, 2**32))
        def ask(case: schemathesis.Case, luck: int) -> None:
            self.send(case, random.Random(luck))

        try:
            ask()
        except (FailureGroup, AssertionError) as fault:
            self.faults[f"{operation.label} {mode.name}"] = "\n".join(
                str(one) for one in getattr(fault, "exceptions", [fault])
            )

    def send(self, case: schemathesis.Case, chance: random.Random) -> None:
        self.make_plausible(case, chance)
        owner = PROVIDER if chance.random() < 0.5 else COUNTY
        if chance.random() < 0.9:
            route = case.operation.definition.raw["description"]
            for_providers = any(word in route for word in ("debits:", "vouchers:validate", "workers:"))
            owner = PROVIDER if for_providers else COUNTY
        if chance.random() < 0.97:  # or whatever was made up as a key
            case.headers["Authorization"] = f"Bearer {self.keys[owner]}"
        answer = case.call(base_url=self.base_url, session=self.session, timeout=ANSWER_TIMEOUT_S)
        self.statuses[answer.status_code] += 1
        self.answered[f"{case.method} {case.path} {answer.status_code}"] += 1
        case.validate_response(answer, checks=CHECKS)

    def make_plausible(self, case: schemathesis.Case, chance: random.Random) -> None:
        for name in case.path_parameters or {}:
            if self.known.ids.get(name) and chance.random() < 0.8:
                case.path_parameters[name] = chance.choice(self.known.ids[name])
        headers: Any = case.headers if case.method == "POST" else None
        if headers is not None and "Idempotency-Key" in headers and chance.random() < 0.8:
            headers["Idempotency-Key"] = uuid4().hex
        if isinstance(case.body, dict):
            self.make_body_plausible(case.body, chance)

    def make_body_plausible(self, body: dict[str, Any], chance: random.Random) -> None:
        if "code" in body and chance.random() < 0.8:
            body["code"] = chance.choice(self.known.codes)
            if chance.random() < 0.5:  # a visit that can be charged
                for odd in ("amount", "service_date", "task_type", "visit_type"):
                    body.pop(odd, None)
                body.update(hour_of_today(chance.randrange(23)))
        elif "starts_at" in body and chance.random() < 0.5:
            body.update(hour_of_today(chance.randrange(23)))
        if "programme" in body and chance.random() < 0.8:
            body["programme"] = "kotipalvelu"


async def visit(
    here: Installation, *, examples: int, start: int, change: Callable[[dict[str, Any]], object] = lambda document: None
) -> Stranger:
    known = await live_in(here)
    document = await (await here.client.get("/openapi.json")).json()
    change(document)
    stranger = Stranger(document, str(here.client.make_url("")).rstrip("/"), here.keys, known)
    support = asyncio.create_task(forgive(here.resources.pool))
    try:
        await asyncio.to_thread(stranger.ask_everything, examples, start)
    finally:
        support.cancel()
    return stranger


def told(faults: dict[str, str]) -> Iterator[str]:
    for where, what in faults.items():
        yield f"{where}\n{what}"


async def test_answers_to_whoever_decides_and_charges_are_described(here: Installation) -> None:
    def leave_most_used(document: dict[str, Any]) -> None:
        document["paths"] = {path: document["paths"][path] for path in MOST_USED}

    stranger = await visit(here, examples=2, start=1, change=leave_most_used)
    assert stranger.faults == {}, "\n\n".join(told(stranger.faults))
    assert stranger.statuses[200] + stranger.statuses[201] > 4


@pytest.mark.slow
async def test_every_answer_is_one_that_is_described(here: Installation) -> None:
    stranger = await visit(here, examples=2, start=1)
    assert stranger.faults == {}, "\n\n".join(told(stranger.faults))
    assert stranger.statuses[200] + stranger.statuses[201] > 20


async def test_a_description_that_is_not_true_is_found_out(here: Installation) -> None:
    def lie(document: dict[str, Any]) -> None:
        answers = document["paths"]["/v1/holds"]["post"]["responses"]
        document["paths"] = {"/v1/holds": {"post": document["paths"]["/v1/holds"]["post"]}}
        answers["201"]["content"] = {"application/json": {"schema": {"type": "array"}}}
        del answers["404"]

    stranger = await visit(here, examples=40, start=3, change=lie)
    assert "array" in stranger.faults["POST /v1/holds POSITIVE"] or "404" in stranger.faults["POST /v1/holds POSITIVE"]


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(1800)
async def test_thousands_of_answers_are_described(here: Installation) -> None:
    stranger = await visit(here, examples=60, start=2)
    print(sorted(stranger.answered.items()))
    assert stranger.faults == {}, "\n\n".join(told(stranger.faults))
    made = {"POST /v1/debits 201", "POST /v1/holds 201"}
    assert made <= set(stranger.answered)
