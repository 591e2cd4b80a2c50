"""What dies is started again, not too fast, and everything stops in order."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from service.sandbox import supervisor as supervisor_module
from service.sandbox.processes import ServerStartError, command_line
from service.sandbox.supervisor import PythonProcess, Supervisor

FOREVER = ["-c", "import time; time.sleep(600)"]


class Server:
    """Like an embedded server, without one."""

    def __init__(self, name: str, stopped: list[str]) -> None:
        self.pid = 1
        self.is_running = True
        self._name = name
        self._stopped = stopped

    def stop(self) -> None:
        self.is_running = False
        self._stopped.append(self._name)


@pytest.fixture
def pids() -> dict[str, int]:
    return {}


@pytest.fixture
def supervisor(pids: dict[str, int]) -> Iterator[Supervisor]:
    supervisor = Supervisor(note_pid=pids.__setitem__)
    yield supervisor
    supervisor.stop()


@asynccontextmanager
async def watched(supervisor: Supervisor) -> AsyncIterator[None]:
    watching = asyncio.create_task(supervisor.watch())
    try:
        yield
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching


async def until(condition: Callable[[], bool], *, timeout_s: float = 10) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_a_killed_process_is_started_again_and_its_new_pid_noted(
    supervisor: Supervisor, pids: dict[str, int], tmp_path: Path
) -> None:
    supervisor.start("web", lambda: PythonProcess(FOREVER, env={}, log_file=tmp_path / "log"))
    first = pids["web"]
    async with watched(supervisor):
        os.kill(first, signal.SIGKILL)
        await until(lambda: pids["web"] != first)
    supervisor.stop()
    assert not command_line(pids["web"])


async def test_what_dies_at_once_is_started_less_and_less_often(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor_module, "LOOK_EVERY_S", 0.001)
    starts: list[float] = []

    def start() -> Server:
        starts.append(time.monotonic())
        server = Server("web", [])
        server.is_running = False
        return server

    supervisor.start("web", start)
    async with watched(supervisor):
        await until(lambda: len(starts) == 4)
    gaps = [later - earlier for earlier, later in pairwise(starts)]
    assert [gap >= least for gap, least in zip(gaps, (0.2, 0.4, 0.8), strict=True)] == [True] * 3


async def test_a_server_that_does_not_start_again_is_tried_until_it_does(supervisor: Supervisor) -> None:
    servers = [Server("valkey", [])]

    def start() -> Server:
        if len(servers) == 2:
            servers.append(Server("none", []))
            raise ServerStartError("the port is still taken")
        servers.append(Server("valkey", []))
        return servers[-1]

    supervisor.start("valkey", start)
    servers[-1].is_running = False
    async with watched(supervisor):
        await until(lambda: len(servers) == 4)
    assert servers[-1].is_running


def test_what_does_not_start_the_first_time_is_an_error(supervisor: Supervisor) -> None:
    def start() -> Server:
        raise ServerStartError("no binaries")

    with pytest.raises(ServerStartError, match="no binaries"):
        supervisor.start("postgres", start)


def test_servers_stop_after_those_that_use_them(supervisor: Supervisor, tmp_path: Path) -> None:
    stopped: list[str] = []
    supervisor.start("postgres", lambda: Server("postgres", stopped))
    supervisor.start("valkey", lambda: Server("valkey", stopped))
    process = PythonProcess(FOREVER, env={}, log_file=tmp_path / "log")
    supervisor.start("web", lambda: process)
    stop, process.stop = process.stop, lambda: stopped.append("web")  # type: ignore[method-assign]
    supervisor.stop(together=["web"])
    stop()
    assert stopped == ["web", "valkey", "postgres"]
    assert process.exit_status == -signal.SIGTERM
    supervisor.stop()
    assert len(stopped) == 3


def test_a_process_that_will_not_stop_is_killed(
    supervisor: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor_module, "STOP_TIMEOUT_S", 0.2)
    script = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
    )
    log_file = tmp_path / "log"
    process = PythonProcess(["-c", script], env={}, log_file=log_file)
    while "deaf" not in log_file.read_text():
        time.sleep(0.01)
    process.stop()
    assert process.exit_status == -signal.SIGKILL
