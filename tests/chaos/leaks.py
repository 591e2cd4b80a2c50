"""I6 from the outside: is anything that only a family or a key's owner may know where others can read it?"""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import redis.asyncio

from tests.chaos.ledger import Ledger
from tests.chaos.stack import Stack
from tests.chaos.traffic import CODE

_DIGITS = re.compile(r"\d{9,}")
_BETWEEN_DIGITS = re.compile(r"(?<=\d)[ .\-\u00a0](?=\d)")
_EMAIL = re.compile(r"canary-[0-9a-f]{8}")
_SUBSCRIBER = 9  # the digits of a Finnish mobile number without 0 and +358


@dataclass
class Canaries:
    """Every code, number, address and key of a run."""

    codes: set[str] = field(default_factory=set)
    phones: set[str] = field(default_factory=set)
    emails: set[str] = field(default_factory=set)
    keys: set[str] = field(default_factory=set)

    def found_in(self, text: str) -> Iterator[str]:
        """The kinds of what is in `text`, once for each occurrence."""
        yield from ("key" for key in self.keys if key in text)
        yield from ("e-mail address" for found in _EMAIL.findall(text) if found in self.emails)
        for digits in (*_DIGITS.findall(text), *_DIGITS.findall(_BETWEEN_DIGITS.sub("", text))):
            for start in range(len(digits) - _SUBSCRIBER + 1):
                if digits[start : start + _SUBSCRIBER] in self.phones:
                    yield "phone number"
                if digits[start : start + 12] in self.codes:
                    yield "code"


def canaries_of(ledger: Ledger, stack: Stack, texts: list[str]) -> Canaries:
    secrets = stack.home.load_secrets()
    return Canaries(
        codes={found.replace(" ", "") for text in texts for found in CODE.findall(text)},
        phones={family.phone[-_SUBSCRIBER:] for family in ledger.families if family.phone},
        emails={family.email.partition("@")[0] for family in ledger.families if family.email},
        keys={
            stack.world.organiser_key,
            stack.world.provider_key,
            *(value for name, value in secrets.items() if name != "TWILIO_ACCOUNT_SID"),
        },
    )


async def find_leaks(stack: Stack, canaries: Canaries) -> list[str]:
    """Each place that holds a canary, and of which kind. Logs, what Valkey holds and held, metrics."""
    leaks = []
    async for place, text in _places(stack):
        leaks += sorted({f"{place} holds a {kind}" for kind in canaries.found_in(text)})
    return leaks


async def _places(stack: Stack) -> AsyncIterator[tuple[str, str]]:
    folder = stack.home.folder
    files: list[Path] = [*folder.rglob("*.log"), *(folder / "valkey").rglob("*.aof")]
    assert {"web.log", "worker.log", "postgres.log", "valkey.log"} <= {file.name for file in files}
    for file in files:
        yield file.name, file.read_text(errors="replace")
    async with contextlib.aclosing(redis.asyncio.Redis.from_url(stack.redis_url)) as client:
        async for key in client.scan_iter():
            yield "Valkey", repr(key) + repr(await client.dump(key))
    async with aiohttp.ClientSession() as session:
        workers = (f"http://127.0.0.1:{stack.worker_port(name)}" for name in stack.workers)
        for url in (stack.world.base_url, *workers):
            async with session.get(f"{url}/metrics") as response:
                assert response.status == 200, url
                yield "/metrics", await response.text()
