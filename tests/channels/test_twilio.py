"""Twilio: what goes over the wire, what its codes mean, receipts with their signatures, and look-up."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, Literal
from urllib.parse import urldefrag
from uuid import UUID

import aiohttp
import pytest
from multidict import MultiDict
from structlog.testing import capture_logs
from twilio.request_validator import RequestValidator

from service.channels.alike import Sought, Start
from service.channels.gateway import (
    Absent,
    Accepted,
    Action,
    Answer,
    GatewayReceipt,
    Outgoing,
    ReceiptMeaning,
    ReceiptState,
    Refused,
    SmsContent,
    Unknown,
)
from service.channels.gateways.twilio import (
    CONTACT_FAULTS,
    ERROR_ACTIONS,
    TwilioGateway,
    parse_receipt,
    receipt_meaning,
    signature_is_valid,
)
from tests.channels.twilio_server import ACCOUNT, SID, TwilioServer, message, twilio_server

PHONE = "+358401234567"
TEXT = "Palveluseteli 4827 0315 9268. Näytä € ŋ"
SINCE = datetime(2026, 11, 2, 12, 0, 0, 700_000, tzinfo=UTC)


def sought(seconds: float = 0, **changes: Any) -> Sought:
    """The text of an attempt that began so long after SINCE."""
    start = Start(SINCE + timedelta(seconds=seconds), UUID(int=int(seconds * 1000)))
    return replace(Sought(start, SINCE, lambda body: body == TEXT), **changes)


@dataclass
class Line:
    """A gateway and the server at its other end."""

    server: TwilioServer
    session: aiohttp.ClientSession

    def gateway(
        self,
        *,
        sender: str = "+358501111111",
        timeout_s: float | None = None,
        content_retention: Literal["retain", "discard"] | None = None,
        address_retention: Literal["retain", "obfuscate"] | None = None,
    ) -> TwilioGateway:
        return TwilioGateway(
            self.session,
            account_sid=ACCOUNT,
            auth_token="the token",
            sender=sender,
            base_url=self.server.url + "/",
            status_url=lambda attempt: f"https://seteli.example/hooks/twilio/status/{attempt}",
            timeout_s=timeout_s or (0.5 if self.server.behaviour == "hang" else 30),  # a busy machine is waited for
            content_retention=content_retention,
            address_retention=address_retention,
        )

    async def send(self, behaviour: Any = None) -> Answer:
        if behaviour is not None:
            self.server.behaviour = behaviour
        return await self.gateway().send(Outgoing("abc", PHONE, SmsContent(TEXT)))


@pytest.fixture
async def line() -> AsyncIterator[Line]:
    async with twilio_server() as server, aiohttp.ClientSession() as session:
        yield Line(server, session)


async def test_a_text_goes_over_the_wire_as_agreed(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWILIO_REGION", "au1")  # only Settings reads the environment
    monkeypatch.setenv("TWILIO_EDGE", "sydney")
    answer = await line.send(("json", 201, message(status="queued", num_segments="2")))
    assert answer == Accepted(SID, parts=2, status="queued")
    assert line.server.forms == [
        {
            "To": PHONE,
            "From": "+358501111111",
            "Body": TEXT,
            "StatusCallback": "https://seteli.example/hooks/twilio/status/abc#ct=3000&rc=5&rt=1500&rp=all",
            "ValidityPeriod": "14400",
            "SmartEncoded": "false",
        }
    ]
    assert line.server.headers[0]["Authorization"] == aiohttp.encode_basic_auth(ACCOUNT, "the token")


async def test_a_messaging_service_is_named_instead_of_a_sender(line: Line) -> None:
    service = "MG" + "1" * 32
    line.server.behaviour = ("json", 201, message(num_segments="0", status="accepted"))
    answer = await line.gateway(sender=service).send(Outgoing("abc", PHONE, SmsContent(TEXT)))
    assert answer == Accepted(SID, parts=None, status="accepted")
    assert line.server.forms[0]["MessagingServiceSid"] == service
    assert "From" not in line.server.forms[0]


async def test_redaction_is_asked_for_only_when_it_is_set(line: Line) -> None:
    gateway = line.gateway(content_retention="discard", address_retention="obfuscate")
    await gateway.send(Outgoing("abc", PHONE, SmsContent(TEXT)))
    assert line.server.forms[0]["ContentRetention"] == "discard"
    assert line.server.forms[0]["AddressRetention"] == "obfuscate"


# The table of the delivery facts, written out once more on purpose.
EXPECTED = {
    Action.RETRY: {20429, 20503, 21611, 21730},
    Action.RETRY_LATER: {30001, 30017, 30022, 30410, 30500},
    Action.RETRY_THEN_OTHER_CHANNEL: {30003, 30008},
    Action.BAD_CONTACT: {21211, 21217, 21614, 21635, 21268, 30005, 30006},
    Action.OPTED_OUT: {21610},
    Action.FILTERED: {30004, 30007},
    Action.PAUSE_GATEWAY: {20003, 20005, 21212, 21408, 21606, 21612, 21703, 21704, 21705, 21709}
    | {30002, 30018, 30024, 30042},
    Action.TEMPLATE_FAULT: {21602, 21617},
}


@pytest.mark.parametrize("action", EXPECTED)
def test_the_table_of_codes_is_whole(action: Action) -> None:
    assert {code for code in EXPECTED[action] if ERROR_ACTIONS.get(code) is not action} == set()


@pytest.mark.parametrize("code", sorted(set().union(*EXPECTED.values())))
async def test_each_code_becomes_its_action(line: Line, code: int) -> None:
    answer = await line.send(("json", 400, {"code": code, "message": f"about {PHONE}", "status": 400}))
    assert answer == Refused(str(code), ERROR_ACTIONS[code])


@pytest.mark.parametrize(
    ("status", "body", "answer"),
    [
        (400, {"code": 29999, "message": "new", "status": 400}, Refused("29999", Action.UNCLASSIFIED)),
        (400, {"code": None, "message": "x"}, Refused("http_400", Action.UNCLASSIFIED)),
        (400, ["nonsense"], Refused("http_400", Action.UNCLASSIFIED)),
        (401, {"code": 20003, "message": "Authenticate"}, Refused("20003", Action.PAUSE_GATEWAY)),
        (401, {}, Refused("http_401", Action.PAUSE_GATEWAY)),
        (403, {}, Refused("http_403", Action.PAUSE_GATEWAY)),
        (404, {"code": 20404}, Refused("20404", Action.PAUSE_GATEWAY)),
        (429, {}, Refused("429", Action.RETRY)),
        (429, {"code": 21611}, Refused("21611", Action.RETRY)),
        (503, {"code": 20503}, Refused("20503", Action.RETRY)),
        (500, {"code": 20500}, Unknown("http_500")),
        (500, {"code": 21211}, Unknown("http_500")),
        (502, {}, Unknown("http_502")),
        (408, {}, Unknown("http_408")),
        (301, {}, Refused("http_301", Action.PAUSE_GATEWAY)),
        (303, {}, Unknown("http_303")),
        (
            400,
            {"type": "t", "title": f"no {PHONE}", "status": 400, "code": 21610},
            Refused("21610", Action.OPTED_OUT),
        ),
        (201, {}, Unknown("no_reference")),
        (201, message(sid=None), Unknown("no_reference")),
        (201, message(sid=""), Unknown("no_reference")),
        (201, message(sid={"a": 1}), Unknown("no_reference")),
        (201, message(date_created=17), Unknown("garbled_answer")),
        (201, [], Unknown("garbled_answer")),
        (201, message(num_segments="many", status=5), Accepted(SID)),
    ],
)
async def test_each_answer_is_read_for_what_is_certain(line: Line, status: int, body: Any, answer: Answer) -> None:
    assert await line.send(("json", status, body)) == answer


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"<html></html>", b"\xff\xfe", b'{"sid": "' + b"a" * 2_000_000 + b'"}', b'{"a":' * 100_000],
    ids=["empty", "cut", "html", "binary", "endless", "deep"],
)
async def test_a_2xx_that_is_no_message_is_unknown(line: Line, content: bytes) -> None:
    assert await line.send(("raw", 201, content, "application/json")) == Unknown("garbled_answer")


@pytest.mark.parametrize("content", [b"", b"<html></html>", b"\xff\xfe"])
async def test_a_5xx_without_json_is_unknown(line: Line, content: bytes) -> None:
    assert await line.send(("raw", 504, content, "text/html")) == Unknown("http_504")


async def test_nothing_is_sent_twice_after_a_fault(line: Line) -> None:
    await line.send(("json", 500, {"code": 20500}))
    await line.send(("json", 429, {"code": 20429}))
    assert len(line.server.forms) == 2


@pytest.mark.parametrize(
    ("status", "error_code", "meaning"),
    [
        ("accepted", None, ReceiptMeaning(ReceiptState.ACCEPTED)),
        ("scheduled", None, ReceiptMeaning(ReceiptState.ACCEPTED)),
        ("queued", None, ReceiptMeaning(ReceiptState.ACCEPTED)),
        ("sending", None, ReceiptMeaning(ReceiptState.ACCEPTED)),
        ("sent", None, ReceiptMeaning(ReceiptState.SENT)),
        ("delivered", None, ReceiptMeaning(ReceiptState.DELIVERED)),
        ("read", None, ReceiptMeaning(ReceiptState.DELIVERED)),
        ("undelivered", "30003", ReceiptMeaning(ReceiptState.UNDELIVERED, Action.RETRY_THEN_OTHER_CHANNEL)),
        ("undelivered", "30006", ReceiptMeaning(ReceiptState.UNDELIVERED, Action.BAD_CONTACT)),
        ("failed", "30001", ReceiptMeaning(ReceiptState.FAILED, Action.RETRY_LATER)),
        ("failed", "39999", ReceiptMeaning(ReceiptState.FAILED, Action.UNCLASSIFIED)),
        ("failed", None, ReceiptMeaning(ReceiptState.FAILED, Action.UNCLASSIFIED)),
        ("canceled", None, ReceiptMeaning(ReceiptState.FAILED, Action.UNCLASSIFIED)),
    ],
)
def test_each_status_has_its_meaning(status: str, error_code: str | None, meaning: ReceiptMeaning) -> None:
    assert receipt_meaning(status, error_code) == meaning


@pytest.mark.parametrize("status", ["", "received", "teleported", "DELIVERED", "x" * 1000])
def test_an_unknown_status_means_nothing_and_alerts(status: str) -> None:
    with capture_logs() as events:
        assert receipt_meaning(status, None) is None
    assert [event["event"] for event in events] == ["gateway_status_unknown"]
    assert len(events[0]["status"]) <= 32


@pytest.mark.parametrize(
    ("form", "receipt"),
    [
        ({"MessageSid": SID, "MessageStatus": "sent"}, GatewayReceipt(SID, "sent")),
        ({"MessageSid": SID, "MessageStatus": "sent", "ErrorCode": ""}, GatewayReceipt(SID, "sent")),
        (
            {"MessageSid": SID, "MessageStatus": "undelivered", "ErrorCode": "30003", "To": PHONE},
            GatewayReceipt(SID, "undelivered", "30003"),
        ),
        ({}, None),
        ({"MessageSid": SID}, None),
        ({"MessageSid": "", "MessageStatus": "sent"}, None),
        ({"MessageSid": "x" * 1000, "MessageStatus": "sent"}, None),
        ({"MessageSid": SID, "MessageStatus": "se\x00nt"}, None),
        ({"MessageSid": SID, "MessageStatus": "sent", "ErrorCode": "'; --"}, None),
        ({"MessageSid": object(), "MessageStatus": "sent"}, None),
    ],
)
def test_a_receipt_is_read_or_refused(form: dict[str, object], receipt: GatewayReceipt | None) -> None:
    assert parse_receipt(form) == receipt


URL = "https://seteli.example/hooks/twilio/status/abc"
FORM = {"MessageSid": SID, "MessageStatus": "sent", "Body": "", "City": "Äänekoski"}


def _sign(url: str, form: object, token: str = "token") -> str:
    return str(RequestValidator(token).compute_signature(url, form))


def test_a_true_signature_is_valid_blank_fields_and_fragment_included() -> None:
    assert signature_is_valid(URL, FORM, _sign(URL, FORM), auth_token="token")
    with_fragment = URL + "#ct=3000&rc=5"
    assert signature_is_valid(with_fragment, FORM, _sign(urldefrag(URL).url, FORM), auth_token="token")


def test_repeated_fields_are_signed_too() -> None:
    form = MultiDict([("A", "1"), ("A", "2"), ("B", "")])
    signature = _sign(URL, form)
    assert signature_is_valid(URL, form, signature, auth_token="token")
    assert not signature_is_valid(URL, MultiDict([("A", "1"), ("B", "")]), signature, auth_token="token")


@pytest.mark.parametrize(
    ("url", "form", "signature"),
    [
        (URL, FORM, ""),
        (URL, FORM, "ÄÄ"),
        (URL, FORM, _sign(URL, FORM, token="another")),
        (URL, FORM | {"MessageStatus": "delivered"}, _sign(URL, FORM)),
        (URL, {name: value for name, value in FORM.items() if value}, _sign(URL, {**FORM, "Extra": "1"})),
        (URL[:-1] + "d", FORM, _sign(URL, FORM)),
        (URL.replace("https", "http"), FORM, _sign(URL, FORM)),
        (URL, FORM | {"File": object()}, _sign(URL, FORM)),
        (URL, FORM | {"Body": "\ud800"}, _sign(URL, FORM)),
    ],
)
def test_anything_else_is_not(url: str, form: dict[str, object], signature: str) -> None:
    assert not signature_is_valid(url, form, signature, auth_token="token")


def at(seconds: float) -> str:
    return format_datetime((SINCE + timedelta(seconds=seconds)).replace(microsecond=0))


def page(*messages: dict[str, Any]) -> Any:
    return ("json", 200, {"messages": list(messages), "next_page_uri": None, "page": 0, "page_size": 100})


async def test_a_look_up_finds_ours_with_its_status(line: Line) -> None:
    line.server.behaviour = page(
        message(sid="SM" + "3" * 32, body=TEXT, date_created=at(60)),
        message(sid="SM" + "9" * 32, body="another text", date_created=at(2)),
        message(sid=SID, body=TEXT, date_created=at(0), status="undelivered", error_code=30003, num_segments="2"),
        message(sid="SM" + "2" * 32, body=TEXT, date_created=at(-3)),
    )
    found = await line.gateway().look_up(PHONE, sought())
    assert found == Accepted(SID, parts=2, status="undelivered", error_code="30003")
    assert line.server.queries == [{"To": PHONE, "PageSize": "100"}]
    other = await line.gateway().look_up(PHONE, sought(taken={SID}))
    assert other == Accepted("SM" + "3" * 32, parts=1, status="queued")


@pytest.mark.parametrize("seconds", [(0, 0.1), (0, 0.9)], ids=["in one second", "a second apart"])
async def test_of_two_texts_that_say_the_same_each_attempt_finds_its_own(
    line: Line, seconds: tuple[int, float]
) -> None:
    first, second = (sought(each).start for each in seconds)
    texts = [message(sid=f"SM{n}" + "0" * 30, body=TEXT, date_created=at(each)) for n, each in enumerate(seconds)]
    line.server.behaviour = page(*reversed(texts))
    looks = {second: first, first: second}
    found = {}
    for own, rival in looks.items():
        answer = await line.gateway().look_up(PHONE, sought(start=own, rivals={rival}))
        assert isinstance(answer, Accepted)
        found[own] = answer.reference
    assert [found[first], found[second]] == [text["sid"] for text in texts]


async def test_a_text_whose_reference_is_known_is_no_other_and_needs_no_words(line: Line) -> None:
    other = message(sid="SM" + "1" * 32, body=TEXT, date_created=at(0), status="delivered")
    line.server.behaviour = page(message(body="", date_created=at(3), status="undelivered"), other)
    found = await line.gateway().look_up(PHONE, sought(reference=SID))
    assert found == Accepted(SID, parts=1, status="undelivered")
    line.server.behaviour = page(other)
    assert await line.gateway().look_up(PHONE, sought(reference=SID)) == Absent()


@pytest.mark.parametrize(
    "other",
    [
        message(body="another", date_created=at(1)),
        message(body=TEXT, date_created=at(-60)),
        message(body=TEXT, date_created=at(1), direction="inbound"),
    ],
)
async def test_what_is_not_ours_is_absent(line: Line, other: dict[str, Any]) -> None:
    line.server.behaviour = page(other)
    assert await line.gateway().look_up(PHONE, sought()) == Absent()


async def test_a_redacted_text_may_be_ours(line: Line) -> None:
    line.server.behaviour = page(message(body="", date_created=at(1)))
    found = await line.gateway().look_up(PHONE, sought())
    assert found == Unknown("redacted")
    line.server.behaviour = page()
    gateway = line.gateway(address_retention="obfuscate")
    assert await gateway.look_up(PHONE, sought(is_ours=lambda body: True)) == Unknown("redacted")


async def test_a_full_list_without_ours_is_not_absence(line: Line) -> None:
    line.server.behaviour = page(*(message(body="another", date_created=at(1)) for _ in range(200)))
    found = await line.gateway().look_up(PHONE, sought(is_ours=lambda body: False))
    assert found == Unknown("too_many_messages")


@pytest.mark.parametrize(
    "behaviour",
    [
        ("json", 500, {}),
        ("json", 401, {}),
        ("json", 200, {"messages": ["x"]}),
        ("json", 200, {"messages": None}),
        ("json", 200, {}),
        ("raw", 200, b"<html>", "text/html"),
        "hang",
        "drop",
    ],
    ids=repr,
)
async def test_a_look_up_that_fails_is_never_absence(line: Line, behaviour: Any) -> None:
    line.server.behaviour = behaviour
    assert await line.gateway().look_up(PHONE, sought(is_ours=lambda body: True)) == Unknown("look_up_failed")


async def test_a_next_page_elsewhere_is_not_followed_with_our_credentials(line: Line) -> None:
    async with twilio_server() as stranger:
        line.server.behaviour = (
            "json",
            200,
            {"meta": {"key": "messages", "next_page_url": stranger.url + "/x"}, "messages": [message()]},
        )
        found = await line.gateway().look_up(PHONE, sought(is_ours=lambda body: False))
        assert found == Unknown("look_up_failed")
        assert stranger.headers == []


async def test_a_connection_that_cannot_be_made_in_time_is_a_safe_retry(line: Line) -> None:
    """All connections of the session are taken: nothing of ours was written."""
    connector = aiohttp.TCPConnector(limit=1)
    async with aiohttp.ClientSession(connector=connector) as session:
        busy = Line(line.server, session)
        line.server.behaviour = "hang"
        first = asyncio.create_task(busy.gateway(timeout_s=5).send(Outgoing("a", PHONE, SmsContent(TEXT))))
        await line.server.asked.wait()
        second = await busy.gateway(timeout_s=0.3).send(Outgoing("b", PHONE, SmsContent(TEXT)))
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
    assert second == Refused("connect_timeout", Action.RETRY)
    assert len(line.server.forms) == 1


def test_every_code_of_a_bad_contact_tells_what_is_wrong_with_it() -> None:
    bad = {str(code) for code, action in ERROR_ACTIONS.items() if action is Action.BAD_CONTACT}
    assert set(CONTACT_FAULTS) == bad
