"""The story that the demo plays: a decision becomes a text message, and the code in it pays for a visit.

Each step is a small function that shows on the terminal what the people in it see, and checks it. A step gets what the
steps before it found out, and hands on what it found out itself. Over HTTP alone, as anybody's script could.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from rich.console import Console

from service.money import Unit, format_amount
from service.sandbox.client import Answer, Client, StepFailed, World, expect, open_client, wait_for
from service.sandbox.sample import COUPLE_THERAPY, HOME_HELP
from service.sandbox.screen import Screen

PHONE = "+358405550123"
EMAIL = "familjen.berg@posti.example"
GRANTED_MINUTES = 12 * 60
VISIT_MINUTES = 90
SESSIONS = 5
VALID_DAYS = 120
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
    debit_key: str = ""
    debit: Answer | None = None
    left: int = 0


async def post_decision(scene: Scene) -> Scene:
    """The caseworker has the family on the phone and decides: home help, twice a week."""
    texts_before = frozenset(text["sid"] for text in await _texts(scene))
    decision = _decision(
        f"KP-{scene.run}",
        HOME_HELP,
        granted=GRANTED_MINUTES,
        weekly={"visits": 2},
        beneficiary={"phone": "040 555 0123", "language": "fi", "initials": "A. K.", "municipality": "Leppälahti"},
    )
    scene.screen.sent("the case system", "POST", "/v1/decisions", decision)
    answer = await scene.client.as_organiser("POST", "/v1/decisions", decision)
    decided_at = time.time()
    scene.screen.answered(answer.status, _chosen(answer, "voucher_id", "state", "message_id", "message_state"))
    _expect_granted(answer)
    again = await scene.client.as_organiser("POST", "/v1/decisions", decision)
    scene.screen.say(
        "  The system's network hiccups and it posts the same decision again: the same voucher, no second text."
    )
    expect(again.json["voucher_id"] == answer.json["voucher_id"], "the same decision made another voucher")
    expect(again.json["message_id"] == answer.json["message_id"], "the same decision made another message")
    expect(not CODE.search(answer.content.decode()), "the answer holds a code")
    return replace(
        scene,
        texts_before=texts_before,
        decided_at=decided_at,
        voucher_id=answer.json["voucher_id"],
        message_id=answer.json["message_id"],
    )


async def read_text(scene: Scene) -> Scene:
    """The family's phone, still on the line with the caseworker, beeps."""
    text = await _new_text(scene, scene.texts_before)
    _show_text(scene, text)
    code = _code_in(text["body"])
    expect(text["encoding"] == "GSM-7" and text["parts"] == 1, "the text is not one SMS of GSM-7")
    for part in ("Kotipalvelu", format_amount(GRANTED_MINUTES, Unit.MINUTES, "fi"), "014 555 0101"):
        expect(part in text["body"], f"the text does not say “{part}”")
    return replace(scene, sid=text["sid"], code=code)


async def see_delivered(scene: Scene) -> Scene:
    """The caseworker sees that it has arrived."""
    message = await _message_in_state(scene, scene.message_id, "delivered")
    path = f"/v1/vouchers/{scene.voucher_id}/messages"
    scene.screen.sent("the caseworker's screen", "GET", path.replace(scene.voucher_id, "{id}"), None)
    scene.screen.lines(_timeline(message))
    seconds = _seconds(message["delivered_at"]) - _seconds(message["created_at"])
    scene.screen.say(f"  From the decision to the confirmed delivery: {seconds:.2f} s.")
    texts = [text for text in await _texts(scene) if text["sid"] not in scene.texts_before]
    expect(len(texts) == 1, f"{len(texts)} texts came for one decision")
    return scene


async def read_mail(scene: Scene) -> Scene:
    """Another family wants e-mail, in Swedish: couple therapy."""
    before = {mail["id"] for mail in await _mails(scene)}
    decision = _decision(
        f"PT-{scene.run}",
        COUPLE_THERAPY,
        granted=SESSIONS,
        weekly=None,
        beneficiary={"email": EMAIL, "language": "sv", "initials": "L. B.", "municipality": "Leppälahti"},
    )
    answer = await scene.client.as_organiser("POST", "/v1/decisions", decision)
    _expect_granted(answer)

    async def look() -> Json | None:
        return next((mail for mail in await _mails(scene) if mail["id"] not in before), None)

    mail = await wait_for("the mail", look)
    images = [part for part in mail["attachments"] if part["content_type"] == "image/png" and part["content_id"]]
    expect(images, "the mail has no inline picture")
    picture = await scene.client.sandbox("GET", f"/mail/{mail['id']}/images/{images[0]['content_id']}")
    scene.screen.mail(
        sender=mail["from"], recipient=EMAIL, subject=mail["subject"], text=mail["text"], qr_png=picture.content
    )
    _code_in(mail["text"])
    expect(mail["html"], "the mail has no HTML")
    expect(format_amount(SESSIONS, Unit.SESSIONS, "sv") in mail["text"], "the mail does not say what was granted")
    return scene


