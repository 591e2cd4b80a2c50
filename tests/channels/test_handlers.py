from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client import REGISTRY
from pydantic import SecretStr
from twilio.request_validator import RequestValidator

from service.channels.gateway import attempt_address
from service.channels.handlers import ROUTES
from service.channels.operations import Answered, claim_due, receipt_group, record_answers
from service.db import Pool
from service.web import EdgeResources, add_routes, edge
from tests.channels.post_office import Office, Text

PUBLIC_URL = "https://seteli.example"
TOKEN = "sandbox-token"
Client = TestClient[web.Request, web.Application]


@pytest.fixture
def office(pool: Pool) -> Office:
    return Office(pool)


@pytest.fixture
async def client(pool: Pool) -> AsyncIterator[Client]:
    resources = SimpleNamespace(
        settings=SimpleNamespace(public_url=PUBLIC_URL, twilio_auth_token=SecretStr(TOKEN)),
        pool=pool,
        receipt_group=receipt_group(pool),
    )
    app = web.Application(middlewares=[edge])
    add_routes(app, ROUTES, cast(EdgeResources, cast(Any, resources)))
    async with TestClient(TestServer(app)) as running:
        yield running


@pytest.fixture
async def text(office: Office) -> Text:
    """A text that the gateway has accepted."""
    await office.queue()
    [sending] = await claim_due(office.delivery, limit=1)
    answer = await office.sms.send(sending.outgoing)
    await record_answers(office.delivery, [Answered(sending, answer)])
    return office.sms.texts[0]


def form_of(text: Text, status: str, **more: str) -> dict[str, str]:
    return {
        "MessageSid": text.reference,
        "SmsSid": text.reference,
        "MessageStatus": status,
        "AccountSid": "AC" + "0" * 32,
        "From": "",
        "ApiVersion": "2010-04-01",
        **more,
    }


async def post(
    client: Client, path: str, form: Mapping[str, str], *, signed_url: str | None = None, token: str = TOKEN
) -> int:
    signature = RequestValidator(token).compute_signature(signed_url or PUBLIC_URL + path, form)
    answer = await client.post(path, data=form, headers={"X-Twilio-Signature": signature})
    assert await answer.read() == b""
    return answer.status


def path_of(text: Text) -> str:
    return f"/hooks/twilio/status/{text.outgoing.attempt_address}"


async def state(office: Office) -> str:
    return str(await office.pool.fetchval("SELECT state FROM messages"))


def counted(effect: str, gateway: str = "twilio", status: str = "none", action: str = "none") -> float:
    labels = {"gateway": gateway, "status": status, "action": action, "effect": effect}
    return REGISTRY.get_sample_value("seteli_receipts_total", labels) or 0.0


async def test_a_signed_receipt_moves_its_message(client: Client, office: Office, text: Text) -> None:
    assert await post(client, path_of(text), form_of(text, "delivered")) == 204
    assert await state(office) == "delivered"


async def test_a_text_that_a_carrier_filtered_is_counted_as_such(client: Client, office: Office, text: Text) -> None:
    labels = {"gateway": office.sms.name, "status": "undelivered", "action": "filtered"}
    before = counted("moved", **labels)
    form = {**form_of(text, "undelivered"), "ErrorCode": "30007"}
    assert await post(client, path_of(text), form) == 204
    assert counted("moved", **labels) == before + 1


async def test_a_replayed_receipt_is_answered_alike_and_changes_nothing(
    client: Client, office: Office, text: Text
) -> None:
    for _ in range(3):
        assert await post(client, path_of(text), form_of(text, "sent")) == 204
    assert await state(office) == "sent"
    assert await office.pool.fetchval("SELECT count(*) FROM receipts") == 1


async def test_a_forged_receipt_is_refused_counted_and_changes_nothing(
    client: Client, office: Office, text: Text
) -> None:
    before = counted("forged")
    form, path = form_of(text, "delivered"), path_of(text)
    assert await post(client, path, form, token="guessed") == 403
    assert await post(client, path, form, signed_url="http://127.0.0.1" + path) == 403
    assert await post(client, path, form, signed_url=PUBLIC_URL + "/hooks/twilio/status/other") == 403
    assert (await client.post(path, data=form)).status == 403
    assert (await client.post(path, json=form)).status == 403
    signature = RequestValidator(TOKEN).compute_signature(PUBLIC_URL + path, form)
    changed = await client.post(
        path, data={**form, "MessageStatus": "failed"}, headers={"X-Twilio-Signature": signature}
    )
    assert changed.status == 403
    assert counted("forged") == before + 6
    assert await state(office) == "accepted"
    assert await office.pool.fetchval("SELECT count(*) FROM receipts") == 0


@pytest.mark.parametrize(
    "body", [b"\xff\xfe=1&MessageStatus=delivered", b"MessageStatus=%FF", b"", b"a" * 10_000, b"=&=&&&=="]
)
async def test_a_body_that_is_no_form_is_refused(client: Client, text: Text, body: bytes) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=no-such", "X-Twilio-Signature": "å"}
    assert (await client.post(path_of(text), data=body, headers=headers)).status == 403


async def test_a_signed_receipt_for_an_attempt_that_nobody_has_is_taken_and_counted(
    client: Client, office: Office, text: Text
) -> None:
    before = counted("unknown_attempt", gateway="none", status="delivered")
    for address in (attempt_address(office.organiser_id, uuid4()), attempt_address(uuid4(), text.token)):
        assert await post(client, f"/hooks/twilio/status/{address}", form_of(text, "delivered")) == 204
    assert counted("unknown_attempt", gateway="none", status="delivered") == before + 2
    assert await state(office) == "accepted"


async def test_a_signed_receipt_about_another_text_changes_nothing(client: Client, office: Office, text: Text) -> None:
    form = form_of(text, "delivered", MessageSid="SM" + "f" * 32)
    assert await post(client, path_of(text), form) == 204
    assert await state(office) == "accepted"


async def test_a_signed_form_that_is_no_receipt_is_taken_and_counted(client: Client, text: Text) -> None:
    before = counted("unreadable")
    assert await post(client, path_of(text), {"Body": "SALDO"}) == 204
    assert await post(client, "/hooks/twilio/status/short", form_of(text, "delivered")) == 204
    assert counted("unreadable") == before + 2


async def test_a_failed_delivery_waits_to_be_decided_under_its_class(
    client: Client, office: Office, text: Text
) -> None:
    assert await post(client, path_of(text), form_of(text, "undelivered", ErrorCode="30005")) == 204
    row = await office.pool.fetchrow("SELECT state, reason, due_at <= now() AS is_due FROM messages")
    assert row is not None
    assert tuple(row) == ("undelivered", "bad_contact", True)
