"""Decisions as the lines of a CSV file: which columns there are, and how a line becomes a decision. Pure.

The rules for the content are those of `decisions`; here is only what JSON would have told by its types.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from operator import itemgetter
from typing import NamedTuple

from service.errors import Invalid
from service.vouchers.decisions import PostedDecision, invalid_field

REQUIRED = ("decision_ref", "programme", "status", "client_ref", "granted", "valid_from", "valid_to")
OPTIONAL = ("phone", "email", "language", "initials", "municipality", "weekly_visits", "weekly_minutes", "preferred")
# What we write beside rejected rows. Passed over on input, so that a corrected file can be imported as it is.
NOTES = ("rejected_line", "rejected_code", "rejected_reason")
COLUMNS = REQUIRED + OPTIONAL + NOTES
DELIMITERS = ",;\t"
LINE_MAX = 10_000
"""Characters that are read of the first line: all columns there are take some three hundred."""
FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")
"""With one of these at its front a cell is a formula to spreadsheets; in what we write it has an apostrophe there."""
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


class FileUnreadable(Invalid):
    """The file is not a table that can be read at all; `reason` says why and `line` where."""

    code = "file_unreadable"


class FileNotUtf8(FileUnreadable):
    """The file is text in another encoding; `line` is the first that shows it."""

    code = "file_not_utf8"


class FileNoText(FileUnreadable):
    """A workbook, an archive, or text of two bytes a character: nothing that has lines."""

    code = "file_no_text"


class CellTooLong(FileUnreadable):
    """A cell has more characters than any could, most likely because a quotation mark is never closed; `line`."""

    code = "cell_too_long"


class QuoteUnclosed(FileUnreadable):
    """A quotation mark in the row that begins at `line` is never closed, or one inside a cell is not doubled."""

    code = "quote_unclosed"


class FileNotOpened(FileUnreadable):
    """There is no such file, it is a folder, or may not be read; `reason`."""

    code = "file_not_opened"


class HeaderUnfit(Invalid):
    """The first line lacks columns (`missing`), has ones nobody knows (`unknown`), or one twice (`repeated`)."""

    code = "header_unfit"


class Row(NamedTuple):
    """One line of the file as it was, with the number of its first line in the file."""

    line: int
    cells: Sequence[str]

    def __repr__(self) -> str:
        return f"Row({self.line}, …)"  # the contacts are not for tracebacks


@dataclass(frozen=True, slots=True)
class Header:
    """The columns in the file's own order and spelling.

    `pick` takes ours, in the order REQUIRED + OPTIONAL, from a line's cells with one empty cell added at their end,
    which stands for the columns that the file is without.
    """

    names: Sequence[str]
    delimiter: str
    pick: Callable[[Sequence[str]], tuple[str, ...]]


def read_header(first_line: str) -> Header:
    """Find the delimiter and the columns. Raises HeaderUnfit."""
    delimiter = max(DELIMITERS, key=first_line.count)
    names = next(csv.reader(io.StringIO(first_line), delimiter=delimiter), [])
    plain = [name.strip().lower() for name in names]
    missing = [name for name in REQUIRED if name not in plain]
    if "phone" not in plain and "email" not in plain:
        missing.append("phone / email")
    unknown = [name for name in plain if name not in COLUMNS]
    repeated = sorted({name for name in plain if plain.count(name) > 1})
    if missing or unknown or repeated:
        raise HeaderUnfit(
            missing=", ".join(missing) or "–",
            unknown=", ".join(name[:40] for name in unknown[:20]) or "–",
            repeated=", ".join(repeated) or "–",
        )
    places = (plain.index(name) if name in plain else len(plain) for name in REQUIRED + OPTIONAL)
    return Header(names=names, delimiter=delimiter, pick=itemgetter(*places))


def read_rows(lines: Iterator[str], header: Header) -> Iterator[Row]:
    """The rows after the header; empty lines are passed over. Raises FileUnreadable.

    Strictly: a quotation mark that is never closed would swallow the good rows behind it, up to the next, uncounted.
    """
    reader = csv.reader(lines, delimiter=header.delimiter, strict=True)
    line = 2
    try:
        for cells in reader:
            if any(cells):
                yield Row(line, cells)
            line = reader.line_num + 2
    except csv.Error as error:
        if "field limit" in str(error):
            raise CellTooLong(line=line) from None
        if "end of data" in str(error) or "expected after" in str(error):
            raise QuoteUnclosed(line=line) from None
        raise FileUnreadable(reason=str(error), line=line) from None
    except UnicodeDecodeError:
        raise FileNotUtf8(line=line) from None


def read_row(row: Row, header: Header) -> PostedDecision:
    """Raises InvalidRequest naming the field."""
    if len(row.cells) != len(header.names):
        raise invalid_field("line", f"has {len(row.cells)} columns, the header has {len(header.names)}")
    (
        decision_ref, programme, status, client_ref, granted, valid_from, valid_to,
        phone, email, language, initials, municipality, weekly_visits, weekly_minutes, preferred,
    ) = header.pick([*map(_plain, row.cells), ""])  # fmt: skip
    return PostedDecision(
        decision_ref,
        programme,
        status,
        client_ref,
        phone or None,
        email or None,
        language or None,
        initials or None,
        municipality or None,
        _number("granted", granted) or 0,
        _number("weekly_visits", weekly_visits),
        _number("weekly_minutes", weekly_minutes),
        _day("valid_from", valid_from),
        _day("valid_to", valid_to),
        preferred or None,
    )


def _plain(cell: str) -> str:
    """Trimmed, and without the apostrophe that keeps spreadsheets from running it."""
    plain = cell.strip()
    return plain[1:] if plain[:1] == "'" and plain[1:].startswith(FORMULA_SIGNS) else plain


def _number(field: str, text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= 12):
        raise invalid_field(field, "a whole number")
    return int(text)


def _day(field: str, text: str) -> date:
    day = _read_day(text)
    if day is None:
        raise invalid_field(field, "a day as YYYY-MM-DD")
    return day


@lru_cache(maxsize=4096)  # a file has few different days, each many times
def _read_day(text: str) -> date | None:
    if not _DAY.fullmatch(text):
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
