"""The story that the demo plays: a decision becomes a text message, and the code in it pays for a visit.

Each step is a small function that shows on the terminal what the people in it see, and checks it. A step gets what the
steps before it found out, and hands on what it found out itself. Over HTTP alone, as anybody's script could.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

from rich.console import Console

from service.money import Unit, format_amount
from service.sandbox.client import Answer, StepFailed, World, expect, open_client, wait_for
from service.sandbox.sample import COUPLE_THERAPY, HOME_HELP
from service.sandbox.scene import (
    CODE,
    EMAIL,
    LINK,
    PHONE,
    Json,
    Scene,
    chosen,
    code_in,
    debit,
    expect_granted,
    mails_of,
    make_decision,
    seconds_of,
    show_problem,
    show_text,
    sids_of,
    swap_two_digits,
    texts_of,
    told_lines,
    validate,
    wait_for_state,
    wait_for_text,
)
from service.sandbox.screen import Screen

GRANTED_MINUTES = 12 * 60
VISIT_MINUTES = 90
SESSIONS = 5
WORKER = "Anna Aalto"
OTHER_WORKER = "Bea Björk"
WORKER_PHONE = "+358407000001"


async def post_decision(scene: Scene) -> Scene:
    """The caseworker has the family on the phone and decides: home help, twice a week."""
    texts_before = await sids_of(scene)
    decision = make_decision(
        f"KP-{scene.run}",
        HOME_HELP,
        granted=GRANTED_MINUTES,
        weekly={"visits": 2},
        beneficiary={"phone": "040 555 0123", "language": "fi", "initials": "A. K.", "municipality": "Leppälahti"},
    )
    scene.screen.sent("the case system", "POST", "/v1/decisions", decision)
    answer = await scene.client.as_organiser("POST", "/v1/decisions", decision)
    decided_at = time.time()
    scene.screen.answered(answer.status, chosen(answer, "voucher_id", "state", "message_id", "message_state"))
    expect_granted(answer)
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
    text = await wait_for_text(scene, scene.texts_before)
    show_text(scene, text)
    code = code_in(text["body"])
    expect(text["encoding"] == "GSM-7" and text["parts"] == 1, "the text is not one SMS of GSM-7")
    for part in ("Kotipalvelu", format_amount(GRANTED_MINUTES, Unit.MINUTES, "fi"), "014 555 0101"):
        expect(part in text["body"], f"the text does not say “{part}”")
    return replace(scene, sid=text["sid"], code=code)


async def see_delivered(scene: Scene) -> Scene:
    """The caseworker sees that it has arrived."""
    message = await wait_for_state(scene, scene.message_id, "delivered")
    path = f"/v1/vouchers/{scene.voucher_id}/messages"
    scene.screen.sent("the caseworker's screen", "GET", path.replace(scene.voucher_id, "{id}"), None)
    scene.screen.lines(told_lines(message))
    seconds = seconds_of(message["delivered_at"]) - seconds_of(message["created_at"])
    scene.screen.say(f"  From the decision to the confirmed delivery: {seconds:.2f} s.")
    texts = [text for text in await texts_of(scene) if text["sid"] not in scene.texts_before]
    expect(len(texts) == 1, f"{len(texts)} texts came for one decision")
    return scene


async def read_mail(scene: Scene) -> Scene:
    """Another family wants e-mail, in Swedish: couple therapy."""
    before = {mail["id"] for mail in await mails_of(scene)}
    decision = make_decision(
        f"PT-{scene.run}",
        COUPLE_THERAPY,
        granted=SESSIONS,
        weekly=None,
        beneficiary={"email": EMAIL, "language": "sv", "initials": "L. B.", "municipality": "Leppälahti"},
    )
    answer = await scene.client.as_organiser("POST", "/v1/decisions", decision)
    expect_granted(answer)

    async def look() -> Json | None:
        return next((mail for mail in await mails_of(scene) if mail["id"] not in before), None)

    mail = await wait_for("the mail", look)
    images = [part for part in mail["attachments"] if part["content_type"] == "image/png" and part["content_id"]]
    expect(images, "the mail has no inline picture")
    picture = await scene.client.sandbox("GET", f"/mail/{mail['id']}/images/{images[0]['content_id']}")
    scene.screen.mail(
        sender=mail["from"], recipient=EMAIL, subject=mail["subject"], text=mail["text"], qr_png=picture.content
    )
    mailed_code, link = code_in(mail["text"]), LINK.search(mail["text"])
    expect(mail["html"], "the mail has no HTML")
    expect(link is not None and link[0] in mail["html"], "the mail has no link to the family's page")
    assert link is not None
    expect(format_amount(SESSIONS, Unit.SESSIONS, "sv") in mail["text"], "the mail does not say what was granted")
    return replace(scene, mailed_code=mailed_code, mailed_link=link[0])


async def open_link(scene: Scene) -> Scene:
    """No password is asked for: the family sees its code, what is left, and every visit."""
    scene.screen.lines([f"> {scene.mailed_link}"])
    answer = await scene.client.page(scene.mailed_link)
    expect(answer.status == 200, f"expected 200, got {answer.status}")
    page = answer.content.decode()
    left = format_amount(SESSIONS, Unit.SESSIONS, "sv")
    expect(scene.mailed_code in page and left in page, "the page does not show the code and what is left")
    kept, changed, last = scene.mailed_link[:-2], scene.mailed_link[-2], scene.mailed_link[-1]
    forged = await scene.client.page(f"{kept}{'B' if changed == 'A' else 'A'}{last}")
    expect(forged.status == 404, "a link with one other letter opens something")
    expect(scene.mailed_code not in forged.content.decode(), "a link with one other letter shows the code")
    scene.screen.say(
        f"  On the page: {left} left. With one letter of the link changed, nothing but “ask for a new one”."
    )
    return scene


async def validate_code(scene: Scene) -> Scene:
    """The next morning the helper is at the door, and the family reads the code out."""
    answer = await validate(scene, scene.code.replace(" ", "-"))
    scene.screen.answered(
        answer.status, chosen(answer, "usable", "programme_name", "available", "valid_to", "initials", "municipality")
    )
    expect(answer.status == 200 and answer.json["usable"], "the code is not usable")
    expect(answer.json["available"] == GRANTED_MINUTES, "not everything is left")
    return scene


async def debit_visit(scene: Scene) -> Scene:
    """After the visit the provider, who asks a little more than the voucher is worth, charges it."""
    key, texts_before = f"visit-{scene.run}", await sids_of(scene)
    answer = await debit(scene, amount=VISIT_MINUTES, key=key)
    pays = ("voucher_pays_cents", "family_pays_cents")
    scene.screen.answered(answer.status, chosen(answer, "debit_id", "amount", "service_date", *pays, "available"))
    expect(answer.status == 201, f"expected 201, got {answer.status}")
    expect(all(answer.json[cents] > 0 for cents in pays), "the answer does not say who pays what")
    left = GRANTED_MINUTES - VISIT_MINUTES
    seen = await validate(scene, scene.code)
    expect(answer.json["available"] == left == seen.json["available"], "what is left does not add up")
    scene.screen.say(f"  Left: {format_amount(left, Unit.MINUTES, 'fi')}.")
    return replace(scene, texts_before=texts_before, debit_key=key, debit=answer, left=left)


async def read_receipt(scene: Scene) -> Scene:
    """A moment later the family's phone tells who charged what, and what is left."""
    text = await wait_for_text(scene, scene.texts_before)
    show_text(scene, text)
    for amount in (VISIT_MINUTES, scene.left):
        in_words = format_amount(amount, Unit.MINUTES, "fi")
        expect(in_words in text["body"], f"the receipt does not say “{in_words}”")
    expect(not CODE.search(text["body"]), "the receipt holds a code")
    expect(text["encoding"] == "GSM-7" and text["parts"] == 1, "the receipt is not one SMS of GSM-7")
    return scene


