"""The providers of the debit measurement, in a process of their own: `python -m bench.load ORDERS.json`.

Many keep-alive connections, each with one debit under way, as close to bare sockets as Python comes: on a machine
with few processors the load must not take from the service what it is to measure. Prints one JSON object.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import cast

import uvloop

from bench.report import percentile

AMOUNT_MINUTES = 15
END_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class LoadOrders:
    """What the process is told, as JSON in a file: codes must not stand on a command line."""

    host: str
    port: int
    api_key: str
    codes: Sequence[str]
    connections: int
    seconds: float
    run: str  # the idempotency keys of two runs must differ


class Run:
    """Until when to ask, and what was answered."""

    def __init__(self, orders: LoadOrders) -> None:
        self.orders = orders
        self.random = Random(orders.run)
        self.answers: Counter[str] = Counter()
        self.waits_s: list[float] = []
        self.until = 0.0
        self._sent = 0
        self._head = (
            f"POST /v1/debits HTTP/1.1\r\nHost: {orders.host}:{orders.port}\r\n"
            f"Authorization: Bearer {orders.api_key}\r\nContent-Type: application/json\r\n"
        )

    def next_request(self) -> bytes:
        code = self.random.choice(self.orders.codes)
        self._sent += 1
        body = f'{{"code": "{code}", "amount": {AMOUNT_MINUTES}, "reference": "{self.orders.run}-{self._sent:08d}"}}'
        return (
            f"{self._head}Idempotency-Key: {self.orders.run}-{self._sent:08d}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode()


class Connection(asyncio.Protocol):
    """Sends the next debit when the answer to the last one is complete."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._received = b""
        self._asked_at = 0.0
        self._transport: asyncio.Transport | None = None
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own, which is no subclass
        self._ask()

    def data_received(self, data: bytes) -> None:
        received = self._received + data if self._received else data
        head_end = received.find(b"\r\n\r\n")
        if head_end < 0 or len(received) < head_end + 4 + _content_length(received, head_end):
            self._received = received
            return
        self._received = b""
        now = time.perf_counter()
        status = received[9:12]
        self._run.answers["201" if status == b"201" else status.decode()] += 1
        self._run.waits_s.append(now - self._asked_at)
        if now < self._run.until:
            self._ask()
        elif self._transport is not None:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            self._run.answers[type(exc).__name__] += 1
        if not self.closed.done():
            self.closed.set_result(None)

    def _ask(self) -> None:
        assert self._transport is not None
        self._asked_at = time.perf_counter()
        self._transport.write(self._run.next_request())


def _content_length(received: bytes, head_end: int) -> int:
    found = received.find(b"Content-Length: ", 0, head_end)
    return int(received[found + 16 : received.find(b"\r", found)]) if found >= 0 else 0


async def run_load(orders: LoadOrders) -> dict[str, object]:
    """Ask for the given time; every debit that was asked for is answered and counted before this returns."""
    loop = asyncio.get_running_loop()
    run = Run(orders)
    started = time.perf_counter()
    run.until = started + orders.seconds
    connections = [
        (await loop.create_connection(lambda: Connection(run), orders.host, orders.port))[1]
        for _ in range(orders.connections)
    ]
    async with asyncio.timeout(orders.seconds + END_TIMEOUT_S):
        await asyncio.gather(*(connection.closed for connection in connections))
    return {
        "elapsed_s": time.perf_counter() - started,
        "cpu_s": time.process_time(),
        "answers": dict(run.answers),
        "p50_ms": round(1000 * percentile(run.waits_s, 0.50), 2),
        "p99_ms": round(1000 * percentile(run.waits_s, 0.99), 2),
    }


def write_orders(path: Path, orders: LoadOrders) -> None:
    path.touch(mode=0o600)
    path.write_text(json.dumps(asdict(orders)))


if __name__ == "__main__":
    print(json.dumps(uvloop.run(run_load(LoadOrders(**json.loads(Path(sys.argv[1]).read_text()))))))
