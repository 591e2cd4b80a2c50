"""The phone network: Twilio's protocol, receipts, families who answer and delete, and the record over restarts."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import signal
import sys
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

import aiohttp
import pytest
from twilio.base.exceptions import TwilioRestException
from twilio.http import AsyncHttpClient
from twilio.http.response import Response
from twilio.rest import Client

from service.sandbox import pages
from service.sandbox.journal import Journal, JournalInUseError
from service.sandbox.phone.receipts import read_target
from service.sandbox.phone.refusals import MAGIC_TO, UNDELIVERABLE
from service.sandbox.server import SandboxSettings
from tests.sandbox.desk import (
    ACCOUNT,
    FAMILY,
    OVERRIDES,
    TOKEN,
    Application,
    Sandbox,
    authorization,
    running_sandbox,
    until,
)


class SandboxHttpClient(AsyncHttpClient):
    """Twilio's SDK over a plain session, with the sandbox in Twilio's place."""

    def __init__(self, base_url: str, session: aiohttp.ClientSession) -> None:
        super().__init__(logging.getLogger("tests.twilio"), True)
        self._base_url, self._session = base_url, session

    async def request(self, method, url, params=None, data=None, headers=None, auth=None, **_rest):
        url = url.replace("https://api.twilio.com", self._base_url)
        headers = {**(headers or {}), **authorization(*auth)}
        async with self._session.request(method, url, params=params, data=data, headers=headers) as answer:
            return Response(answer.status, await answer.text(), dict(answer.headers))


@pytest.fixture
def twilio(sandbox: Sandbox) -> Client:
    return Client(ACCOUNT, TOKEN, http_client=SandboxHttpClient(sandbox.url, sandbox.session))


class TestTwilioProtocol:
    async def test_the_real_sdk_creates_fetches_and_lists_texts(self, twilio: Client, sandbox: Sandbox) -> None:
        created = await twilio.messages.create_async(to=FAMILY, from_="Seteli", body="Näytä koodi €")
        assert (created.status, created.num_segments, created.date_sent) == ("queued", "1", None)
        await asyncio.sleep(0.1)
        fetched = await twilio.messages(created.sid).fetch_async()
        assert (fetched.status, fetched.body, fetched.to) == ("delivered", "Näytä koodi €", FAMILY)
        assert fetched.date_sent is not None
        await twilio.messages.create_async(to="+358501112223", from_="Seteli", body="other")
        listed = await twilio.messages.list_async(to=FAMILY, date_sent_after=fetched.date_sent)
        assert [text.sid for text in listed] == [created.sid]

    async def test_the_sdk_pages_through_a_long_list_without_missing_or_repeating_a_text(
        self, twilio: Client, sandbox: Sandbox
    ) -> None:
        sids = [(await sandbox.create(Body=str(number)))[1]["sid"] for number in range(7)]
        listed = await twilio.messages.list_async(page_size=3)
        assert [text.sid for text in listed] == sids[::-1]

    async def test_the_sdk_raises_twilios_code_for_a_magic_number(self, twilio: Client) -> None:
        with pytest.raises(TwilioRestException) as raised:
            await twilio.messages.create_async(to="+15005550004", from_="Seteli", body="x")
        assert (raised.value.code, raised.value.status) == (21610, 400)

    @pytest.mark.parametrize(("user", "password"), [(ACCOUNT, "wrong"), ("AC" + "0" * 32, TOKEN), ("", "")])
    async def test_wrong_credentials_get_20003_and_nothing_is_taken(
        self, sandbox: Sandbox, user: str, password: str
    ) -> None:
        async with sandbox.session.post(
            sandbox.messages_url,
            data={"To": FAMILY, "From": "Seteli", "Body": "x"},
            headers=authorization(user, password),
        ) as response:
            answer = await response.json()
        assert (response.status, answer["code"], answer["status"]) == (401, 20003, 401)
        assert await sandbox.get("/messages") == []

    @pytest.mark.parametrize(
        ("form", "code"),
        [
            *[({"To": number}, code) for number, code in MAGIC_TO.items()],
            ({"To": "-"}, 21604),
            ({"To": "0401234567"}, 21211),
            ({"To": "+358"}, 21211),
            ({"To": "+35840\x00123456"}, 21211),
            ({"Body": "-"}, 21602),
            ({"Body": ""}, 21602),
            ({"Body": "x" * 1601}, 21617),
            ({"From": "-"}, 21603),
            ({"From": "Palveluseteli"}, 21212),
            ({"From": "+15005550007"}, 21606),
            ({"From": "-", "MessagingServiceSid": "MG1"}, 21701),
            ({"StatusCallback": "ftp://x"}, 21609),
            ({"ValidityPeriod": "0"}, 20001),
            ({"ValidityPeriod": "36001"}, 20001),
            ({"ContentRetention": "burn"}, 20001),
        ],
    )
    async def test_a_bad_request_gets_twilios_code_and_nothing_is_taken(
        self, sandbox: Sandbox, form: dict[str, str], code: int
    ) -> None:
        status, answer = await sandbox.create(**form)
        assert answer.keys() == {"code", "message", "more_info", "status"}
        assert (answer["code"], answer["status"]) == (code, status)
        assert 400 <= status < 500
        assert await sandbox.get("/messages") == []

    async def test_a_body_of_1600_characters_is_taken_and_counted_in_parts(self, sandbox: Sandbox) -> None:
        status, answer = await sandbox.create(Body="ä" * 1600)
        assert (status, answer["num_segments"]) == (201, "11")
        [text] = await sandbox.get("/messages")
        assert (text["encoding"], text["parts"]) == ("GSM-7", 11)

    async def test_a_text_outside_gsm7_is_shown_as_ucs2(self, sandbox: Sandbox) -> None:
        await sandbox.create(Body="Код 4827 ❤")
        [text] = await sandbox.get("/messages")
        assert (text["encoding"], text["parts"], text["body"]) == ("UCS-2", 1, "Код 4827 ❤")

    async def test_dates_are_rfc2822_in_utc(self, sandbox: Sandbox) -> None:
        _, answer = await sandbox.create()
        assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d \+0000", answer["date_created"])
        assert parsedate_to_datetime(answer["date_created"]).utcoffset().total_seconds() == 0

    async def test_a_messaging_service_has_no_sender_before_it_sends(self, sandbox: Sandbox) -> None:
        _, answer = await sandbox.create(From="-", MessagingServiceSid="MG" + "1" * 32)
        assert (answer["status"], answer["from"], answer["num_segments"]) == ("accepted", None, "0")
        await asyncio.sleep(0.1)
        _, sent = await sandbox.look_up(answer["uri"])
        assert sent["from"].startswith("+358")
        assert sent["num_segments"] == "1"

    async def test_redacted_texts_show_neither_body_nor_number_once_sent(self, sandbox: Sandbox) -> None:
        _, created = await sandbox.create(ContentRetention="discard", AddressRetention="obfuscate")
        assert (created["body"], created["to"]) == ("Hei", FAMILY)
        await asyncio.sleep(0.1)
        _, fetched = await sandbox.look_up(created["uri"])
        assert (fetched["body"], fetched["to"]) == ("", "+35840123XXXX")
        assert (await sandbox.look_up(To=FAMILY))[1]["messages"] == []
        [text] = await sandbox.get("/messages")
        assert (text["body"], text["to"]) == ("Hei", FAMILY)

    async def test_an_unsent_text_is_not_found_by_its_day(self, tmp_path: Path) -> None:
        async with running_sandbox(tmp_path, sent_after_s=30, delivered_after_s=60) as slow:
            await slow.create()
            assert (await slow.look_up(**{"DateSent>": "2020-01-01"}))[1]["messages"] == []
            assert len((await slow.look_up(To=FAMILY))[1]["messages"]) == 1

    @pytest.mark.parametrize(
        "query", [{"PageSize": "0"}, {"PageSize": "x"}, {"DateSent": "soon"}, {"PageToken": "PASM1"}]
    )
    async def test_a_senseless_look_up_is_refused(self, sandbox: Sandbox, query: dict[str, str]) -> None:
        assert (await sandbox.look_up(**query))[0] == 400

    async def test_unknown_texts_accounts_and_resources_get_20404(self, sandbox: Sandbox) -> None:
        for path in (
            f"/2010-04-01/Accounts/{ACCOUNT}/Messages/SM{'0' * 32}.json",
            f"/2010-04-01/Accounts/AC{'0' * 32}/Messages.json",
            f"/2010-04-01/Accounts/{ACCOUNT}/Calls.json",
        ):
            status, answer = await sandbox.look_up(path)
            assert (status, answer["code"]) == (404, 20404)


class TestReceipts:
    async def test_sent_and_delivered_are_reported_with_a_signature_that_holds(
        self, sandbox: Sandbox, application: Application
    ) -> None:
        _, created = await sandbox.create(StatusCallback=f"{application.url}/hooks/a%2Fb?x=1&y={OVERRIDES}")
        await until(lambda: len(application.received) == 2)
        assert application.statuses == ["sent", "delivered"]
        assert application.genuine == [True, True]
        assert application.received[1] == {
            "AccountSid": ACCOUNT,
            "ApiVersion": "2010-04-01",
            "From": "Seteli",
            "MessageSid": created["sid"],
            "MessageStatus": "delivered",
            "SmsSid": created["sid"],
            "SmsStatus": "delivered",
            "To": FAMILY,
        }

    @pytest.mark.parametrize(("number", "code"), UNDELIVERABLE.items())
    async def test_a_magic_recipient_is_taken_and_comes_back_undelivered(
        self, sandbox: Sandbox, application: Application, number: str, code: int
    ) -> None:
        status, created = await sandbox.create(To=number, StatusCallback=application.url + "/")
        assert status == 201
        await until(lambda: len(application.received) == 2)
        assert application.statuses == ["sent", "undelivered"]
        assert application.received[1]["ErrorCode"] == str(code)
        _, fetched = await sandbox.look_up(created["uri"])
        assert (fetched["status"], fetched["error_code"]) == ("undelivered", code)

    async def test_a_receipt_refused_with_5xx_is_tried_again_when_the_url_asks_for_it(
        self, sandbox: Sandbox, application: Application
    ) -> None:
        application.answers = [503, 503, 500]
        await sandbox.create(StatusCallback=f"{application.url}/{OVERRIDES}")
        await until(lambda: len(application.received) == 5)
        assert sorted(set(application.statuses)) == ["delivered", "sent"]

    async def test_a_receipt_refused_with_5xx_is_dropped_by_default(
        self, sandbox: Sandbox, application: Application
    ) -> None:
        application.answers = [503, 503]
        await sandbox.create(StatusCallback=application.url + "/")
        await asyncio.sleep(0.5)
        assert len(application.received) == 2

    @pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "http://[::bad/", "http://", "http://x.invalid/"])
    async def test_a_callback_that_cannot_be_reached_harms_nothing(self, sandbox: Sandbox, url: str) -> None:
        assert (await sandbox.create(StatusCallback=url))[0] == 201
        await asyncio.sleep(0.1)
        assert [text["status"] for text in await sandbox.get("/messages")] == ["delivered"]

    def test_overrides_are_read_in_milliseconds_and_kept_within_twilios_limits(self) -> None:
        target = read_target("http://x/y?z=%20#ct=1&rt=99999&rc=9&rp=5xx,ct&tt=oops")
        assert target.url == "http://x/y?z=%20"
        assert (target.connect_s, target.read_s, target.total_s, target.retries) == (0.1, 15.0, 15.0, 5)
        assert target.retry_on == {"5xx", "ct"}


class TestFamilies:
    async def test_a_text_from_a_phone_reaches_the_application_signed_and_its_reply_reaches_the_phone(
        self, sandbox: Sandbox, application: Application
    ) -> None:
        await sandbox.create(From="+3584573960001")
        await sandbox.post("/configure", {"inbound_url": application.url + "/hooks/inbound"})
        application.body = "<Response><Message>10 t jäljellä</Message></Response>"
        status, answer = await sandbox.post("/inbound", {"from": FAMILY, "body": "SALDO & ä"})
        assert (status, answer["status"], answer["body"]) == (200, 200, application.body)
        [form] = application.received
        assert application.genuine == [True]
        assert (form["From"], form["To"], form["Body"]) == (FAMILY, "+3584573960001", "SALDO & ä")
        assert form["FromCity"] == ""
        assert form["MessageSid"] == answer["sid"]
        texts = await sandbox.get(f"/messages?to={FAMILY}")
        assert [text["body"] for text in texts] == ["Hei", "10 t jäljellä"]

    async def test_stop_opts_a_phone_out_until_start(self, sandbox: Sandbox, application: Application) -> None:
        await sandbox.post("/configure", {"inbound_url": application.url + "/"})
        await sandbox.post("/inbound", {"from": FAMILY, "body": " stop "})
        assert (await sandbox.create())[1]["code"] == 21610
        await sandbox.post("/inbound", {"from": FAMILY, "body": "START"})
        assert (await sandbox.create())[0] == 201

    @pytest.mark.parametrize(
        "content", [{}, {"from": "040", "body": "x"}, {"from": FAMILY}, {"from": FAMILY, "body": 1}, [], None]
    )
    async def test_a_senseless_inbound_text_is_refused(self, sandbox: Sandbox, content: object) -> None:
        assert (await sandbox.post("/inbound", content))[0] == 400

    async def test_an_inbound_text_says_when_there_is_nobody_to_take_it(self, sandbox: Sandbox) -> None:
        assert (await sandbox.post("/inbound", {"from": FAMILY, "body": "x"}))[0] == 409
        await sandbox.post("/configure", {"inbound_url": "http://127.0.0.1:1/"})
        assert (await sandbox.post("/inbound", {"from": FAMILY, "body": "x"}))[0] == 502

    async def test_a_deleted_text_leaves_the_phone_and_stays_in_the_record(self, sandbox: Sandbox) -> None:
        _, created = await sandbox.create(Body="koodi 4827")
        path = f"/phones/{FAMILY}/delete"
        assert (await sandbox.post(path, {"sid": created["sid"]}))[0] == 200
        [text] = await sandbox.get("/messages")
        assert text["deleted_at"]
        async with sandbox.session.get(sandbox.url + "/") as page:
            assert "koodi 4827" not in await page.text()
        assert (await sandbox.post(path, {"sid": "SM0"}))[0] == 404
        assert (await sandbox.post("/phones/+358409999999/delete", {"sid": created["sid"]}))[0] == 404
        async with sandbox.session.delete(f"{sandbox.url}/messages/{created['sid']}") as again:
            assert (await again.json())["deleted_at"] == text["deleted_at"]

    async def test_messages_are_found_by_a_number_whose_plus_the_query_turned_into_a_space(
        self, sandbox: Sandbox
    ) -> None:
        await sandbox.create()
        await sandbox.create(To="+358501112223")
        for written in (FAMILY, FAMILY.replace("+", "%2B")):
            url = aiohttp.client.URL(f"{sandbox.url}/messages?to={written}", encoded=True)
            async with sandbox.session.get(url) as response:
                texts = await response.json()
            assert [text["to"] for text in texts] == [FAMILY]
            assert texts[0].keys() == {"sid", "to", "from", "body", "encoding", "parts", "status", "at"}


class TestRecord:
    async def test_a_restart_shows_the_same_phones_and_brings_what_was_under_way(
        self, tmp_path: Path, application: Application
    ) -> None:
        async with running_sandbox(tmp_path, sent_after_s=0.01, delivered_after_s=30) as first:
            await first.create(StatusCallback=application.url + "/")
            await first.post("/configure", {"inbound_url": application.url + "/in"})
            await until(lambda: application.statuses == ["sent"])
            before = await first.get("/messages")
        with (tmp_path / "sandbox.jsonl").open("a") as journal:
            journal.write('{"kind":"text","torn')
        async with running_sandbox(tmp_path) as second:
            await until(lambda: len(application.received) == 2)
            [text] = await second.get("/messages")
            assert text == {**before[0], "status": "delivered"}
            assert (await second.create())[0] == 201
            assert (await second.post("/inbound", {"from": FAMILY, "body": "x"}))[0] == 200
        assert application.statuses[:2] == ["sent", "delivered"]
        async with running_sandbox(tmp_path) as third:
            assert len(await third.get("/messages")) == 2

    async def test_what_was_answered_201_survives_kill_9(self, tmp_path: Path) -> None:
        script = (
            "import asyncio, sys; from pathlib import Path\n"
            "from service.sandbox.server import SandboxSettings, run_sandbox\n"
            "import logging; logging.basicConfig(level=logging.INFO, stream=sys.stdout)\n"
            f"asyncio.run(run_sandbox(SandboxSettings('127.0.0.1', 0, 0, {ACCOUNT!r}, {TOKEN!r},"
            " Path(sys.argv[1]))))"
        )
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-W", "error", "-c", script, str(tmp_path), stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        port = int(re.search(rb"http_port=(\d+)", await process.stdout.readline())[1])
        taken: list[str] = []
        async with aiohttp.ClientSession() as session:
            client = Sandbox(f"http://127.0.0.1:{port}", 0, tmp_path, session)

            async def hand_in() -> None:
                while True:
                    taken.append((await client.create())[1]["sid"])

            tasks = [asyncio.create_task(hand_in()) for _ in range(8)]
            await until(lambda: len(taken) > 100)
            os.kill(process.pid, signal.SIGKILL)
            await process.wait()
            await asyncio.gather(*tasks, return_exceptions=True)
        async with running_sandbox(tmp_path) as again:
            kept = [text["sid"] for text in await again.get("/messages")]
        assert set(taken) <= set(kept)
        assert len(kept) == len(set(kept))

    async def test_a_second_sandbox_over_the_same_data_is_refused(self, sandbox: Sandbox) -> None:
        with pytest.raises(JournalInUseError):
            Journal(sandbox.data / "sandbox.jsonl")

    async def test_the_journal_is_readable_by_its_owner_only(self, sandbox: Sandbox) -> None:
        await sandbox.create()
        journal = sandbox.data / "sandbox.jsonl"
        assert journal.stat().st_mode & 0o077 == 0
        assert json.loads(journal.read_text().splitlines()[0])["kind"] == "text"

    def test_it_listens_on_loopback_only(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="loopback"):
            SandboxSettings("0.0.0.0", 0, 0, ACCOUNT, TOKEN, tmp_path)


class TestPage:
    async def test_the_page_shows_each_phone_with_its_text_and_no_script(self, sandbox: Sandbox) -> None:
        await sandbox.create(Body="<script>alert(1)</script> & ä")
        await sandbox.create(To="+358400030006", Body="lost")
        await asyncio.sleep(0.1)
        async with sandbox.session.get(sandbox.url + "/") as response:
            page = await response.text()
        assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; ä" in page
        assert "<script" not in page
        assert "undelivered 30006" in page
        assert 'http-equiv="refresh" content="3"' in page
        assert page.index("+358400030006") < page.index(FAMILY)
        assert "http://" not in page
        assert "https://" not in page

    async def test_the_pages_delete_button_works_without_script(self, sandbox: Sandbox) -> None:
        _, created = await sandbox.create(Body="koodi 4827")
        path = f"/phones/{FAMILY}/delete"
        async with sandbox.session.post(sandbox.url + path, data={"sid": created["sid"]}) as response:
            assert "koodi 4827" not in await response.text()
        assert (response.status, response.url.path) == (200, "/")

    async def test_nothing_of_a_text_is_logged(self, sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(0)
        await sandbox.create(Body="koodi 4827", StatusCallback="http://127.0.0.1:1/secret")
        await asyncio.sleep(0.5)
        assert "receipt.dropped" in caplog.text
        for secret in (FAMILY, "4827", "secret", TOKEN):
            assert secret not in caplog.text


def test_a_phone_shows_the_clock_of_finland_wherever_the_machine_is() -> None:
    assert pages._clock(datetime(2026, 11, 22, 22, 30, tzinfo=UTC).timestamp()) == "23.11. 00:30:00"
    assert pages._clock(datetime(2026, 7, 1, 12, 0, tzinfo=UTC).timestamp()) == "01.07. 15:00:00"