async def send_again(scene: Scene) -> Scene:
    """The family has deleted the text, and rings the caseworker: it comes again, with the same code."""
    deleted = await scene.client.sandbox("DELETE", f"/messages/{scene.sid}")
    expect(deleted.status == 200, "the text could not be deleted from the phone")
    before = await sids_of(scene)
    path = f"/v1/vouchers/{scene.voucher_id}/resend"
    body = {"reason": "Perhe poisti viestin puhelimesta"}
    scene.screen.sent("the caseworker's screen", "POST", path.replace(scene.voucher_id, "{id}"), body)
    answer = await scene.client.as_organiser("POST", path, body, key=f"resend-{scene.run}")
    scene.screen.answered(answer.status, chosen(answer, "message_id", "code_last_four", "available"))
    expect(answer.status == 200, f"expected 200, got {answer.status}")
    text = await wait_for_text(scene, before)
    show_text(scene, text)
    expect(code_in(text["body"]) == scene.code, "another code came")
    expect(answer.json["message_id"] != scene.message_id, "the old message was named")
    seen = await validate(scene, scene.code)
    expect(seen.json["available"] == scene.left, "sending again changed what is left")
    return scene


async def text_balance(scene: Scene) -> Scene:
    """The family wonders what is left, and answers one of the texts."""
    before = await sids_of(scene)
    asked = f"Saldo? {scene.run}"  # the same words three times in ten minutes would be taken for a machine's
    scene.screen.lines([f"> {asked}"])
    answer = await scene.client.text_from(PHONE, asked)
    expect(answer.json["status"] == 200, "the text was not taken")
    text = await wait_for_text(scene, before)
    show_text(scene, text)
    left = format_amount(scene.left, Unit.MINUTES, "fi")
    expect(f"..{scene.code[-4:]}: {left}" in text["body"], "the answer does not say what is left")
    expect(scene.code not in text["body"], "the answer holds the code")
    return scene


