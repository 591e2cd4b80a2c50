"""Decisions in bulk: a CSV file becomes vouchers, codes and messages, chunk by chunk, each chunk one transaction.

The order of things makes it safe to kill and to repeat: nothing outside the database remembers how far it came, and a
decision_ref that is there already is never granted twice. Two imports of one file, or an import beside the API, meet
in the unique constraint; the loser's chunk is rolled back and prepared again on what the winner left.

One process: preparing a chunk (Python) and storing another (PostgreSQL) overlap, which keeps two cores busy. A pool of
processes was weighed and not taken: the rows would have to be pickled, and PostgreSQL is the longer half.
"""

from __future__ import annotations

import asyncio
import codecs
import csv
import gc
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Protocol

from service.crypto import Keys
from service.db import Pool, transaction
from service.errors import Kind, RequestInFlight, SeteliError
from service.organisers.model import Organiser, Programme, ProgrammeUnknown
from service.organisers.operations import find_organiser, list_programmes
from service.problems import problem
from service.queue import Wakeups
from service.settings import Settings
from service.vouchers import decision_rows
from service.vouchers.decision_rows import FileUnreadable, Header, Row
from service.vouchers.decisions import NewDecision, helsinki_day, read_decision
from service.vouchers.operations import bulk
from service.vouchers.operations.issuing import issue_voucher

CHUNK_ROWS = 2_000
CHUNKS_IN_FLIGHT = 3
# A rival's chunk takes a fraction of a second and the lock is waited for; more rounds than this are no rivalry.
CHUNK_ROUNDS = 10
RIVAL_WAIT_S = 0.05
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


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that was not granted, and the error that says why. The row holds contacts: it goes to no log."""

    row: Row
    error: SeteliError


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
"""Called with the rows done and the lines in the file."""


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
    FileUnreadable or HeaderUnfit before anything is stored, DatabaseUnavailable or OutcomeUnknown (or FileUnreadable
    for a quote that is never closed) in the middle: run it again.
    """
    async with transaction(resources.pool) as conn:
        organiser = await find_organiser(conn, organiser_slug)
        programmes = {p.programme: p for p in await list_programmes(conn, organiser_slug=organiser_slug)}
    total = await asyncio.to_thread(_count_lines, file)
    with file.open(encoding="utf-8-sig", newline="") as lines:
        header = decision_rows.read_header(lines.readline())
        run = _Import(resources, organiser, programmes, header, created_by, total, on_progress)
        with _few_collections():
            await run.take(decision_rows.read_rows(lines, header))
    await asyncio.to_thread(_write_rejected, file, header, run.report, language)
    return run.report


