"""A town: a whole installation at work, with the sandbox's phones at the other end, for tests of what people text."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from twilio.request_validator import RequestValidator

from service.sandbox.sample import COUNTY
from service.workers.dispatcher import Dispatcher
from tests.installations import Installation, install, settings_for, take_port
from tests.sandbox.desk import ACCOUNT, FAMILY, TOKEN, Sandbox, running_sandbox


@dataclass
class Town:
    """An installation at work, and the phones and mailboxes of its families."""

    here: Installation
    sandbox: Sandbox
    public_url: str
    dispatcher: Dispatcher

    async def text(self, body: str, *, sender: str = FAMILY) -> None:
        status, answer = await self.sandbox.post("/inbound", {"from": sender, "body": body})
        assert (status, answer["status"]) == (200, 200), answer
        assert answer["body"].endswith("<Response/>")

    async def hook(self, form: dict[str, str], *, url: str | None = None, token: str = TOKEN) -> int:
        signature = RequestValidator(token).compute_signature(url or f"{self.public_url}/hooks/twilio/inbound", form)
        answer = await self.here.client.post(
            "/hooks/twilio/inbound", data=form, headers={"X-Twilio-Signature": signature}
        )
        return answer.status

    async def texts(self, phone: str = FAMILY) -> list[str]:
        """Oldest first."""
        texts = await self.sandbox.get(f"/messages?to=%2B{phone[1:]}")
        return [text["body"] for text in sorted(texts, key=itemgetter("at"))]

    async def wait_for_texts(self, count: int, phone: str = FAMILY) -> list[str]:
        async with asyncio.timeout(10):
            while len(texts := await self.texts(phone)) < count:
                await self._breathe()
        return texts

    async def quiet_texts(self, phone: str = FAMILY) -> list[str]:
        """The texts when everything that was queued has been handed over."""
        async with asyncio.timeout(10):
            while await self.value("SELECT count(*) FROM messages WHERE state IN ('pending', 'sending')"):
                await self._breathe()
        return await self.texts(phone)

    async def value(self, query: str, *arguments: Any) -> Any:
        return await self.here.resources.pool.fetchval(query, *arguments)

    async def effects(self) -> list[str]:
        rows = await self.here.resources.pool.fetch("SELECT effect FROM inbound_texts ORDER BY received_at")
        return [row["effect"] for row in rows]

    async def decide(self, owner: str = COUNTY, **beneficiary: Any) -> dict[str, Any]:
        family = {"phone": FAMILY, "language": "fi", **beneficiary}
        return await self.here.decide(owner, beneficiary=family)

    async def message_in_state(self, voucher_id: str, state: str, **wanted: Any) -> dict[str, Any]:
        async with asyncio.timeout(10):
            while True:
                answer = await self.here.call(COUNTY, "GET", f"/v1/vouchers/{voucher_id}/messages")
                for message in (await answer.json())["messages"]:
                    if message["state"] == state and all(message[name] == value for name, value in wanted.items()):
                        return dict(message)
                await self._breathe()

    async def _breathe(self) -> None:
        """The dispatcher is called by whoever waits: looking by itself so often would cost more than what is tested."""
        self.dispatcher.wake()
        await asyncio.sleep(0.02)


@asynccontextmanager
async def delivering(here: Installation) -> AsyncIterator[Dispatcher]:
    stop, dispatcher = asyncio.Event(), Dispatcher(here.resources.delivery)
    running = asyncio.create_task(dispatcher.run(stop))
    try:
        yield dispatcher
    finally:
        stop.set()
        await asyncio.wait_for(running, 20)


@asynccontextmanager
async def running_town(database_url: str, redis_url: str, folder: Path, **changes: Any) -> AsyncIterator[Town]:
    """A town over an empty database; `changes` to its settings."""
    listener, port = take_port()
    public_url = f"http://127.0.0.1:{port}"
    pace = {"sent_after_s": 0.01, "delivered_after_s": 0.02}
    async with AsyncExitStack() as phones:
        sandbox = await phones.enter_async_context(
            running_sandbox(folder / "data", inbound_url=f"{public_url}/hooks/twilio/inbound", **pace)
        )
        settings = settings_for(
            database_url,
            redis_url,
            public_url=public_url,
            twilio_account_sid=ACCOUNT,
            twilio_auth_token=SecretStr(TOKEN),
            twilio_base_url=sandbox.url,
            smtp_port=sandbox.smtp_port,
            smtp_tls="none",
            poll_interval_s=0.25,
            quiet_from=0,
            quiet_to=0,
            **changes,
        )
        async with install(settings, listener=listener) as here, delivering(here) as dispatcher:
            yield Town(here, sandbox, public_url, dispatcher)
            await phones.aclose()  # nobody calls an application that closes