async def mistype_code(scene: Scene) -> Scene:
    """Two digits change places on the provider's keyboard."""
    answer = await validate(scene, swap_two_digits(scene.code))
    show_problem(scene, answer, status=400, code="code_check_digit")
    return scene


async def overspend(scene: Scene) -> Scene:
    """Somebody charges more than is left."""
    answer = await debit(scene, amount=scene.left + 15, key=f"too-much-{scene.run}")
    show_problem(scene, answer, status=422, code="insufficient_value")
    expect(answer.json["available"] == scene.left, "the answer does not say what is left")
    return scene


async def repeat_request(scene: Scene) -> Scene:
    """The provider's system is not sure whether its charge went through, and repeats it."""
    assert scene.debit is not None
    again = await debit(scene, amount=VISIT_MINUTES, key=scene.debit_key)
    scene.screen.answered(again.status, chosen(again, "debit_id", "amount", "available"))
    expect(again.content == scene.debit.content, "the repeat was not answered byte for byte like the first")
    seen = await validate(scene, scene.code)
    expect(seen.json["available"] == scene.left, "the repeat was charged again")
    scene.screen.say(
        "  Byte for byte the first answer, and nothing more was charged. Another request under the same key:"
    )
    other = await debit(scene, amount=VISIT_MINUTES + 15, key=scene.debit_key)
    show_problem(scene, other, status=422, code="idempotency_key_reused")
    return scene


async def reverse_debit(scene: Scene) -> Scene:
    """It was the wrong family: the provider takes the charge back."""
    assert scene.debit is not None
    path = f"/v1/debits/{scene.debit.json['debit_id']}/reverse"
    body, texts_before = {"reason": "Väärä asiakas"}, await sids_of(scene)
    scene.screen.sent("the provider's system", "POST", "/v1/debits/{id}/reverse", body)
    answer = await scene.client.as_provider("POST", path, body, key=f"reverse-{scene.run}")
    scene.screen.answered(answer.status, chosen(answer, "reversal_id", "amount", "available"))
    expect(answer.status == 201, f"expected 201, got {answer.status}")
    seen = await validate(scene, scene.code)
    expect(answer.json["available"] == seen.json["available"] == GRANTED_MINUTES, "not everything came back")
    text = await wait_for_text(scene, texts_before)
    show_text(scene, text)
    left = format_amount(GRANTED_MINUTES, Unit.MINUTES, "fi")
    expect(left in text["body"], f"the family is not told that it has {left} again")
    return scene


