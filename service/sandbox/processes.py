"""Child processes that end with their parent, and data folders that belong to one session at a time.

Owns how the embedded servers and the demo's own processes are spawned, stopped and, if a crash left one
behind, found again. Knows nothing about what the processes do. Linux and macOS; macOS has no way to tie a
child to its parent, so there a server left by `kill -9` lives until the next start over the same folder
stops it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from service.sandbox import launch

NOBODY = 65534
SAME_USER = "same"
USER_NAMESPACE = "namespace"


class ServerStartError(RuntimeError):
    """An embedded server cannot be started; the text says why and what to do."""


def spawn(
    command: Sequence[str | Path],
    *,
    death_signal: signal.Signals = signal.SIGTERM,
    identity: str = SAME_USER,
    env: Mapping[str, str] | None = None,
    log: IO[bytes] | None = None,
) -> subprocess.Popen[bytes]:
    """Start `command` so that it gets `death_signal` when this process ends, however it ends.

    It gets a session of its own: Ctrl-C at the terminal reaches only the parent, which stops its children
    in order. Output and errors go to `log`, or where ours go. The first word of the command is a path or is
    looked up in PATH. Raises FileNotFoundError for an unknown command and RuntimeError outside the main
    thread: the kernel sends the signal when the *thread* that spawned the child ends, so a child of a
    pool's thread would die in mid-work.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("spawn from the main thread: a child dies with the thread that started it")
    program = shutil.which(command[0])
    if program is None:
        raise FileNotFoundError(f"no such program: {command[0]}")
    launcher = [
        sys.executable,
        "-I",
        "-S",
        launch.__file__,
        str(os.getpid()),
        str(int(death_signal)),
        identity,
    ]
    return subprocess.Popen(
        [*launcher, program, *map(str, command[1:])],
        env=None if env is None else dict(env),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=None if log is None else subprocess.STDOUT,
        start_new_session=True,
    )


def die_with_parent(death_signal: signal.Signals = signal.SIGTERM, *, parent_pid: int | None = None) -> None:
    """Have `death_signal` sent to this very process when its parent ends; nothing to do on macOS.

    Give `parent_pid` if the parent could be gone already: the process then leaves at once.
    """
    launch.end_with_parent(int(death_signal), os.getppid() if parent_pid is None else parent_pid)


def stop(
    process: subprocess.Popen[bytes], stop_signal: signal.Signals = signal.SIGTERM, *, timeout_s: float = 10
) -> int:
    """Ask `process` to end, kill it after `timeout_s`; returns its exit status. Again is harmless."""
    if process.poll() is None:
        process.send_signal(stop_signal)
        try:
            return process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait()


def free_port() -> int:
    """A TCP port that nothing on 127.0.0.1 listens on now; someone may take it before you do: then try
    again.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def unprivileged_identity(program: Path, folder: Path) -> str:
    """As whom to run a program that refuses to run as root, so that it can use `folder`.

    Not root: as we are. Root: as the owner of the folder if that is someone else, or in a user namespace,
    or where those are refused (some containers) as `nobody`, who then becomes the folder's owner. Raises
    ServerStartError.
    """
    if os.geteuid() != 0:
        return SAME_USER
    owner = folder.stat()
    if owner.st_uid == 0:
        if _is_usable(program, folder, USER_NAMESPACE):
            return USER_NAMESPACE
        for path in (folder, *folder.rglob("*")):
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
        owner = folder.stat()
    identity = f"{owner.st_uid}:{owner.st_gid}"
    if not _is_usable(program, folder, identity):
        raise ServerStartError(
            f"{program.name} refuses to run as root, user namespaces are not allowed here, and user"
            f" {owner.st_uid} cannot both execute {program} and write to {folder}: run as an ordinary user,"
            " or use folders that others may enter"
        )
    return identity


def _is_usable(program: Path, folder: Path, identity: str) -> bool:
    question = 'test -w "$0" && exec "$1" --version'
    with Path(os.devnull).open("wb") as nowhere:
        return spawn(["/bin/sh", "-c", question, folder, program], identity=identity, log=nowhere).wait() == 0


class FolderClaim:
    """The right to run a server over one folder; the kernel takes it back when this process ends."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    def release(self) -> None:
        """Let another session have the folder; again is harmless."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def claim_folder(folder: Path) -> FolderClaim:
    """Make `folder` (mode 0700) and take it for this process alone; ServerStartError if it is taken."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(folder / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise ServerStartError(f"{folder} is in use by another session; stop that, or choose another folder") from error
    return FolderClaim(descriptor)


def stop_orphan(pid_file: Path, *, marker: str, stop_signal: signal.Signals, timeout_s: float = 15) -> None:
    """End the server that an earlier session left over this folder. Call only while holding the folder's
    claim.

    `marker` is a word of the server's command line: a pid alone may since have become someone else's (after a
    container restarts, nearly always); then only the stale file goes.
    """
    try:
        pid = int(pid_file.read_text().split()[0])
    except (FileNotFoundError, ValueError, IndexError):
        return
    if not _exists(pid):
        return
    if marker not in command_line(pid):
        pid_file.unlink(missing_ok=True)
        return
    for each in (stop_signal, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, each)
        for _ in ticks(timeout_s):
            if marker not in command_line(pid):
                return


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def command_line(pid: int) -> str:
    """Empty for a process that is gone, or is dead and not yet waited for."""
    if Path("/proc/self/cmdline").exists():
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            return ""
    answer = subprocess.run(
        ["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False, timeout=10
    )
    return answer.stdout


def ticks(timeout_s: float, *, every_s: float = 0.01) -> Iterator[None]:
    """Come round every few milliseconds until the time is up, and then once more."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        yield
        time.sleep(every_s)
    yield
