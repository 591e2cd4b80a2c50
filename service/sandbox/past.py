"""What the demo's organiser and providers did in the days before it was started, so that its pages have something on.

Told once for a data folder, over HTTP as their systems would, by days counted back from the start: so it is the same
each time, and doing it again changes nothing. The texts go out, to the sandbox's phones. What is longer ago than that
is in `months`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from service.crypto import Keys
from service.db import Pool, transaction
from service.organisers.operations import find_organiser
from service.sandbox.client import Answer, Client, expect
from service.sandbox.sample import CLEANING, COUNTY, COUPLE_THERAPY, HOME_HELP
from service.vouchers import operations as vouchers

Json = Mapping[str, Any]
AT_ONCE = 8
LOOK_S = 0.1
DELIVERED_WITHIN_S = 2.0
LANDLINE = "+358400030006"  # the sandbox's phone network brings no text there: somebody has to look at it

HOME_HELP_VOUCHERS, THERAPY_VOUCHERS, CLEANING_VOUCHERS = 8, 2, 2
FAMILIES = 10
_INITIALS = ("M. V.", "A. H.", "T. L.", "S. N.", "E. R.", "J. B.", "K. S.", "L. M.", "P. K.", "H. T.", "R. A.")
_WORKERS = ("Leena Lehto", "Anna Aalto", "Sari Sund")
_MUNICIPALITIES = ("Leppälahti", "Kuusijärvi", "Pihlajaniemi")
_LENGTHS = (90, 120, 60, 105)  # of visits, in minutes
_UNDER_WAY = frozenset({"pending", "sending", "accepted", "sent"})


@dataclass(frozen=True, slots=True)
class PastVisit:
    """One visit, by a company's system; the key says which visit it is."""

    key: str
    body: Json


@dataclass(frozen=True, slots=True)
class PastVoucher:
    """A decision and the visits on it. `is_other` is the provider: the sample's second one, not its first."""

    decision: Json
    visits: Sequence[PastVisit]
    is_other: bool


@dataclass(frozen=True, slots=True)
class Granted:
    """A voucher that is there now, with the debits on it."""

    voucher_id: UUID
    code: str
    debits: Sequence[str]


@dataclass(frozen=True, slots=True)
class Teller:
    """How the past gets in: the two companies' clients, and the database for what families read off their phones."""

    first: Client
    other: Client
    pool: Pool
    keys: Keys


def past_vouchers(day: date) -> Sequence[PastVoucher]:
    """Everything that was granted and charged, the same for the same day."""
    counts = (
        (HOME_HELP, HOME_HELP_VOUCHERS),
        (COUPLE_THERAPY, THERAPY_VOUCHERS),
        (CLEANING, CLEANING_VOUCHERS),
    )
    programmes = [programme for programme, count in counts for _ in range(count)]
    return [_past_voucher(day, number, programme) for number, programme in enumerate(programmes)]


def _past_voucher(day: date, number: int, programme: str) -> PastVoucher:
    starts_on = day - timedelta(days=7 + number * 5 % 6)
    ends_on = starts_on + timedelta(days=(19, 90, 120, 180)[number % 4])
    granted, visits = {HOME_HELP: (1440, 2), COUPLE_THERAPY: (8, 1), CLEANING: (40_000, 2)}[programme]
    decision: dict[str, Any] = {
        "decision_ref": f"KP-{day:%y%m%d}-{number + 1:02}",
        "programme": programme,
        "status": "provisional" if number % 5 == 0 else "confirmed",
        "client_ref": f"perhe-{day:%y%m%d}-{number % FAMILIES + 1:02}",  # two families have two vouchers
        "beneficiary": _beneficiary(number % FAMILIES),
        "granted": granted,
        "valid_from": starts_on.isoformat(),
        "valid_to": ends_on.isoformat(),
    }
    if programme == HOME_HELP:
        decision["weekly"] = {"visits": 2}
    is_other = programme == CLEANING or (programme == HOME_HELP and number % 4 == 3)
    made = [_visit(decision, programme, number, turn, day=day) for turn in range(visits)]
    return PastVoucher(decision, made, is_other)


def _beneficiary(family: int) -> Json:
    known: dict[str, Any] = {
        "language": ("fi", "fi", "sv", "fi", "en")[family % 5],
        "initials": _INITIALS[family % len(_INITIALS)],
        "municipality": _MUNICIPALITIES[family % len(_MUNICIPALITIES)],
    }
    if family == 7:
        return {**known, "phone": LANDLINE}
    if family % 6 == 4:
        return {**known, "email": f"perhe{family:02}@posti.example"}
    return {**known, "phone": f"+3584055502{family:02}"}