async def validate_code(scene: Scene) -> Scene:
    """The next morning the helper is at the door, and the family reads the code out."""
    answer = await _validate(scene, scene.code.replace(" ", "-"))
    scene.screen.answered(
        answer.status, _chosen(answer, "usable", "programme_name", "available", "valid_to", "initials", "municipality")
    )
    expect(answer.status == 200 and answer.json["usable"], "the code is not usable")
    expect(answer.json["available"] == GRANTED_MINUTES, "not everything is left")
    return scene


async def debit_visit(scene: Scene) -> Scene:
    """After the visit the provider charges it."""
    key = f"visit-{scene.run}"
    answer = await _debit(scene, amount=VISIT_MINUTES, key=key)
    scene.screen.answered(answer.status, _chosen(answer, "debit_id", "amount", "unit", "service_date", "available"))
    expect(answer.status == 201, f"expected 201, got {answer.status}")
    left = GRANTED_MINUTES - VISIT_MINUTES
    seen = await _validate(scene, scene.code)
    expect(answer.json["available"] == left == seen.json["available"], "what is left does not add up")
    scene.screen.say(f"  Left: {format_amount(left, Unit.MINUTES, 'fi')}.")
    return replace(scene, debit_key=key, debit=answer, left=left)


async def send_again(scene: Scene) -> Scene:
    """The family has deleted the text, and rings the caseworker: it comes again, with the same code."""
    deleted = await scene.client.sandbox("DELETE", f"/messages/{scene.sid}")
    expect(deleted.status == 200, "the text could not be deleted from the phone")
    before = frozenset(text["sid"] for text in await _texts(scene))
    path = f"/v1/vouchers/{scene.voucher_id}/resend"
    body = {"reason": "Perhe poisti viestin puhelimesta"}
    scene.screen.sent("the caseworker's screen", "POST", path.replace(scene.voucher_id, "{id}"), body)
    answer = await scene.client.as_organiser("POST", path, body, key=f"resend-{scene.run}")
    scene.screen.answered(answer.status, _chosen(answer, "message_id", "code_last_four", "available"))
    expect(answer.status == 200, f"expected 200, got {answer.status}")
    text = await _new_text(scene, before)
    _show_text(scene, text)
    expect(_code_in(text["body"]) == scene.code, "another code came")
    expect(answer.json["message_id"] != scene.message_id, "the old message was named")
    seen = await _validate(scene, scene.code)
    expect(seen.json["available"] == scene.left, "sending again changed what is left")
    return scene


async def mistype_code(scene: Scene) -> Scene:
    """Two digits change places on the provider's keyboard."""
    answer = await _validate(scene, _swap_two_digits(scene.code))
    _show_problem(scene, answer, status=400, code="code_check_digit")
    return scene


async def overspend(scene: Scene) -> Scene:
    """Somebody charges more than is left."""
    answer = await _debit(scene, amount=scene.left + 15, key=f"too-much-{scene.run}")
    _show_problem(scene, answer, status=422, code="insufficient_value")
    expect(answer.json["available"] == scene.left, "the answer does not say what is left")
    return scene


async def repeat_request(scene: Scene) -> Scene:
    """The provider's system is not sure whether its charge went through, and repeats it."""
    assert scene.debit is not None
    again = await _debit(scene, amount=VISIT_MINUTES, key=scene.debit_key)
    scene.screen.answered(again.status, _chosen(again, "debit_id", "amount", "available"))
    expect(again.content == scene.debit.content, "the repeat was not answered byte for byte like the first")
    seen = await _validate(scene, scene.code)
    expect(seen.json["available"] == scene.left, "the repeat was charged again")
    scene.screen.say(
        "  Byte for byte the first answer, and nothing more was charged. Another request under the same key:"
    )
    other = await _debit(scene, amount=VISIT_MINUTES + 15, key=scene.debit_key)
    _show_problem(scene, other, status=422, code="idempotency_key_reused")
    return scene


async def reverse_debit(scene: Scene) -> Scene:
    """It was the wrong family: the provider takes the charge back."""
    assert scene.debit is not None
    path = f"/v1/debits/{scene.debit.json['debit_id']}/reverse"
    body = {"reason": "Väärä asiakas"}
    scene.screen.sent("the provider's system", "POST", "/v1/debits/{id}/reverse", body)
    answer = await scene.client.as_provider("POST", path, body, key=f"reverse-{scene.run}")
    scene.screen.answered(answer.status, _chosen(answer, "reversal_id", "amount", "available"))
    expect(answer.status == 201, f"expected 201, got {answer.status}")
    seen = await _validate(scene, scene.code)
    expect(answer.json["available"] == seen.json["available"] == GRANTED_MINUTES, "not everything came back")
    return scene


