"""Decisions in bulk: a CSV file becomes vouchers, codes and messages, chunk by chunk, each chunk one transaction.

The order of things makes it safe to kill and to repeat: nothing outside the database remembers how far it came, and a
decision_ref that is there already is never granted twice. Two imports of one file, or an import beside the API, meet
in the unique constraint; the loser's chunk is rolled back and prepared again on what the winner left.

One process: preparing a chunk (Python) and storing another (PostgreSQL) overlap, which keeps two cores busy. A pool of
processes was weighed and not taken: the rows would have to be pickled, and PostgreSQL is the longer half. What a row
means and what is granted is in `operations/rows.py`, which files that are uploaded at the desk go through, too.
"""

from __future__ import annotations

import asyncio
import codecs
import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Protocol

from service.crypto import Keys
from service.db import Pool, transaction
from service.organisers.operations import find_organiser, list_programmes
from service.queue import Wakeups
from service.settings import Settings
from service.vouchers import decision_rows
from service.vouchers.decision_rows import FileNotOpened, FileNotUtf8, Header, Row
from service.vouchers.decisions import helsinki_day
from service.vouchers.operations.rows import Granted, Intake, ReadRow, Rejected, in_rounds
from service.vouchers.rejected_rows import RejectedRow, csv_head, csv_lines

CHUNK_ROWS = 2_000
CHUNKS_IN_FLIGHT = 3
COLLECT_EVERY = 500_000  # allocated objects, against 700 by default
READ_BLOCK = 1 << 20


class ImportResources(Protocol):
    """What an import needs of the process; `service.resources.Resources` has it."""

    @property
    def settings(self) -> Settings: ...
    @property
    def pool(self) -> Pool: ...
    @property
    def keys(self) -> Keys: ...
    @property
    def wakeups(self) -> Wakeups: ...


@dataclass(slots=True)
class ImportReport:
    """What came of the file. Every row is in exactly one of the three."""

    issued: int = 0
    already_there: int = 0
    rejected: list[Rejected] = field(default_factory=list, repr=False)
    rejected_file: Path | None = None

    @property
    def rows(self) -> int:
        return self.issued + self.already_there + len(self.rejected)


OnProgress = Callable[[int, int], None]
"""Called with the rows done and the rows in the file."""


async def import_decisions(
    resources: ImportResources,
    organiser_slug: str,
    file: Path,
    *,
    created_by: str,
    language: str = "fi",
    on_progress: OnProgress = lambda _done, _total: None,
) -> ImportReport:
    """Grant every good row of `file`; write the others to `FILE.rejected.csv` with the reason in `language`.

    Idempotent: a row that is there with the same content is counted and left alone. Raises OrganiserUnknown,
    FileUnreadable or HeaderUnfit before anything is stored, DatabaseUnavailable or OutcomeUnknown in the middle: run it
    again.
    """
    async with transaction(resources.pool) as conn:
        organiser = await find_organiser(conn, organiser_slug)
        programmes = {p.programme: p for p in await list_programmes(conn, organiser_slug=organiser_slug)}
    total = await asyncio.to_thread(_count_rows, file)
    with file.open(encoding="utf-8-sig", newline="") as lines:
        header = decision_rows.read_header(lines.readline(decision_rows.LINE_MAX))
        intake = Intake(
            keys=resources.keys,
            organiser=organiser,
            programmes=programmes,
            header=header,
            countries=tuple(resources.settings.sms_countries),
            created_by=created_by,
            today=helsinki_day(datetime.now(UTC)),
            code_digits=resources.settings.code_digits,
        )
        run = _Import(resources, intake, total, on_progress)
        with _few_collections():
            await run.take(decision_rows.read_rows(lines, header))
    await asyncio.to_thread(_write_rejected, file, header, run.report, language)
    return run.report


