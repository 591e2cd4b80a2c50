"""Keeps the demo's processes running: starts them in order, restarts what dies, stops them in the opposite order.

Everything happens in the main thread and in short steps, because a child dies with the thread that started it. It knows
nothing of what the processes do.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Protocol

from service.sandbox.processes import ServerStartError, spawn, stop

log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.1
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0
STEADY_AFTER_S = 10.0  # whoever ran for so long begins again with the first pause
STOP_TIMEOUT_S = 10.0


class Running(Protocol):
    """A process that was started."""

    @property
    def pid(self) -> int: ...
    @property
    def is_running(self) -> bool: ...
    def stop(self) -> None: ...


class PythonProcess:
    """One of our own processes. It is killed if its parent is: whatever it was doing, the database knows."""

    def __init__(self, arguments: Sequence[str], *, env: Mapping[str, str], log_file: Path) -> None:
        with log_file.open("ab") as log_stream:
            self._process: subprocess.Popen[bytes] = spawn(
                [sys.executable, *arguments], env=env, log=log_stream, death_signal=signal.SIGKILL
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    @property
    def exit_status(self) -> int | None:
        return self._process.poll()

    def ask_to_stop(self) -> None:
        """Let it begin to stop while others do, too."""
        if self.is_running:
            self._process.terminate()

    def stop(self) -> None:
        stop(self._process, timeout_s=STOP_TIMEOUT_S)


@dataclass
class _Part:
    name: str
    start: Callable[[], Running]
    running: Running | None = None
    started_at: float = 0
    pause_s: float = FIRST_PAUSE_S
    next_start_at: float = 0


class Supervisor:
    """The running processes, in the order in which they were started."""

    def __init__(self, *, note_pid: Callable[[str, int], None]) -> None:
        self._note_pid = note_pid
        self._parts: list[_Part] = []

    def start(self, name: str, start: Callable[[], Running]) -> None:
        """Start a process and keep it running from now on. What `start` raises the first time passes through."""
        part = _Part(name, start)
        self._start(part)
        self._parts.append(part)

    async def watch(self) -> NoReturn:
        """Restart whatever has died, for ever."""
        while True:
            for part in self._parts:
                self._look_at(part)
            await asyncio.sleep(LOOK_EVERY_S)

    def stop(self, *, together: Sequence[str] = ()) -> None:
        """Stop everything, the last started first; those of the names `together` side by side. Again is harmless."""
        for part in self._parts:
            if part.name in together and isinstance(part.running, PythonProcess):
                part.running.ask_to_stop()
        while self._parts:
            part = self._parts.pop()
            if part.running is not None:
                part.running.stop()

    def _start(self, part: _Part) -> None:
        part.running = part.start()
        part.started_at = time.monotonic()
        self._note_pid(part.name, part.running.pid)

    def _look_at(self, part: _Part) -> None:
        now = time.monotonic()
        if part.running is not None:
            if part.running.is_running:
                return
            if now - part.started_at > STEADY_AFTER_S:
                part.pause_s = FIRST_PAUSE_S
            log.warning("%s has died; starting it again in %.1f s", part.name, part.pause_s)
            part.running.stop()  # gives its folder back
            part.running = None
            self._wait_longer(part, now)
        if now >= part.next_start_at:
            try:
                self._start(part)
            except (ServerStartError, OSError) as error:
                log.warning("%s does not start: %s", part.name, error)
                self._wait_longer(part, time.monotonic())

    @staticmethod
    def _wait_longer(part: _Part, now: float) -> None:
        part.next_start_at = now + part.pause_s
        part.pause_s = min(2 * part.pause_s, LONGEST_PAUSE_S)
