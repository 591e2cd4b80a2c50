"""Faults: each is injected as set, is repeatable by its seed, and `{}` heals all."""

from __future__ import annotations

import asyncio
import time

import pytest
from pydantic import ValidationError

from service.sandbox.faults import Faults, FaultSettings
from tests.sandbox.desk import FAMILY, Application, Sandbox, until


def fates(faults: Faults, seed: int, *, between: int = 0) -> list[str]:
    faults.apply(FaultSettings(seed=seed, timeout_after_accept=0.1, error_5xx=0.2, error_429=0.3))
    drawn = []
    for _ in range(200):
        drawn.append(faults.next_create_fate().value)
        for _ in range(between):
            faults.next_look_up_fate()
            faults.next_text_fate()
            faults.next_mail_fate()
    return drawn


class TestDice:
    def test_the_same_seed_gives_the_same_faults_whatever_happens_in_between(self) -> None:
        assert fates(Faults(), 7) == fates(Faults(), 7, between=3)
        assert fates(Faults(), 7) != fates(Faults(), 8)

    def test_the_rates_are_kept(self) -> None:
        faults = Faults()
        faults.apply(FaultSettings(error_5xx=0.2, error_5xx_after_accept=0.3, receipts_lost=0.4))
        drawn = [faults.next_create_fate().value for _ in range(4000)]
        assert drawn.count("error_5xx") == pytest.approx(800, rel=0.15)
        assert drawn.count("error_5xx_after_accept") == pytest.approx(1200, rel=0.15)
        assert sum(faults.next_text_fate().final.is_lost for _ in range(4000)) == pytest.approx(1600, rel=0.15)

    def test_one_call_has_one_fate(self) -> None:
        with pytest.raises(ValidationError, match="at most 1"):
            FaultSettings(error_5xx=0.6, error_429=0.6)
        with pytest.raises(ValidationError, match="at most 1"):
            FaultSettings(smtp_4xx=0.6, smtp_5xx=0.6)
        FaultSettings(error_5xx=0.1, error_429=0.2, timeout_after_accept=0.7)


class TestSetting:
    @pytest.mark.parametrize(
        "nonsense",
        [
            {"error_429": 1.1},
            {"error_429": -0.1},
            {"error_429": "often"},
            {"eror_429": 0.1},
            {"seconds_per_call": 3600},
            {"refuse_code": 5},
            {"seed": "x"},
            [],
            7,
        ],
    )
    async def test_nonsense_is_refused_and_changes_nothing(self, sandbox: Sandbox, nonsense: object) -> None:
        await sandbox.inject(error_429=0.25)
        status, answer = await sandbox.post("/faults", nonsense)
        assert status == 400
        assert answer["problems"]
        assert (await sandbox.get("/faults"))["faults"]["error_429"] == 0.25

    async def test_broken_json_is_refused(self, sandbox: Sandbox) -> None:
        async with sandbox.session.post(sandbox.url + "/faults", data=b"{") as response:
            assert response.status == 400

    async def test_an_empty_set_heals_everything_and_keeps_the_counts(self, sandbox: Sandbox) -> None:
        await sandbox.inject(error_429=1, seconds_per_call=0.01)
        assert (await sandbox.create())[0] == 429
        await sandbox.inject()
        assert (await sandbox.create())[0] == 201
        shown = await sandbox.get("/faults")
        assert shown["injected"] == {"error_429": 1}
        assert set(shown["faults"].values()) == {0, None}


