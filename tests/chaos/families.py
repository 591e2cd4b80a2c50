"""Families that text back while everything breaks: the gateway brings each text until it is taken, now and then twice.

It is as a webhook address with `#rc=…&rp=all` has it: the same MessageSid again after a broken connection or a 5xx.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from random import Random
from uuid import UUID

import aiohttp
from twilio.request_validator import RequestValidator

from tests.chaos.ledger import Family

BALANCE, STOP = "SALDO", "STOP"
PATH = "/hooks/twilio/inbound"
BROUGHT_WITHIN_S = 120.0
BROUGHT_TWICE = 0.3


class NotBrought(Exception):
    """A text that the service did not take for two minutes."""


class Phones:
    """What families write, on its way to the service's public URL."""

    def __init__(self, url: str, session: aiohttp.ClientSession, rng: Random, *, auth_token: str, number: str) -> None:
        self._url = url + PATH
        self._session = session
        self._rng = rng
        self._signer = RequestValidator(auth_token)
        self._number = number

    async def ask_balance(self, family: Family) -> None:
        family.questions += 1
        await self._write(family, BALANCE)

    async def stop(self, family: Family) -> None:
        await self._write(family, STOP)
        family.stopped_at = time.time()

    async def _write(self, family: Family, body: str) -> None:
        sid = f"SM{UUID(int=self._rng.getrandbits(128)).hex}"
        form = {"MessageSid": sid, "SmsSid": sid, "From": family.phone or "", "To": self._number, "Body": body}
        headers = {"X-Twilio-Signature": self._signer.compute_signature(self._url, form)}
        times = 2 if self._rng.random() < BROUGHT_TWICE else 1
        await asyncio.gather(*(self._bring(form, headers) for _ in range(times)))

    async def _bring(self, form: Mapping[str, str], headers: Mapping[str, str]) -> None:
        gives_up_at = time.monotonic() + BROUGHT_WITHIN_S
        timeout = aiohttp.ClientTimeout(total=10)
        while time.monotonic() < gives_up_at:
            try:
                async with self._session.post(self._url, data=form, headers=headers, timeout=timeout) as answer:
                    if answer.status == 200:
                        return
            except (aiohttp.ClientError, TimeoutError):
                pass
            await asyncio.sleep(self._rng.uniform(0.05, 0.3))
        raise NotBrought(f"a text from a family was not taken for {BROUGHT_WITHIN_S:.0f} s")
