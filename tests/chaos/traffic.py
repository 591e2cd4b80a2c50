"""Callers under load: a case system that posts decisions and resends, and providers who charge.

Each repeats its request, same key and same body, until it is answered; now and then two send the same at once.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import aiohttp

from service.sandbox.client import World
from service.sandbox.sample import HOME_HELP
from tests.chaos.families import NotBrought, Phones
from tests.chaos.ledger import Charge, Family, Json, Ledger

CODE = re.compile(r"\b[1-9]\d{3} \d{4} \d{4}\b")
HELSINKI = ZoneInfo("Europe/Helsinki")
ANSWER_WITHIN_S = 120.0
CALL_TIMEOUT_S = 10.0
PAUSE_S = 0.1
GRANTED = 720
STEP = 15
RIVALS = 0.2  # share of requests that are sent twice at once
NEWEST = 40  # families that are charged
RESENDS = 0.15  # share of families that ask for their text again
WITH_OTHER_CONTACT = 0.7
ASKING, STOPPING = 0.2, 0.05  # that text SALDO, and STOP


class NotAnswered(Exception):
    """No answer for two minutes; the text says to what."""


@dataclass(frozen=True)
class Answer:
    status: int
    content: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.content)


@dataclass(frozen=True)
class Load:
    """What callers do while a fault is in force."""

    decisions_per_s: float = 10.0
    emails: float = 0.15  # share of families with an e-mail address and no phone
    chargers: int = 3
    longest_s: float = 0.2  # that each of them rests
    phones: tuple[str, ...] = ()  # used first


class Callers:
    """Over one session; `ledger` holds what they were answered."""

    def __init__(
        self, world: World, phones: Phones, session: aiohttp.ClientSession, rng: Random, ledger: Ledger
    ) -> None:
        self._world = world
        self._phones = phones
        self._session = session
        self._rng = rng
        self._ledger = ledger
        self._run = f"{rng.randrange(16**6):06x}"
        self._numbers = rng.sample(range(10_000_000), 200_000)
        self._count = 0
        self._stopped: defaultdict[str, list[Family]] = defaultdict(list)

    async def work(self, fault: str, load: Load, *, seconds: float) -> None:
        """Load the service for so long, and return when everything that was asked has been answered."""
        ends_at = time.monotonic() + seconds
        phones = list(load.phones)
        tasks = [asyncio.create_task(self._charge_on(fault, load, ends_at)) for _ in range(load.chargers)]
        next_at = time.monotonic()
        while next_at < ends_at:
            tasks.append(asyncio.create_task(self._decide(fault, load, phones.pop() if phones else None)))
            next_at += self._rng.expovariate(load.decisions_per_s)
            await asyncio.sleep(max(0.0, next_at - time.monotonic()))
        for done in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(done, NotAnswered | NotBrought):
                self._ledger.surprises.append((fault, str(done)))
            elif isinstance(done, BaseException):
                raise done

    async def decide(self, fault: str, *, phone: str | None = None, email: str | None = None) -> Family:
        """Post one decision until it is answered."""
        self._count += 1
        decision = self._decision(phone=phone, email=email)
        answers = await self._ask(fault, "organiser", "/v1/decisions", decision)
        if any(answer.status not in (200, 201) for answer in answers):
            raise AssertionError(
                f"a decision was answered {[answer.status for answer in answers]}: {answers[0].content!r}"
            )
        first = answers[0].json
        if any(answer.json["message_id"] != first["message_id"] for answer in answers):
            self._ledger.surprises.append((fault, "one decision, two messages"))
        family = Family(fault, decision, first["voucher_id"], [first["message_id"]])
        self._ledger.add(family)
        return family

    def new_phone(self) -> str:
        return f"+35840{self._numbers.pop():07d}"

    def new_email(self) -> str:
        return f"canary-{self._numbers.pop():08x}@posti.example"

    async def texts(self, phone: str) -> list[Json]:
        async with self._session.get(f"{self._world.sandbox_url}/messages", params={"to": phone}) as response:
            found: list[Json] = await response.json()
            return found

    async def get(self, owner: str, path: str) -> Answer:
        """A read, repeated until it is answered 200."""
        answer = await self._until_answered("", "GET", owner, path, None, None)
        assert answer.status == 200, answer
        return answer

    async def repeat(self, charge: Charge) -> Answer:
        """The same request again, later."""
        return await self._until_answered("", "POST", "provider", charge.path, charge.body, charge.key)

    async def _decide(self, fault: str, load: Load, phone: str | None) -> None:
        if phone is None and self._rng.random() < load.emails:
            await self.decide(fault, email=self.new_email())
            return
        # Whoever cannot be reached by text has another contact, if not always.
        email = self.new_email() if phone is not None and self._rng.random() < WITH_OTHER_CONTACT else None
        family = await self.decide(fault, phone=phone or self.new_phone(), email=email)
        if phone is None and self._rng.random() < RESENDS:
            await asyncio.sleep(self._rng.uniform(0, 1))
            await self._resend(family)
        if self._rng.random() < ASKING:
            await asyncio.sleep(self._rng.uniform(0, 2))
            await self._phones.ask_balance(family)
        if self._rng.random() < STOPPING:
            await asyncio.sleep(self._rng.uniform(0, 2))
            await self._phones.stop(family)
            self._stopped[fault].append(family)

    async def _resend(self, family: Family) -> None:
        key, path = f"again-{family.voucher_id}", f"/v1/vouchers/{family.voucher_id}/resend"
        answers = await self._ask(family.fault, "organiser", path, {"reason": "Viesti katosi"}, key=key)
        if any(answer.content != answers[0].content or answer.status != 200 for answer in answers):
            self._ledger.surprises.append((family.fault, f"a resend was answered {[a.status for a in answers]}"))
        family.message_ids.append(answers[0].json["message_id"])

    async def _charge_on(self, fault: str, load: Load, ends_at: float) -> None:
        """Charge families of this fault one after the other, as their texts come in."""
        while time.monotonic() < ends_at:
            newest = self._ledger.by_fault[fault][-NEWEST:]  # and those who are told nothing of it any more
            families = [family for family in (*newest, *self._stopped[fault]) if family.phone]
            family = self._rng.choice(families) if families else None
            if family is None or not await self._has_code(family):
                await asyncio.sleep(0.05)
                continue
            await self._charge(family)
            await asyncio.sleep(self._rng.uniform(0, load.longest_s))

    async def _has_code(self, family: Family) -> bool:
        if family.code is None and family.phone:
            texts = await self.texts(family.phone)
            found = CODE.search(texts[0]["body"]) if texts else None
            family.code = found.group() if found else None
        return family.code is not None

    async def _charge(self, family: Family) -> None:
        number = len(family.charges)
        debits = family.debits
        key = f"{self._run}-{family.voucher_id}-{number}-{self._rng.randrange(10**9)}"
        if debits and self._rng.random() < 0.1:
            debit = self._rng.choice(debits)
            path, body = f"/v1/debits/{debit.answer['debit_id']}/reverse", {"reason": "Väärä asiakas"}
        else:
            amount = STEP * self._rng.randint(1, 16)
            path, body = "/v1/debits", {"code": family.code, "amount": amount, "reference": f"lasku {key[-9:]}"}
        answers = await self._ask(family.fault, "provider", path, body, key=key)
        if any(answer.content != answers[0].content or answer.status != answers[0].status for answer in answers):
            self._ledger.surprises.append((family.fault, "rivals with one key got two answers"))
        first = answers[0]
        family.charges.append(Charge(path, key, body, first.status, first.content, first.json))

    async def _ask(self, fault: str, owner: str, path: str, body: Json, *, key: str | None = None) -> list[Answer]:
        times = 2 if self._rng.random() < RIVALS else 1
        return await asyncio.gather(
            *(self._until_answered(fault, "POST", owner, path, body, key) for _ in range(times))
        )

    async def _until_answered(
        self, fault: str, method: str, owner: str, path: str, body: Json | None, key: str | None
    ) -> Answer:
        gives_up_at = time.monotonic() + ANSWER_WITHIN_S
        while time.monotonic() < gives_up_at:
            answer = await self._once(method, owner, path, body, key)
            if answer is not None and answer.status == 500:
                self._ledger.surprises.append((fault, f"{method} {path.split('/')[2]} was answered 500"))
            if answer is not None and not _means_try_again(answer):
                return answer
            self._ledger.tried_again[fault] += 1
            await asyncio.sleep(PAUSE_S * (0.5 + self._rng.random()))
        raise NotAnswered(f"{method} {path.split('/')[2]} was not answered for {ANSWER_WITHIN_S:.0f} s")

    async def _once(self, method: str, owner: str, path: str, body: Json | None, key: str | None) -> Answer | None:
        bearer = self._world.organiser_key if owner == "organiser" else self._world.provider_key
        headers: Mapping[str, str] = {"Authorization": f"Bearer {bearer}", "Accept-Language": "fi"}
        if key is not None:
            headers = {**headers, "Idempotency-Key": key}
        url = self._world.base_url + path
        timeout = aiohttp.ClientTimeout(total=CALL_TIMEOUT_S)
        try:
            async with self._session.request(method, url, json=body, headers=headers, timeout=timeout) as response:
                return Answer(response.status, await response.read())
        except (aiohttp.ClientError, TimeoutError):
            return None

    def _decision(self, *, phone: str | None, email: str | None) -> Json:
        today = datetime.now(HELSINKI).date()
        ref = f"{self._run}-{self._count}"
        beneficiary: Json = {"language": "fi", "initials": "A. K."}
        beneficiary |= {"phone": phone} if phone else {}
        beneficiary |= {"email": email} if email else {}
        return {
            "decision_ref": ref,
            "programme": HOME_HELP,
            "status": "confirmed",
            "client_ref": f"perhe-{ref}",
            "beneficiary": beneficiary,
            "granted": GRANTED,
            "valid_from": today.isoformat(),
            "valid_to": (today + timedelta(days=60)).isoformat(),
        }


def _means_try_again(answer: Answer) -> bool:
    return answer.status >= 500 or (answer.status == 409 and answer.json["code"] == "request_in_flight")