class _Import:
    """One run over one file."""

    def __init__(self, resources: ImportResources, intake: Intake, total: int, on_progress: OnProgress) -> None:
        self.report = ImportReport()
        self._resources = resources
        self._intake = intake
        self._total = total
        self._on_progress = on_progress

    async def take(self, rows: Iterator[Row]) -> None:
        """Store chunk after chunk, a few at a time; then rows whose decision_ref the file has had before."""
        repeated: list[ReadRow] = []
        try:
            async with asyncio.TaskGroup() as tasks:
                await self._take_first(rows, repeated, tasks)
        except ExceptionGroup as group:
            raise group.exceptions[0] from group  # what stopped one chunk is what stopped the import
        for start in range(0, len(repeated), CHUNK_ROWS):
            await self._store(repeated[start : start + CHUNK_ROWS])
        self._tell_progress()

    async def _take_first(self, rows: Iterator[Row], repeated: list[ReadRow], tasks: asyncio.TaskGroup) -> None:
        """The first row of each decision_ref; the others are put aside, so that the first one counts."""
        seen: set[str] = set()
        slots = asyncio.Semaphore(CHUNKS_IN_FLIGHT)
        while chunk := list(islice(rows, CHUNK_ROWS)):
            first: list[ReadRow] = []
            good, rejected = self._intake.read(chunk)
            self.report.rejected += rejected
            for each in good:
                (repeated if each.decision.decision_ref in seen else first).append(each)
                seen.add(each.decision.decision_ref)
            await slots.acquire()
            tasks.create_task(self._store(first)).add_done_callback(lambda _task: slots.release())
            await asyncio.sleep(0)

    async def _store(self, chunk: Sequence[ReadRow]) -> None:
        async def grant() -> Granted:
            async with transaction(self._resources.pool) as conn:
                return await self._intake.grant(conn, chunk)

        granted = await in_rounds(grant)
        self.report.issued += granted.issued
        self.report.already_there += granted.already_there
        self.report.rejected += granted.rejected
        if granted.first_message_id is not None:
            self._resources.wakeups.wake(granted.first_message_id)
        self._tell_progress()

    def _tell_progress(self) -> None:
        self._on_progress(self.report.rows, self._total)


@contextmanager
def _few_collections() -> Iterator[None]:
    """Let the cycle collector rest: a row is dozens of tuples and no cycle, and looking for some costs a third."""
    before = gc.get_threshold()
    gc.set_threshold(COLLECT_EVERY, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _count_rows(file: Path) -> int:
    """Rows in the file, each of which can be read. Raises FileUnreadable or HeaderUnfit."""
    _check_encoding(file)
    with file.open(encoding="utf-8-sig", newline="") as lines:
        header = decision_rows.read_header(lines.readline(decision_rows.LINE_MAX))
        return sum(1 for _ in decision_rows.read_rows(lines, header))


def _check_encoding(file: Path) -> None:
    """Raises FileNotUtf8 with the line that shows it, and FileNotOpened."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    count = 0
    try:
        with file.open("rb") as blocks:
            while block := blocks.read(READ_BLOCK):
                decoder.decode(block)
                count += block.count(b"\n")
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        line = count + error.object.count(b"\n", 0, error.start) + 1  # `count`: of the blocks before
        raise FileNotUtf8(line=line) from None
    except OSError as error:
        raise FileNotOpened(reason=error.strerror or "cannot be opened") from None


def _write_rejected(file: Path, header: Header, report: ImportReport, language: str) -> None:
    """Rows as they were, with line, error code and sentence; the file can be corrected and imported as it is.

    Readable by its owner alone: it holds contacts. What an earlier run left is replaced, or removed when nothing was
    rejected this time.
    """
    target = file.with_name(f"{file.stem}.rejected.csv")
    if not report.rejected:
        target.unlink(missing_ok=True)
        return
    report.rejected.sort(key=lambda rejected: rejected.row.line)
    text = csv_head(header) + csv_lines(
        (RejectedRow(*each.row, each.error.code, each.error.details) for each in report.rejected), header, language
    )
    draft = target.with_name(f"{target.name}.part")
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600, exist_ok=False)
    draft.write_text(text, encoding="utf-8", newline="")
    draft.replace(target)
    report.rejected_file = target
