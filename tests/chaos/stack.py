"""The whole service on this machine, as processes that can be killed, kept off and started again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import astuple
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp

from service.db import connect, migrate
from service.sandbox import supervisor as supervising
from service.sandbox.client import World
from service.sandbox.demo import _environment
from service.sandbox.home import Home, Ports, choose_port
from service.sandbox.postgres import start_postgres
from service.sandbox.processes import ServerStartError
from service.sandbox.sample import load_keys, load_sample
from service.sandbox.supervisor import PythonProcess, Running, Supervisor
from service.sandbox.valkey import start_valkey
from tests.chaos import pace

READY_TIMEOUT_S = 120.0
LOOK_EVERY_S = 0.05


class Stack:
    """Everything but the callers. Use `running`."""

    def __init__(self, folder: Path, *, mutant: str | None, workers: int) -> None:
        self.home = Home(folder)
        self._ports: Ports = self.home.choose_ports(None)
        self.env: dict[str, str] = {**_environment(self.home, self._ports), **pace.SETTINGS}
        if mutant is not None:
            self.env["CHAOS_MUTANT"] = mutant
        self.workers = ["worker", *(f"worker-{number}" for number in range(2, workers + 1))]
        self.pids: dict[str, int] = {}
        self.world: World
        self._kept_off: set[str] = set()
        self._worker_ports = {"worker": int(self.env["WORKER_PORT"])}
        self._supervisor = Supervisor(note_pid=self.pids.__setitem__)

    @property
    def database_url(self) -> str:
        return self.env["DATABASE_URL"]

    @property
    def redis_url(self) -> str:
        return self.env["REDIS_URL"]

    async def start(self) -> None:
        folder = self.home.folder
        self._keep("postgres", lambda: start_postgres(folder / "postgres", port=self._ports.postgres))
        self._keep("valkey", lambda: start_valkey(folder / "valkey", port=self._ports.valkey))
        self._keep("sandbox", lambda: self.python("sandbox", ["-m", "service.sandbox"]))
        await migrate(self.database_url)
        conn = await connect(self.database_url, application_name="chaos")
        try:
            async with conn.transaction():
                await load_sample(conn)
                keys = await load_keys(conn, None)
        finally:
            await conn.close()
        self.world = World(self.env["PUBLIC_URL"], self.env["TWILIO_BASE_URL"], keys.organiser_key, keys.provider_key)
        self._keep("web", lambda: self.service("web"))
        for name in self.workers:
            self._keep(name, partial(self.worker, name))

    def python(self, name: str, arguments: list[str], env: Mapping[str, str] | None = None) -> PythonProcess:
        log_file = self.home.logs / f"{name}.log"
        return PythonProcess(arguments, env={**self.env, **(env or {})}, log_file=log_file)

    def service(self, name: str, env: Mapping[str, str] | None = None) -> PythonProcess:
        """`web` or `worker`, impatient."""
        return self.python(name, ["-m", "tests.chaos.process", name], env)

    def worker(self, name: str) -> PythonProcess:
        return self.python(name, ["-m", "tests.chaos.process", "worker"], {"WORKER_PORT": str(self.worker_port(name))})

    async def workers_off(self) -> None:
        """kill -9 for all of them, and none is started again."""
        for name in self.workers:
            self.keep_off(name)

    async def workers_on(self) -> None:
        for name in self.workers:
            pid = self.pids[name]
            self.let_on(name)
            await self.run_again(name, pid)

    def worker_port(self, name: str) -> int:
        if name not in self._worker_ports:
            taken = {*astuple(self._ports), *self._worker_ports.values()}
            self._worker_ports[name] = choose_port(None, taken=taken)
        return self._worker_ports[name]

    def kill(self, name: str) -> None:
        """kill -9. It is started again, unless it is kept off."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pids[name], signal.SIGKILL)

    def keep_off(self, name: str) -> None:
        self._kept_off.add(name)
        self.kill(name)

    def let_on(self, name: str) -> None:
        self._kept_off.discard(name)

    async def run_again(self, name: str, killed_pid: int) -> None:
        """Wait until there is another process of that name, and the service can be called."""
        async with asyncio.timeout(READY_TIMEOUT_S):
            while self.pids[name] == killed_pid:  # noqa: ASYNC110 - a callback cannot set an event of a killed process
                await asyncio.sleep(LOOK_EVERY_S)
        if name in ("web", "postgres"):
            await self.be_ready()

    async def be_ready(self, *, with_workers: bool = False) -> None:
        urls = [f"{self.world.sandbox_url}/health", f"{self.world.base_url}/health/ready"]
        if with_workers:
            urls += (f"http://127.0.0.1:{self.worker_port(name)}/metrics" for name in self.workers)
        async with asyncio.timeout(READY_TIMEOUT_S), aiohttp.ClientSession() as session:
            for url in urls:
                while not await _answers_ok(session, url):  # noqa: ASYNC110
                    await asyncio.sleep(LOOK_EVERY_S)

    async def watch(self) -> None:
        await self._supervisor.watch()

    def stop(self) -> None:
        self._supervisor.stop(together=("web", *self.workers))

    def _keep(self, name: str, start: Callable[[], Running]) -> None:
        def begin() -> Running:
            if name in self._kept_off:
                raise ServerStartError("it is kept off")
            return start()

        self._supervisor.start(name, begin)


@asynccontextmanager
async def running(folder: Path, *, mutant: str | None = None, workers: int = 1) -> AsyncIterator[Stack]:
    """A stack that is ready, and whose processes are started again when they die. Call it in the main thread."""
    logging.getLogger(supervising.__name__).setLevel(logging.CRITICAL)  # they die on purpose
    supervising.LONGEST_PAUSE_S = 0.4
    stack = Stack(folder, mutant=mutant, workers=workers)
    watching: asyncio.Task[Any] | None = None
    try:
        await stack.start()
        watching = asyncio.create_task(stack.watch())
        await stack.be_ready()
        yield stack
    finally:
        if watching is not None:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        stack.stop()


async def _answers_ok(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url, timeout=aiohttp.ClientTimeout(total=5)) as answer:
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False
