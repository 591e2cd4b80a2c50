"""Carries the phone network's webhooks (status reports and inbound texts) to the application, signed as
Twilio signs.

A report that cannot be brought is tried again as the URL's connection overrides say, and dropped after 15
s, as Twilio does: an application that is down or hangs never holds up the network. Reports are told apart
in the log by the text's sid only; URL, number and body are never logged.

Overrides are Twilio's fragment `#ct=…&rt=…&tt=…&rc=…&rp=…`: connect, read and total time in ms, retries (0–5,
default 1), and what to retry on: `ct` (default: no connection), `rt` (no answer), `5xx`, `4xx`, `all`.
"""

import asyncio
import logging
import time
from collections import deque
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import parse_qsl, quote_plus, urlencode

import aiohttp
from twilio.request_validator import RequestValidator
from yarl import URL

log = logging.getLogger(__name__)

AT_ONCE = 64
WAITING_MAX = 50_000
RETRY_PAUSE_S = 0.1
LIFE_MAX_S = 15.0
_FORM = {"Content-Type": "application/x-www-form-urlencoded; charset=UTF-8"}


@dataclass(frozen=True, slots=True)
class Target:
    """Where a webhook goes: the URL without its fragment, exactly as written, and the overrides in it."""

    url: str
    connect_s: float
    read_s: float
    total_s: float
    retries: int
    retry_on: frozenset[str]


@dataclass(slots=True)
class Webhook:
    """One POST on its way."""

    sid: str
    target: Target
    body: bytes
    signature: str
    born_at: float = field(default_factory=time.monotonic)
    tries: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """What the application answered to a webhook."""

    status: int
    body: str


class ReceiptSender:
    """Posts webhooks, at most AT_ONCE at a time over one shared session."""

    def __init__(self, auth_token: str) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._signer = RequestValidator(auth_token)
        self._forger = RequestValidator(auth_token[::-1] + "-forged")
        self._waiting: deque[Webhook] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self._pauses: set[asyncio.TimerHandle] = set()

    async def open(self) -> None:
        """Open the shared session."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=AT_ONCE + 16),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": "TwilioProxy/1.1", "Accept": "*/*"},
        )

    def post_soon(self, sid: str, url: str, form: dict[str, str], *, is_forged: bool = False) -> None:
        """Queue one webhook and return at once. With too many waiting it is dropped, as a carrier drops
        reports."""
        if len(self._waiting) >= WAITING_MAX:
            log.warning("receipt.dropped sid=%s reason=too_many_waiting", sid)
            return
        self._start(self._signed(sid, url, form, is_forged=is_forged))

    async def post(self, sid: str, url: str, form: dict[str, str]) -> Answer:
        """Post one webhook now, once, and return the answer. Raises aiohttp.ClientError, TimeoutError."""
        return await self._post_once(self._signed(sid, url, form, is_forged=False))

    async def close(self) -> None:
        """Give up what is still on its way."""
        self._waiting.clear()
        for pause in self._pauses:
            pause.cancel()
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    def _signed(self, sid: str, url: str, form: dict[str, str], *, is_forged: bool) -> Webhook:
        target = read_target(url)
        signer = self._forger if is_forged else self._signer
        signature = signer.compute_signature(target.url, form)
        return Webhook(sid, target, urlencode(form, quote_via=_quote).encode(), signature)

    def _start(self, webhook: Webhook) -> None:
        self._waiting.append(webhook)
        if len(self._running) < AT_ONCE:
            task = asyncio.get_running_loop().create_task(self._work())
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _work(self) -> None:
        while self._waiting:
            await self._bring(self._waiting.popleft())

    async def _bring(self, webhook: Webhook) -> None:
        webhook.tries += 1
        try:
            answer = await self._post_once(webhook)
            if answer.status < 400:
                return
            trouble = f"{answer.status // 100}xx"
        except (aiohttp.ConnectionTimeoutError, aiohttp.ClientConnectorError):
            trouble = "ct"
        except (aiohttp.ClientError, TimeoutError):
            trouble = "rt"
        except ValueError:
            trouble = "invalid_url"
        self._retry_or_drop(webhook, trouble)

    def _retry_or_drop(self, webhook: Webhook, trouble: str) -> None:
        target = webhook.target
        pause_s = RETRY_PAUSE_S * 2**webhook.tries
        is_in_time = time.monotonic() + pause_s - webhook.born_at < target.total_s
        if webhook.tries > target.retries or trouble not in target.retry_on or not is_in_time:
            log.info("receipt.dropped sid=%s reason=%s tries=%d", webhook.sid, trouble, webhook.tries)
            return

        def again() -> None:
            self._pauses.discard(timer)
            self._start(webhook)

        timer = asyncio.get_running_loop().call_later(pause_s, again)
        self._pauses.add(timer)

    async def _post_once(self, webhook: Webhook) -> Answer:
        assert self._session is not None, "open() comes first"
        target = webhook.target
        headers = {**_FORM, "X-Twilio-Signature": webhook.signature}
        async with self._session.post(
            URL(target.url, encoded=True),
            data=webhook.body,
            headers=headers,
            allow_redirects=False,
            timeout=_timeout(target.connect_s, target.read_s, target.total_s),
        ) as response:
            return Answer(response.status, (await response.read()).decode(errors="replace"))


# Names, statuses and senders are the same over and over: quoting them was a tenth of the sandbox's work.
_quote = lru_cache(maxsize=8192)(quote_plus)


@lru_cache(maxsize=64)
def _timeout(connect_s: float, read_s: float, total_s: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=total_s, sock_connect=connect_s, sock_read=read_s)


@lru_cache(maxsize=8192)
def read_target(url: str) -> Target:
    """Split a callback URL from its connection overrides. A senseless override counts as absent."""
    plain, _, fragment = url.partition("#")
    given = dict(parse_qsl(fragment))
    retry_on = frozenset((given.get("rp") or "ct").split(","))
    return Target(
        url=plain,
        connect_s=_within(given.get("ct"), 100, 10_000, default=5_000) / 1000,
        read_s=_within(given.get("rt"), 100, 15_000, default=15_000) / 1000,
        total_s=min(_within(given.get("tt"), 100, 15_000, default=15_000) / 1000, LIFE_MAX_S),
        retries=_within(given.get("rc"), 0, 5, default=1),
        retry_on=frozenset(("ct", "rt", "4xx", "5xx")) if "all" in retry_on else retry_on,
    )


def _within(written: str | None, least: int, most: int, *, default: int) -> int:
    if written is None or not (written.isascii() and written.isdigit() and len(written) < 9):
        return default
    return min(max(int(written), least), most)