class TestCalls:
    async def test_a_throttled_text_was_not_taken(self, sandbox: Sandbox) -> None:
        await sandbox.inject(error_429=1)
        status, answer = await sandbox.create()
        assert (status, answer["code"]) == (429, 20429)
        assert await sandbox.get("/messages") == []
        assert (await sandbox.look_up())[0] == 429

    async def test_a_server_error_looks_the_same_whether_the_text_was_taken_or_not(self, sandbox: Sandbox) -> None:
        seen = {}
        for fault, taken in (("error_5xx", 0), ("error_5xx_after_accept", 2)):
            await sandbox.inject(**{fault: 1})
            seen[fault] = [await sandbox.create(), await sandbox.create()]
            assert len(await sandbox.get("/messages")) == taken
        assert seen["error_5xx"] == seen["error_5xx_after_accept"]
        assert [status for status, _ in seen["error_5xx"]] == [500, 502]

    async def test_a_text_whose_answer_never_comes_is_taken_and_delivered(
        self, sandbox: Sandbox, application: Application
    ) -> None:
        await sandbox.inject(timeout_after_accept=1)
        with pytest.raises(TimeoutError):
            await sandbox.create(timeout_s=0.3, StatusCallback=application.url + "/")
        await until(lambda: application.statuses == ["sent", "delivered"])
        assert len((await sandbox.look_up(To=FAMILY))[1]["messages"]) == 1

    async def test_a_caller_who_gives_up_while_the_network_thinks_has_still_sent_the_text(
        self, sandbox: Sandbox
    ) -> None:
        await sandbox.inject(seconds_per_call=0.3)
        with pytest.raises(TimeoutError):
            await sandbox.create(timeout_s=0.1)
        assert await sandbox.get("/messages") == []
        await asyncio.sleep(0.4)
        assert len(await sandbox.get("/messages")) == 1

    async def test_a_forced_code_refuses_texts_and_bad_credentials_refuse_look_ups_too(self, sandbox: Sandbox) -> None:
        await sandbox.inject(refuse_code=21606)
        assert (await sandbox.create())[1]["code"] == 21606
        assert (await sandbox.look_up())[0] == 200
        await sandbox.inject(refuse_code=20003)
        assert (await sandbox.create())[0] == 401
        assert (await sandbox.look_up())[0] == 401
        assert await sandbox.get("/messages") == []

    async def test_seconds_per_call_do_not_make_calls_wait_for_each_other(self, sandbox: Sandbox) -> None:
        await sandbox.inject(seconds_per_call=0.2)
        began = time.monotonic()
        answers = await asyncio.gather(*[sandbox.create() for _ in range(50)])
        assert {status for status, _ in answers} == {201}
        assert 0.2 <= time.monotonic() - began < 2


class TestReceipts:
    async def report(self, sandbox: Sandbox, application: Application, **faults: object) -> None:
        await sandbox.inject(**faults)
        assert (await sandbox.create(StatusCallback=application.url + "/"))[0] == 201

    async def test_lost_receipts_never_come_and_the_text_is_delivered(
        self, sandbox: Sandbox, application: Application
    ) -> None:
        await self.report(sandbox, application, receipts_lost=1)
        await asyncio.sleep(0.2)
        assert application.received == []
        assert [text["status"] for text in await sandbox.get("/messages")] == ["delivered"]

    async def test_duplicated_receipts_come_twice(self, sandbox: Sandbox, application: Application) -> None:
        await self.report(sandbox, application, receipts_duplicated=1)
        await until(lambda: len(application.received) == 4)
        assert sorted(application.statuses) == ["delivered", "delivered", "sent", "sent"]

    async def test_reordered_receipts_tell_sent_after_delivered(
        self, sandbox: Sandbox, application: Application
    ) -> None:
        await self.report(sandbox, application, receipts_reordered=1)
        await until(lambda: len(application.received) == 2)
        assert application.statuses == ["delivered", "sent"]

    async def test_delayed_receipts_come_later(self, sandbox: Sandbox, application: Application) -> None:
        await self.report(sandbox, application, receipts_delayed_s=0.3)
        await asyncio.sleep(0.2)
        assert application.received == []
        await until(lambda: application.statuses == ["sent", "delivered"])

    async def test_forged_receipts_lie_under_a_signature_that_does_not_hold(
        self, sandbox: Sandbox, application: Application
    ) -> None:
        await self.report(sandbox, application, receipts_forged=1)
        await until(lambda: len(application.received) == 4)
        told = sorted(zip(application.statuses, application.genuine, strict=True))
        assert told == [
            ("delivered", True),
            ("sent", True),
            ("undelivered", False),
            ("undelivered", False),
        ]