async def charge_by_text(scene: Scene) -> Scene:
    """Another helper has an old phone and no internet: a text with the code, and the answer to a question, charge."""
    known = await scene.client.as_provider("GET", "/v1/workers")
    for worker in known.json["workers"]:  # of an earlier start with the same data
        if worker["name"] == WORKER:
            await scene.client.as_provider("POST", f"/v1/workers/{worker['worker_id']}/remove", {})
    registered = {"name": WORKER, "phone": WORKER_PHONE, "language": "fi"}
    scene.screen.sent("the provider's office", "POST", "/v1/workers", registered)
    answer = await scene.client.as_provider("POST", "/v1/workers", registered)
    scene.screen.answered(answer.status, chosen(answer, "name", "phone_hint", "state"))
    expect(answer.status == 201, f"expected 201, got {answer.status}")

    question = await _text_as_worker(scene, f"{scene.code} 1,5")
    number = next((word.strip(".") for word in question["body"].split() if re.fullmatch(r"\d{4}\.?", word)), "")
    expect(bool(number), "the question holds no number to answer with")
    left, texts_before = GRANTED_MINUTES - VISIT_MINUTES, await sids_of(scene)
    unchanged = await validate(scene, scene.code)
    expect(unchanged.json["available"] == GRANTED_MINUTES, "the sender's number alone has charged")
    done = await _text_as_worker(scene, number)
    expect(format_amount(left, Unit.MINUTES, "fi") in done["body"], "the answer does not say what is left")
    charged = await validate(scene, scene.code)
    expect(charged.json["available"] == left, "the visit was not charged once")
    return await _read_receipt(replace(scene, left=left), texts_before)


async def _text_as_worker(scene: Scene, body: str) -> Json:
    """Send a text from the worker's phone, and show what comes back."""
    before = await sids_of(scene, WORKER_PHONE)
    scene.screen.lines([f"> {body}"])
    taken = await scene.client.text_from(WORKER_PHONE, body)
    expect(taken.json["status"] == 200, "the text was not taken")
    text = await wait_for_text(scene, before, WORKER_PHONE)
    show_text(scene, text)
    return text


async def hold_visit(scene: Scene) -> Scene:
    """The week's second visit is booked: its value is kept, and the week is full until it is charged."""
    key, texts_before = f"booked-{scene.run}", await sids_of(scene)
    # As long as the one that was texted: who comes tells them apart, or the service would ask whether it is the same.
    booked = {"code": scene.code, "amount": VISIT_MINUTES, "worker": OTHER_WORKER}
    held = await _as_provider(scene, "/v1/holds", booked, key=key)
    scene.screen.answered(held.status, chosen(held, "hold_id", "state", "amount", "lapses_at", "available"))
    expect(held.status == 201, f"expected 201, got {held.status}")
    full = await debit(scene, amount=15, key=f"third-{scene.run}")
    show_problem(scene, full, status=422, code="weekly_visits_used")
    expect(full.json["next_allowed_date"] > full.json["service_date"], "the next possible day is not told")
    path = f"/v1/holds/{held.json['hold_id']}/capture"
    shorter = {"amount": VISIT_MINUTES - 30}
    captured = await _as_provider(scene, path, shorter, key=f"made-{scene.run}", shown="/v1/holds/{id}/capture")
    scene.screen.answered(captured.status, chosen(captured, "debit_id", "amount", "family_pays_cents", "available"))
    left = scene.left - VISIT_MINUTES + 30
    expect(captured.json["available"] == left, "the rest of the hold is not free again")
    return await _read_receipt(replace(scene, left=left), texts_before)


async def _read_receipt(scene: Scene, texts_before: frozenset[str]) -> Scene:
    """The family hears of every charge; wait until it has."""
    text = await wait_for_text(scene, texts_before)
    show_text(scene, text)
    expect(format_amount(scene.left, Unit.MINUTES, "fi") in text["body"], "the family is not told what is left")
    return scene


async def _as_provider(scene: Scene, path: str, body: Json, *, key: str, shown: str | None = None) -> Answer:
    scene.screen.sent("the provider's system", "POST", shown or path, {**body, "Idempotency-Key": key})
    return await scene.client.as_provider("POST", path, body, key=key)


Step = Callable[[Scene], Awaitable[Scene]]

STEPS: tuple[tuple[str, Step], ...] = (
    ("A caseworker's system posts a decision", post_decision),
    ("The family's phone shows the text", read_text),
    ("Delivered", see_delivered),
    ("A second family gets an e-mail with a QR code", read_mail),
    ("That family opens the link in its mail", open_link),
    ("The provider validates the code", validate_code),
    ("The provider debits a visit and sees what is left", debit_visit),
    ("The family is told of the visit", read_receipt),
    ("The family deletes the text and gets it again", send_again),
    ("The family texts SALDO", text_balance),
    ("A mistyped code", mistype_code),
    ("An overspend", overspend),
    ("A repeated request", repeat_request),
    ("A reversal", reverse_debit),
    ("A worker with an old phone charges by text", charge_by_text),
    ("A booked visit keeps its value and its place in the week", hold_visit),
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
