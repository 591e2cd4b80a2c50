"""The scene of one measurement: its own PostgreSQL (durable), Valkey and sample data, and the real processes on them.

Every measurement gets a fresh folder and a fresh database, so that none inherits another's rows or caches.
"""

from __future__ import annotations

import asyncio
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import service
from service.crypto import Keys
from service.db import Connection, connect, migrate
from service.sandbox.home import Home
from service.sandbox.postgres import Postgres, start_postgres
from service.sandbox.processes import ticks
from service.sandbox.sample import DemoKeys, load_keys, load_sample
from service.sandbox.supervisor import PythonProcess
from service.sandbox.valkey import Valkey, start_valkey
from service.settings import parse_keyring

READY_TIMEOUT_S = 60.0
END_TIMEOUT_S = 600.0

T = TypeVar("T")


class BenchFailed(Exception):
    """What was to be measured did not run, or did not do what it should; the text says what."""


@dataclass
class Stage:
    """Running servers, and what the processes on them are told."""

    home: Home
    postgres: Postgres
    valkey: Valkey
    env: Mapping[str, str]
    api_keys: DemoKeys
    pids: dict[str, int] = field(default_factory=dict)

    @property
    def web_url(self) -> str:
        return self.env["PUBLIC_URL"]

    @property
    def sandbox_url(self) -> str:
        return self.env["TWILIO_BASE_URL"]

    @property
    def database_url(self) -> str:
        return self.env["DATABASE_URL"]

    def open_keys(self) -> Keys:
        """The keys that the processes seal and index with."""
        return Keys.from_keyrings(
            encryption=parse_keyring(self.env["ENCRYPTION_KEYS"]), index=parse_keyring(self.env["INDEX_KEYS"])
        )

    def ask(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Do `work` on a connection of its own."""

        async def run() -> T:
            conn = await connect(self.database_url, application_name="seteli bench", statement_timeout_ms=0)
            try:
                return await work(conn)
            finally:
                await conn.close()

        return asyncio.run(run())

    def execute(self, *statements: str) -> None:
        """Run statements outside any transaction, as VACUUM and CHECKPOINT want it."""

        async def work(conn: Connection) -> None:
            for statement in statements:
                await conn.execute(statement)

        self.ask(work)

    def settle(self) -> None:
        """Statistics for the tables that have rows, and nothing left to write: what a night would have brought.

        Not for the empty ones: autovacuum never comes to those either, and a table known to be empty is scanned whole
        by the plans that sessions keep, long after it has grown.
        """

        async def work(conn: Connection) -> None:
            for row in await conn.fetch("SELECT format('%I', tablename) FROM pg_tables WHERE schemaname = 'public'"):
                if await conn.fetchval(f"SELECT EXISTS (SELECT FROM {row[0]})"):
                    await conn.execute(f"VACUUM ANALYZE {row[0]}")
            await conn.execute("CHECKPOINT")

        self.ask(work)

    @contextmanager
    def running(self, name: str) -> Iterator[None]:
        """The process `web`, `worker` or `sandbox`, from ready until the end of the block; `worker-2` is one more."""
        arguments = ["-m", "service.sandbox"] if name == "sandbox" else ["-m", "service", name.partition("-")[0]]
        with self._process(name, arguments) as process:
            address = {"web": f"{self.web_url}/health/ready", "sandbox": f"{self.sandbox_url}/health"}.get(name)
            if address is not None:
                self._wait_until_ready(name, process, address)
            yield

    def run_to_end(self, name: str, arguments: Sequence[str]) -> float:
        """Run a process of ours to its end; returns the seconds from its start. Raises BenchFailed."""
        started = time.perf_counter()
        with self._process(name, arguments) as process:
            for _ in ticks(END_TIMEOUT_S, every_s=0.005):
                if not process.is_running:
                    break
        elapsed_s = time.perf_counter() - started
        if process.exit_status != 0:
            raise BenchFailed(f"{name} ended with status {process.exit_status}:\n{self.last_lines(name)}")
        return elapsed_s

    def start(self, name: str, arguments: Sequence[str]) -> PythonProcess:
        """Start a process of ours; the caller stops it."""
        process = PythonProcess(arguments, env=self.env, log_file=self.log_file(name))
        self.pids[name] = process.pid
        return process

    @contextmanager
    def _process(self, name: str, arguments: Sequence[str]) -> Iterator[PythonProcess]:
        process = self.start(name, arguments)
        try:
            yield process
        finally:
            process.stop()
            self.pids.pop(name, None)

    def _wait_until_ready(self, name: str, process: PythonProcess, address: str) -> None:
        for _ in ticks(READY_TIMEOUT_S, every_s=0.05):
            if answers_ok(address):
                return
            if not process.is_running:
                break
        raise BenchFailed(f"{name} does not become ready:\n{self.last_lines(name)}")

    def log_file(self, name: str) -> Path:
        return self.home.logs / f"{name}.log"

    def last_lines(self, name: str) -> str:
        path = self.log_file(name)
        lines = path.read_text(errors="replace").splitlines() if path.exists() else []
        return "\n".join(lines[-15:]) or "(its log is empty)"


def answers_ok(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


@contextmanager
def open_stage(folder: Path, *, server: Mapping[str, str] | None = None, **more: str) -> Iterator[Stage]:
    """Everything that a measurement stands on, in `folder`, which is emptied first and removed at the end.

    `server`: settings of PostgreSQL; `more` goes into the environment of the processes. Call it in the main thread:
    children die with their thread.
    """
    shutil.rmtree(folder, ignore_errors=True)
    home = Home(folder)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        postgres = stack.enter_context(start_postgres(folder / "postgres", more_settings=server))
        valkey = stack.enter_context(start_valkey(folder / "valkey"))
        asyncio.run(migrate(postgres.url()))
        env = _environment(home, postgres, valkey) | more
        stage = Stage(home, postgres, valkey, env, api_keys=DemoKeys("", ""))
        stage.api_keys = stage.ask(_load)
        stage.pids |= {"postgres": postgres.pid, "valkey": valkey.pid}
        yield stage


async def _load(conn: Connection) -> DemoKeys:
    async with conn.transaction():
        await load_sample(conn)
        return await load_keys(conn, None)


def _environment(home: Home, postgres: Postgres, valkey: Valkey) -> dict[str, str]:
    """As in production, with the default waits; nothing of our own environment is passed on."""
    ports = home.choose_ports(None)
    sandbox_data = home.folder / "sandbox"
    sandbox_data.mkdir(mode=0o700, exist_ok=True)
    return {
        **home.load_secrets(),
        "DATABASE_URL": postgres.url(),
        "REDIS_URL": valkey.url,
        "PUBLIC_URL": f"http://127.0.0.1:{ports.web}",
        "HOST": "127.0.0.1",
        "PORT": str(ports.web),
        "TWILIO_BASE_URL": f"http://127.0.0.1:{ports.sandbox}",
        "TWILIO_SENDER": "+358457300100",
        "SMTP_HOST": "127.0.0.1",
        "SMTP_PORT": str(ports.sandbox_smtp),
        "SMTP_TLS": "none",  # nothing is mailed here, and the sandbox's certificate is not there before the sandbox
        "EMAIL_SENDER": "Seteli <seteli@kuusiranta.example>",
        "SANDBOX_PORT": str(ports.sandbox),
        "SANDBOX_SMTP_PORT": str(ports.sandbox_smtp),
        "SANDBOX_DATA": str(sandbox_data),
        "PYTHONPATH": str(Path(service.__file__).parent.parent),
        "PYTHONUNBUFFERED": "1",
        "LANG": "C.UTF-8",
    }