Step = Callable[[Scene], Awaitable[Scene]]

STEPS: tuple[tuple[str, Step], ...] = (
    ("A caseworker's system posts a decision", post_decision),
    ("The family's phone shows the text", read_text),
    ("Delivered", see_delivered),
    ("A second family gets an e-mail with a QR code", read_mail),
    ("The provider validates the code", validate_code),
    ("The provider debits a visit and sees what is left", debit_visit),
    ("The family deletes the text and gets it again", send_again),
    ("A mistyped code", mistype_code),
    ("An overspend", overspend),
    ("A repeated request", repeat_request),
    ("A reversal", reverse_debit),
)


async def play(world: World, console: Console) -> str | None:
    """Play every step until one does not come out as it should; returns that step's title, or None."""
    screen = Screen(console)
    async with open_client(world) as client:
        scene = Scene(client=client, screen=screen, run=secrets.token_hex(4).upper())
        for number, (title, step) in enumerate(STEPS, start=1):
            screen.title(number, title)
            screen.say(step.__doc__ or "")
            try:
                scene = await step(scene)
            except StepFailed as failure:
                screen.failed(title, str(failure))
            except (KeyError, TypeError, ValueError) as error:
                screen.failed(title, f"an answer of another shape than expected ({error!r})")
            else:
                screen.passed()
                continue
            screen.end(f"The story failed at step {number}: {title}.", is_good=False)
            return title
    screen.end(f"The story is told: all {len(STEPS)} steps came out as they should.", is_good=True)
    return None


def _decision(ref: str, programme: str, *, granted: int, weekly: Json | None, beneficiary: Json) -> Json:
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


async def _texts(scene: Scene) -> list[Json]:
    answer = await scene.client.sandbox("GET", "/messages", to=PHONE)
    texts: list[Json] = answer.json
    return texts


async def _mails(scene: Scene) -> list[Json]:
    answer = await scene.client.sandbox("GET", "/mail", to=EMAIL)
    mails: list[Json] = answer.json
    return mails


async def _new_text(scene: Scene, before: frozenset[str]) -> Json:
    async def look() -> Json | None:
        return next((text for text in await _texts(scene) if text["sid"] not in before), None)

    return await wait_for("the text", look)


async def _message_in_state(scene: Scene, message_id: str, state: str) -> Json:
    async def look() -> Json | None:
        answer = await scene.client.as_organiser("GET", f"/v1/vouchers/{scene.voucher_id}/messages")
        messages: list[Json] = answer.json["messages"]
        return next((each for each in messages if each["message_id"] == message_id and each["state"] == state), None)

    return await wait_for(f"the message's state {state}", look)


async def _validate(scene: Scene, code: str) -> Answer:
    scene.screen.sent("the provider's system", "POST", "/v1/validate", {"code": code})
    return await scene.client.as_provider("POST", "/v1/validate", {"code": code})


async def _debit(scene: Scene, *, amount: int, key: str) -> Answer:
    body = {"code": scene.code, "amount": amount, "reference": f"lasku {scene.run}"}
    scene.screen.sent("the provider's system", "POST", "/v1/debits", {**body, "Idempotency-Key": key})
    return await scene.client.as_provider("POST", "/v1/debits", body, key=key)


def _show_text(scene: Scene, text: Json) -> None:
    seconds = _seconds(text["at"]) - scene.decided_at
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


def _show_problem(scene: Scene, answer: Answer, *, status: int, code: str) -> None:
    scene.screen.answered(answer.status, _chosen(answer, "code", "detail", "next_step"))
    expect(answer.status == status, f"expected {status}, got {answer.status}")
    expect(answer.json["code"] == code, f"expected {code}, got {answer.json['code']}")


def _timeline(message: Json) -> list[str]:
    """The message's story as the service tells it to a caseworker."""
    lines = [message["told"]]
    for attempt in message["attempts"]:
        lines.append(f"– {attempt['told']}")
        lines += [f"  – {receipt['told']}" for receipt in attempt["receipts"]]
    return lines


def _expect_granted(answer: Answer) -> None:
    # 200: the connection broke before the answer to an earlier try came.
    expect(answer.status in (200, 201), f"expected 201, got {answer.status}: {answer.content.decode()}")


def _chosen(answer: Answer, *names: str) -> Json:
    return {name: answer.json[name] for name in names if name in answer.json}


def _code_in(text: str) -> str:
    found = CODE.search(text)
    expect(found, "there is no code in it")
    assert found is not None
    return found.group()


def _swap_two_digits(code: str) -> str:
    digits = code.replace(" ", "")
    at = next(index for index in range(1, len(digits) - 1) if digits[index] != digits[index + 1])
    return digits[:at] + digits[at + 1] + digits[at] + digits[at + 2 :]


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()
