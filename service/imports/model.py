"""An import as a value: what states it has, what was counted, and what can be wrong with it. Pure: no I/O, no clock.

waiting → granting → done, or cancelled on the way; failed when no chunk could be done for long; then granting again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from service.errors import Conflict, Invalid, NotFound

ROWS_MAX = 100_000
FILE_MAX_MEGABYTES = 20
FILE_MAX_BYTES = FILE_MAX_MEGABYTES * 1_000_000
CHUNK_ROWS = 250
"""A transaction of about a tenth of a second: one that a text to a family on the phone can wait behind."""
UNFINISHED_MAX = 10
"""Files of one organiser that wait or are being granted: each may be 20 MB."""
TRIES_MAX = 40
"""Claims without a chunk done, a lease apart: a quarter of an hour in which something is wrong that does not pass."""


class ImportTooLarge(Invalid):
    """A file is at most 20 MB and 100 000 rows."""

    code = "import_too_large"


class ImportEmpty(Invalid):
    """The file has a header and nothing else."""

    code = "import_empty"


class ImportsUnfinished(Conflict):
    """The organiser has as many files waiting or under way as it may."""

    code = "imports_unfinished"


class ImportUnknown(NotFound):
    """The organiser has no import of this id."""

    code = "import_unknown"


class ImportNotWaiting(Conflict):
    """The import is not in the state in which this can be done to it."""

    code = "import_not_waiting"


class ImportState(StrEnum):
    WAITING = "waiting"
    GRANTING = "granting"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Import:
    organiser_id: UUID
    import_id: UUID
    state: ImportState
    name: str | None
    """Of the file; None when the contents are gone."""
    columns: tuple[str, ...]
    delimiter: str
    rows: int
    texts: int
    mails: int
    known: int
    granted: int
    already_there: int
    rejected: int
    uploaded_by: str
    """The name of the person, or an actor as the audit log writes it."""
    uploaded_at: datetime
    granted_by: str | None
    granted_at: datetime | None
    due_at: datetime | None
    ended_at: datetime | None
    emptied_at: datetime | None

    @property
    def done(self) -> int:
        """Rows that something has come of."""
        return self.granted + self.already_there + self.rejected

    @property
    def is_ended(self) -> bool:
        return self.state in (ImportState.DONE, ImportState.CANCELLED, ImportState.FAILED)


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to do the next chunk of an import, until another claim is made."""

    organiser_id: UUID
    import_id: UUID
    fence: int
    tries: int
    columns: tuple[str, ...]
    delimiter: str
    granted_by: str
    at_once: bool
    """Whether families may be woken for it."""