class _Import:
    """One run over one file."""

    def __init__(
        self,
        resources: ImportResources,
        organiser: Organiser,
        programmes: dict[str, Programme],
        header: Header,
        created_by: str,
        total: int,
        on_progress: OnProgress,
    ) -> None:
        self.report = ImportReport()
        self._resources = resources
        self._organiser = organiser
        self._programmes = programmes
        self._header = header
        self._created_by = created_by
        self._total = total
        self._on_progress = on_progress
        self._countries = tuple(resources.settings.sms_countries)
        self._today = helsinki_day(datetime.now(UTC))

    async def take(self, rows: Iterator[Row]) -> None:
        """Store chunk after chunk, a few at a time; then, one by one, rows whose decision_ref the file has twice."""
        repeated: list[tuple[Row, NewDecision]] = []
        try:
            async with asyncio.TaskGroup() as tasks:
                await self._take_first(rows, repeated, tasks)
        except ExceptionGroup as group:
            raise group.exceptions[0] from group  # what stopped one chunk is what stopped the import
        for row, decision in repeated:
            await self._store_one(row, decision)
        self._tell_progress()

    async def _take_first(
        self, rows: Iterator[Row], repeated: list[tuple[Row, NewDecision]], tasks: asyncio.TaskGroup
    ) -> None:
        """The first row of each decision_ref; the others are put aside, so that the first one counts."""
        seen: set[str] = set()
        slots = asyncio.Semaphore(CHUNKS_IN_FLIGHT)
        while chunk := list(islice(rows, CHUNK_ROWS)):
            first: list[tuple[Row, NewDecision]] = []
            for row, decision in self._read(chunk):
                (repeated if decision.decision_ref in seen else first).append((row, decision))
                seen.add(decision.decision_ref)
            await slots.acquire()
            tasks.create_task(self._store(first)).add_done_callback(lambda _task: slots.release())
            await asyncio.sleep(0)

    def _read(self, chunk: Sequence[Row]) -> Iterator[tuple[Row, NewDecision]]:
        for row in chunk:
            try:
                posted = decision_rows.read_row(row, self._header)
                programme = self._programmes.get(posted.programme)
                if programme is None:
                    raise ProgrammeUnknown(programme=posted.programme[:40])
                decision = read_decision(
                    posted,
                    programme,
                    default_language=self._organiser.default_language,
                    countries=self._countries,
                )
            except SeteliError as error:
                self.report.rejected.append(Rejected(row, error))
            else:
                yield row, decision

    async def _store(self, chunk: Sequence[tuple[Row, NewDecision]]) -> None:
        for _ in range(CHUNK_ROUNDS):
            try:
                async with transaction(self._resources.pool) as conn:
                    stored = await bulk.issue_vouchers(
                        conn,
                        self._resources.keys,
                        [decision for _, decision in chunk],
                        organiser=self._organiser,
                        created_by=self._created_by,
                        today=self._today,
                        code_digits=self._resources.settings.code_digits,
                    )
                break
            except bulk.Rivalry:
                await asyncio.sleep(RIVAL_WAIT_S)
        else:
            raise RequestInFlight
        rows = {decision.decision_ref: row for row, decision in chunk}
        self.report.issued += stored.issued
        self.report.already_there += stored.already_there
        self.report.rejected.extend(Rejected(rows[ref], error) for ref, error in stored.refused.items())
        if stored.first_message_id is not None:
            self._resources.wakeups.wake(stored.first_message_id)
        self._tell_progress()

    async def _store_one(self, row: Row, decision: NewDecision) -> None:
        try:
            async with transaction(self._resources.pool) as conn:
                issued = await issue_voucher(
                    conn,
                    self._resources.keys,
                    decision,
                    organiser=self._organiser,
                    created_by=self._created_by,
                    today=self._today,
                    code_digits=self._resources.settings.code_digits,
                )
        except SeteliError as error:
            if error.kind is Kind.UNAVAILABLE:
                raise
            self.report.rejected.append(Rejected(row, error))
            return
        if issued.created:
            self.report.issued += 1
            self._resources.wakeups.wake(issued.message_id)
        else:
            self.report.already_there += 1

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


def _count_lines(file: Path) -> int:
    """Rows in the file, about: a quoted text may span lines. Raises FileUnreadable when it is not UTF-8 throughout."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    count, last = 0, b"\n"
    try:
        with file.open("rb") as blocks:
            while block := blocks.read(READ_BLOCK):
                decoder.decode(block)
                count += block.count(b"\n")
                last = block[-1:]
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        line = count + error.object.count(b"\n", 0, error.start) + 1  # `count`: of the blocks before
        raise FileUnreadable(reason="not UTF-8", line=line) from None
    except OSError as error:
        raise FileUnreadable(reason=error.strerror or "cannot be opened", line=0) from None
    return max(count + (last != b"\n") - 1, 0)


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
    kept = [place for place, name in enumerate(header.names) if name.strip().lower() not in decision_rows.NOTES]
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=header.delimiter)
    writer.writerow([*(header.names[place] for place in kept), *decision_rows.NOTES])
    for rejected in report.rejected:
        told = problem(rejected.error.code, rejected.error.details, language)
        cells = rejected.row.cells
        writer.writerow(
            [
                *(cells[place] if place < len(cells) else "" for place in kept),
                rejected.row.line,
                rejected.error.code,
                f"{_fields(rejected.error)}{told.detail}",
            ]
        )
    draft = target.with_name(f"{target.name}.part")
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600, exist_ok=False)
    draft.write_text(text.getvalue(), encoding="utf-8-sig", newline="")
    draft.replace(target)
    report.rejected_file = target


def _fields(error: SeteliError) -> str:
    """`granted: a whole number from 1 to …. ` for an error that lists fields."""
    listed = error.details.get("fields")
    if not isinstance(listed, list):
        return ""
    faults = [item for item in listed if isinstance(item, dict)]
    return "; ".join(f"{fault['field']}: {fault['reason']}" for fault in faults) + ". "
