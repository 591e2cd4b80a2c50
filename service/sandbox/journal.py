"""The sandbox's memory: one append-only file of JSON lines.

Owns how a record gets to the disk and back. It does not know what a record means: each of its readers takes
the kinds it wrote. A line that was handed to the operating system survives kill -9 of the process; a power
cut may take the newest lines (no fsync: the sandbox is a test double, and its speed matters more).
"""

import asyncio
import fcntl
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

Record = dict[str, Any]

_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class JournalInUseError(RuntimeError):
    """Another sandbox writes to this journal: stop it, or choose another data folder."""


class JournalBrokenError(RuntimeError):
    """A line of the journal is no JSON: move the file away to start with empty phones."""


class Journal:
    """Appends records, in order. `append` is for what may wait for the end of this tick of the event loop,
    `append_now` for what must be with the operating system before somebody is told."""

    def __init__(self, path: Path) -> None:
        """Open or create `path` and lock it against a second sandbox.

        Raises JournalInUseError. A torn last line (kill -9 in the middle of a write) is cut off.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._waiting: list[str] = []
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            raise JournalInUseError(JournalInUseError.__doc__) from None
        self._cut_torn_line()

    def records(self) -> Iterator[Record]:
        """Every record from the oldest to the newest. Raises JournalBrokenError with the line's number."""
        with self._path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    yield json.loads(line)
                except ValueError:
                    raise JournalBrokenError(f"line {number}: {JournalBrokenError.__doc__}") from None

    def append(self, record: Record) -> None:
        """Write `record` together with the others of this tick."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self.flush)
        self._waiting.append(_to_json(record))

    def append_now(self, record: Record) -> None:
        """Write `record` (and what waits before it) before returning. Raises OSError, and then nothing may be
        promised to anybody."""
        self._waiting.append(_to_json(record))
        self.flush()

    def flush(self) -> None:
        """Hand everything that waits to the operating system. Raises OSError when the disk refuses it."""
        if not self._waiting:
            return
        block = ("\n".join(self._waiting) + "\n").encode()
        self._waiting.clear()
        end = os.lseek(self._file, 0, os.SEEK_END)
        try:
            while block:
                block = block[os.write(self._file, block) :]
        except OSError:
            # Half a line would swallow the next one.
            os.ftruncate(self._file, end)
            raise

    def close(self) -> None:
        """Flush, unlock and close. Repeating it does nothing."""
        if self._file >= 0:
            self.flush()
            os.close(self._file)
            self._file = -1

    def _cut_torn_line(self) -> None:
        size = os.lseek(self._file, 0, os.SEEK_END)
        end, tail = size, b""
        while end > 0 and b"\n" not in tail:
            start = max(0, end - 65536)
            tail = os.pread(self._file, end - start, start)
            end = start
        whole = end + tail.rfind(b"\n") + 1 if tail else 0
        if whole < size:
            log.warning("journal.torn_line_cut bytes=%d", size - whole)
            os.ftruncate(self._file, whole)
