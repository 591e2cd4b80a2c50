"""What became of everything: judged by the sandbox's record of phones and inboxes, and by what callers are answered."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

import aiohttp

from service.db import connect
from tests.chaos.leaks import canaries_of, find_leaks
from tests.chaos.ledger import Charge, Family, Json, Ledger
from tests.chaos.stack import Stack
from tests.chaos.told import wrong_after_stop, wrong_attention, wrong_messages, wrong_receipts
from tests.chaos.traffic import CODE, GRANTED, Callers

CONVERGE_WITHIN_S = 120.0
AT_ONCE = 16
SECONDS = len("2026-01-01T00:00:00")
CENTS = ("voucher_pays_cents", "family_pays_cents")

# Only to know when to look; what is judged is what can be seen from outside.
UNSETTLED = """
SELECT count(*) FROM messages
 WHERE state IN ('pending', 'sending', 'unknown', 'accepted') OR (state = 'sent' AND channel = 'sms')
    OR (state IN ('undelivered', 'failed') AND due_at IS NOT NULL)
"""


@dataclass
class Verdict:
    """What was found of one fault's families."""

    texts: int = 0
    mails: int = 0
    charges: int = 0
    lost: int = 0
    repeated: int = 0
    stuck: int = 0
    to_person: int = 0
    mails_repeated: int = 0  # after an outcome that nobody can find out; with the same Message-ID
    mails_repeated_untimed: int = 0  # … and whose sender did not write down that it had waited in vain for an answer
    violations: list[str] = field(default_factory=list)


@dataclass
class Evidence:
    texts: Mapping[str, Sequence[Json]]  # by phone
    mails: Mapping[str, Sequence[Json]]  # by address
    history: Mapping[str, Sequence[Json]]  # a provider's own list of debits, by debit id
    attention: Mapping[str, Sequence[Json]]  # what needs a person, by voucher


async def converge(stack: Stack, *, within_s: float = CONVERGE_WITHIN_S) -> float:
    """Wait until nothing is under way any more, for so long at most; returns how long it took."""
    started = time.monotonic()
    conn = await connect(stack.database_url, application_name="chaos")
    try:
        while await conn.fetchval(UNSETTLED) and time.monotonic() - started < within_s:  # noqa: ASYNC110
            await asyncio.sleep(0.2)
    finally:
        await conn.close()
    return time.monotonic() - started


async def judge(stack: Stack, callers: Callers, ledger: Ledger) -> tuple[dict[str, Verdict], list[str]]:
    """A verdict for each fault, and what is wrong beyond any one of them. Call it after `converge`."""
    evidence = await _collect(stack, callers)
    verdicts: dict[str, Verdict] = defaultdict(Verdict)
    turns = asyncio.Semaphore(AT_ONCE)

    async def look_at(family: Family) -> None:
        async with turns:
            await _judge_family(callers, family, evidence, verdicts[family.fault])

    await asyncio.gather(*(look_at(family) for family in ledger.families))
    for fault, surprise in ledger.surprises:
        verdicts[fault].violations.append(surprise)
    texts = [text["body"] for of_phone in evidence.texts.values() for text in of_phone]
    general = await find_leaks(stack, canaries_of(ledger, stack, texts))
    return dict(verdicts), general + _debits_nobody_knows(ledger, evidence)


async def _collect(stack: Stack, callers: Callers) -> Evidence:
    texts, mails = defaultdict(list), defaultdict(list)
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{stack.world.sandbox_url}/messages") as response:
            for text in await response.json():
                texts[text["to"]].append(text)
        async with session.get(f"{stack.world.sandbox_url}/mail") as response:
            for mail in await response.json():
                mails[mail["to"][0]].append(mail)
    history, attention = defaultdict(list), defaultdict(list)
    async for item in _pages(callers, "provider", "/v1/debits", "debits"):
        history[item["debit_id"]].append(item)
    async for item in _pages(callers, "organiser", "/v1/attention", "items"):
        attention[item["voucher_id"]].append(item)
    return Evidence(texts, mails, history, attention)


async def _pages(callers: Callers, owner: str, path: str, name: str) -> AsyncIterator[Json]:
    cursor = ""
    while True:
        page = (await callers.get(owner, f"{path}?limit=200{cursor}")).json
        for item in page[name]:
            yield item
        if page["next_cursor"] is None:
            return
        cursor = f"&cursor={page['next_cursor']}"


async def _judge_family(callers: Callers, family: Family, evidence: Evidence, verdict: Verdict) -> None:
    voucher, timeline = await asyncio.gather(
        callers.get("organiser", f"/v1/vouchers/{family.voucher_id}"),
        callers.get("organiser", f"/v1/vouchers/{family.voucher_id}/messages"),
    )
    messages: list[Json] = timeline.json["messages"]
    verdict.violations += wrong_messages(family, messages)
    verdict.violations += wrong_attention(messages, evidence.attention.get(family.voucher_id, ()))
    elsewhere = {message["fallback_of"] for message in messages}
    verdict.stuck += sum(not _has_ended(message, elsewhere) for message in messages)
    verdict.to_person += sum(message["state"] == "escalated" for message in messages)
    if family.phone:
        texts = evidence.texts.get(family.phone, ())
        by_text = [message for message in messages if message["channel"] == "sms"]
        _judge_texts(by_text, texts, elsewhere, verdict)
        verdict.violations += wrong_receipts(family, texts)
        verdict.violations += wrong_after_stop(family, by_text)
    by_mail = [message for message in messages if message["channel"] == "email"]
    _judge_mails(by_mail, evidence.mails.get(family.email or "", ()), verdict)
    _judge_money(family, voucher.json, evidence, verdict)
    for charge in family.charges:
        again = await callers.repeat(charge)
        if (again.status, again.content) != (charge.status, charge.content):
            verdict.violations.append(f"a replay was answered otherwise: {charge.status}, then {again.status}")