def _visit(decision: Json, programme: str, number: int, turn: int, *, day: date) -> PastVisit:
    """One every few days from the beginning of the voucher on, never on the day of the start itself."""
    on = date.fromisoformat(decision["valid_from"]) + timedelta(days=1 + turn * 5)
    body: dict[str, Any] = {"service_date": on.isoformat(), "reference": f"lasku {on:%y%m%d}-{number + 1:02}"}
    if programme == HOME_HELP:
        minutes, hour = _LENGTHS[(number + turn) % 4], 8 + (number * 3 + turn * 2) % 8
        hours, rest = divmod(minutes, 60)
        body["starts_at"] = f"{on}T{hour:02}:00"
        body["ends_at"] = f"{on}T{hour + hours:02}:{rest:02}"
        body["task_type"] = ("lastenhoito", "ruoanlaitto", "siivous")[(number + turn) % 3]
        body["worker"] = _WORKERS[(number + turn) % len(_WORKERS)]
    else:
        body["amount"] = 1 if programme == COUPLE_THERAPY else 5_500 + number % 4 * 750
    assert on < day, "nobody charges a visit of tomorrow"
    return PastVisit(f"{decision['decision_ref']}-{turn + 1}", body)


async def tell_past(teller: Teller, day: date) -> None:
    """Grant, charge, take back, hold, dispute and suspend, and wait a few seconds until the texts are delivered.

    Idempotent for the same day. Raises StepFailed when something is refused.
    """
    past = past_vouchers(day)
    granted = await _gather([partial(_tell_voucher, teller, each) for each in past])
    await _tell_exceptions(teller, past, granted, day)
    deadline, waiting = time.monotonic() + DELIVERED_WITHIN_S, list(granted)
    while waiting and time.monotonic() < deadline:
        if await _are_texts_under_way(teller, waiting[-1]):
            await asyncio.sleep(LOOK_S)
        else:
            waiting.pop()


async def _gather(calls: Sequence[Callable[[], Awaitable[Any]]]) -> list[Any]:
    """All, a few at a time: the story waits for it."""
    places = asyncio.Semaphore(AT_ONCE)

    async def in_its_place(call: Callable[[], Awaitable[Any]]) -> Any:
        async with places:
            return await call()

    return list(await asyncio.gather(*map(in_its_place, calls)))


async def _tell_voucher(teller: Teller, past: PastVoucher) -> Granted:
    answer = await teller.first.as_organiser("POST", "/v1/decisions", past.decision)
    voucher_id = UUID(_accepted("a decision", answer)["voucher_id"])
    code = await _read_code(teller, voucher_id)
    client, debits = teller.other if past.is_other else teller.first, []
    for visit in past.visits:
        charged = await client.as_provider("POST", "/v1/debits", {**visit.body, "code": code}, key=visit.key)
        debits.append(_accepted(f"the visit {visit.key}", charged)["debit_id"])
    return Granted(voucher_id, code, debits)


async def _read_code(teller: Teller, voucher_id: UUID) -> str:
    """As the family reads it in its text, without waiting for the text."""
    async with transaction(teller.pool) as conn:
        organiser_id = (await find_organiser(conn, COUNTY)).organiser_id
        voucher = await vouchers.find_voucher(conn, organiser_id=organiser_id, voucher_id=voucher_id)
        fields = await vouchers.secret_fields(conn, teller.keys, [(organiser_id, voucher.code_id)])
    return fields[voucher.code_id]["code"]


async def _tell_exceptions(teller: Teller, past: Sequence[PastVoucher], granted: Sequence[Granted], day: date) -> None:
    """What does not go as planned in such weeks."""
    by_first = [each for told, each in zip(past, granted, strict=True) if not told.is_other]
    for each in by_first[:3]:
        path, body = f"/v1/debits/{each.debits[-1]}/reverse", {"reason": "Käynti peruuntui."}
        _accepted("a reversal", await teller.first.as_provider("POST", path, body, key=f"back-{each.debits[-1]}"))
    hold = {"code": by_first[3].code, "amount": 90, "service_date": (day + timedelta(days=1)).isoformat()}
    _accepted(
        "a hold", await teller.first.as_provider("POST", "/v1/holds", hold, key=f"booked-{by_first[3].voucher_id}")
    )
    disputed, suspended = by_first[4].debits[0], by_first[5].voucher_id
    path, body = f"/v1/debits/{disputed}/dispute", {"reason": "Perhe soitti: käynti oli tunnin lyhyempi."}
    _accepted("a dispute", await teller.first.as_organiser("POST", path, body, key=f"disputed-{disputed}"))
    path, body = f"/v1/vouchers/{suspended}/suspend", {"reason": "Perhe muuttaa, osoite selvitetään."}
    _accepted("a suspension", await teller.first.as_organiser("POST", path, body, key=f"suspended-{suspended}"))


def _accepted(what: str, answer: Answer) -> Any:
    expect(answer.status in (200, 201), f"{what} was refused: {answer.status} {answer.content.decode()}")
    return answer.json


async def _are_texts_under_way(teller: Teller, granted: Granted) -> bool:
    answer = await teller.first.as_organiser("GET", f"/v1/vouchers/{granted.voucher_id}/messages")
    messages = _accepted("a look", answer)["messages"]
    # Nobody confirms the delivery of a mail: it is sent, and that is all there is to know.
    ends = {"sms": _UNDER_WAY, "email": _UNDER_WAY - {"sent"}}
    return any(message["state"] in ends[message["channel"]] for message in messages)
