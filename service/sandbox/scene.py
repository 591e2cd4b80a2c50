"""What the steps of the demo's story share: what is known so far, and looking at phones, mail and answers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from service.sandbox.client import Answer, Client, expect, wait_for
from service.sandbox.screen import Screen

PHONE = "+358405550123"
EMAIL = "familjen.berg@posti.example"
VALID_DAYS = 120
LINK = re.compile(r"https?://\S+/f/[\w-]+")
CODE = re.compile(r"\b[1-9]\d{3} \d{4} \d{4}\b")
HELSINKI = ZoneInfo("Europe/Helsinki")

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Scene:
    """What is known so far. `run` keeps this run's references apart from any other's over the same data."""

    client: Client
    screen: Screen
    run: str
    texts_before: frozenset[str] = frozenset()
    decided_at: float = 0.0  # seconds of the epoch
    voucher_id: str = ""
    message_id: str = ""
    sid: str = ""
    code: str = ""
    mailed_code: str = ""
    mailed_link: str = ""
    debit_key: str = ""
    debit: Answer | None = None
    left: int = 0


def make_decision(ref: str, programme: str, *, granted: int, weekly: Json | None, beneficiary: Json) -> Json:
    today = datetime.now(HELSINKI).date()
    decision = {
        "decision_ref": ref,
        "programme": programme,
        "status": "provisional",
        "client_ref": f"client-{ref}",
        "beneficiary": beneficiary,
        "granted": granted,
        "valid_from": today.isoformat(),
        "valid_to": (today + timedelta(days=VALID_DAYS)).isoformat(),
    }
    return decision if weekly is None else {**decision, "weekly": weekly}


async def texts_of(scene: Scene, phone: str = PHONE) -> list[Json]:
    answer = await scene.client.sandbox("GET", "/messages", to=phone)
    texts: list[Json] = answer.json
    return texts


async def sids_of(scene: Scene, phone: str = PHONE) -> frozenset[str]:
    """What the phone has now, to tell the next text from."""
    return frozenset(text["sid"] for text in await texts_of(scene, phone))


async def mails_of(scene: Scene) -> list[Json]:
    answer = await scene.client.sandbox("GET", "/mail", to=EMAIL)
    mails: list[Json] = answer.json
    return mails


async def wait_for_text(scene: Scene, before: frozenset[str], phone: str = PHONE) -> Json:
    async def look() -> Json | None:
        return next((text for text in await texts_of(scene, phone) if text["sid"] not in before), None)

    return await wait_for("the text", look)


async def wait_for_state(scene: Scene, message_id: str, state: str) -> Json:
    async def look() -> Json | None:
        answer = await scene.client.as_organiser("GET", f"/v1/vouchers/{scene.voucher_id}/messages")
        messages: list[Json] = answer.json["messages"]
        return next((each for each in messages if each["message_id"] == message_id and each["state"] == state), None)

    return await wait_for(f"the message's state {state}", look)


async def validate(scene: Scene, code: str) -> Answer:
    scene.screen.sent("the provider's system", "POST", "/v1/validate", {"code": code})
    return await scene.client.as_provider("POST", "/v1/validate", {"code": code})


async def debit(scene: Scene, *, amount: int, key: str) -> Answer:
    body = {"code": scene.code, "amount": amount, "reference": f"lasku {scene.run}"}
    scene.screen.sent("the provider's system", "POST", "/v1/debits", {**body, "Idempotency-Key": key})
    return await scene.client.as_provider("POST", "/v1/debits", body, key=key)


def show_text(scene: Scene, text: Json) -> None:
    seconds = seconds_of(text["at"]) - scene.decided_at
    facts = [
        f"from        {text['from']}",
        f"to          {text['to']}",
        f"characters  {len(text['body'])}",
        f"encoding    {text['encoding']}",
        f"parts       {text['parts']}",
    ]
    if not scene.sid:  # the first one, which the decision caused
        facts.append(f"sent        {max(seconds, 0):.2f} s after the decision")
    scene.screen.phone(sender=text["from"], body=text["body"], facts=facts)
    scene.screen.lines([text["body"]])


def show_problem(scene: Scene, answer: Answer, *, status: int, code: str) -> None:
    scene.screen.answered(answer.status, chosen(answer, "code", "detail", "next_step"))
    expect(answer.status == status, f"expected {status}, got {answer.status}")
    expect(answer.json["code"] == code, f"expected {code}, got {answer.json['code']}")


def told_lines(message: Json) -> list[str]:
    """The message's story as the service tells it to a caseworker."""
    lines = [message["told"]]
    for attempt in message["attempts"]:
        lines.append(f"– {attempt['told']}")
        lines += [f"  – {receipt['told']}" for receipt in attempt["receipts"]]
    return lines


def expect_granted(answer: Answer) -> None:
    # 200: the connection broke before the answer to an earlier try came.
    expect(answer.status in (200, 201), f"expected 201, got {answer.status}: {answer.content.decode()}")


def chosen(answer: Answer, *names: str) -> Json:
    return {name: answer.json[name] for name in names if name in answer.json}


def code_in(text: str) -> str:
    found = CODE.search(text)
    expect(found, "there is no code in it")
    assert found is not None
    return found.group()


def swap_two_digits(code: str) -> str:
    digits = code.replace(" ", "")
    at = next(index for index in range(1, len(digits) - 1) if digits[index] != digits[index + 1])
    return digits[:at] + digits[at + 1] + digits[at] + digits[at + 2 :]


def seconds_of(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()