def _has_ended(message: Json, elsewhere: set[str | None]) -> bool:
    if message["channel"] == "email" and message["state"] == "sent":
        return True  # a mail server's 250 is the last we hear
    if message["state"] in ("undelivered", "failed"):
        return message["message_id"] in elsewhere  # it goes on by the other channel
    return message["state"] in ("delivered", "escalated", "suppressed")


def _judge_texts(messages: Sequence[Json], texts: Sequence[Json], elsewhere: set[str | None], verdict: Verdict) -> None:
    """One text for each message, whatever the service believes; and it believes what is true."""
    verdict.texts += len(texts)
    arrived = [text for text in texts if text["status"] == "delivered"]
    wanted = [m for m in messages if m["state"] != "escalated" and m["message_id"] not in elsewhere]
    verdict.lost += max(0, len(wanted) - len(arrived))
    verdict.repeated += max(0, len(texts) - sum(bool(message["attempts"]) for message in messages))
    if len({text["body"] for text in texts if CODE.search(text["body"])}) > 1:
        verdict.violations.append("one voucher, two texts")
    by_sid = {text["sid"]: text for text in texts}
    claimed = Counter(attempt["reference"] for message in messages for attempt in message["attempts"])
    if any(count > 1 for reference, count in claimed.items() if reference is not None):
        verdict.violations.append("two messages claim one text")
    for message in messages:
        for attempt in message["attempts"]:
            text = by_sid.get(attempt["reference"])
            for receipt in attempt["receipts"]:
                if text is None or receipt["status"] not in ("queued", "sending", "sent", text["status"]):
                    verdict.violations.append(f"a false receipt was believed: {receipt['status']}")
        if message["state"] == "escalated" and any(
            by_sid.get(attempt["reference"], {}).get("status") == "delivered" for attempt in message["attempts"]
        ):
            verdict.violations.append("a text that arrived was given to a person")


def _judge_mails(messages: Sequence[Json], mails: Sequence[Json], verdict: Verdict) -> None:
    """At least one mail for each message, and as many more as attempts whose outcome nobody can find out."""
    verdict.mails += len(mails)
    by_id = Counter(mail["message_id"] for mail in mails)
    for message in messages:
        hexadecimal = message["message_id"].replace("-", "")
        count = sum(n for message_id, n in by_id.items() if message_id and hexadecimal in message_id)
        unknown = sum(attempt["outcome"] != "accepted" for attempt in message["attempts"])
        verdict.lost += message["state"] == "sent" and count == 0
        timed_out = sum(attempt["error_code"] == "timeout" for attempt in message["attempts"])
        verdict.mails_repeated += max(0, count - 1)
        verdict.mails_repeated_untimed += max(0, count - 1 - timed_out)
        verdict.repeated += max(0, count - 1 - unknown)
    if len(by_id) > len(messages):
        verdict.violations.append("a mail came again under another Message-ID")


def _judge_money(family: Family, voucher: Json, evidence: Evidence, verdict: Verdict) -> None:
    parts = [voucher[name] for name in ("available", "held", "debited", "expired", "cancelled")]
    if voucher["granted"] != GRANTED or sum(parts) != GRANTED or min(parts) < 0:
        verdict.violations.append(f"the balance does not add up: {parts}")
    debits, reversals = family.debits, family.reversals
    verdict.charges += len(debits) + len(reversals)
    left = sum(charge.answer["amount"] for charge in debits) - sum(charge.answer["amount"] for charge in reversals)
    if voucher["debited"] != left:
        verdict.violations.append(f"{left} was charged, {voucher['debited']} is debited")
    reversed_ids = {charge.path.split("/")[3] for charge in reversals}
    for charge in debits:
        if not _is_there_once(charge, evidence, is_reversed=charge.answer["debit_id"] in reversed_ids):
            verdict.violations.append("an acknowledged debit is not there once, as it was answered")
    if not reversals and not _is_in_one_order(debits):
        verdict.violations.append("what debits left has no order that explains it")


def _is_there_once(charge: Charge, evidence: Evidence, *, is_reversed: bool) -> bool:
    found = evidence.history.get(charge.answer["debit_id"], ())
    if len(found) != 1:
        return False
    shared = found[0].keys() & charge.answer.keys() - {"entered_at"}
    left = dict.fromkeys(CENTS, 0) if is_reversed else {}  # the list tells what is left of them
    same = all(found[0][name] == (charge.answer | left)[name] for name in shared)
    same &= found[0]["entered_at"][:SECONDS] == charge.answer["entered_at"][:SECONDS]  # the answer has whole ones
    is_as_asked = found[0]["amount"] == charge.body["amount"] and found[0]["reference"] == charge.body["reference"]
    return same and is_as_asked and found[0]["state"] == ("reversed" if is_reversed else "captured")


def _is_in_one_order(debits: Sequence[Charge]) -> bool:
    """Without reversals, what is left only falls: sorted by it, each debit explains the next."""
    left = GRANTED
    for charge in sorted(debits, key=lambda charge: -charge.answer["available"]):
        left -= charge.answer["amount"]
        if left != charge.answer["available"]:
            return False
    return True


def _debits_nobody_knows(ledger: Ledger, evidence: Evidence) -> list[str]:
    known = {
        charge.answer["debit_id"]
        for family in ledger.families
        for charge in family.charges
        if charge.is_debit and charge.status == 201
    }
    # Whoever got no answer in time is a violation already; its debit may be there.
    unknown = len(evidence.history.keys() - known)
    return [f"{unknown} debits were charged that nobody was told of"] if unknown else []
