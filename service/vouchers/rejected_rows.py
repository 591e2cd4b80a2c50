"""Rejected rows as a CSV file that can be corrected and imported as it is: the rows as they were, and why. Pure."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from service.errors import Detail
from service.problems import problem, reword
from service.vouchers.decision_rows import FORMULA_SIGNS, NOTES, Header

BOM = "\ufeff"
# A number in the international form begins like a formula and is none.
_PHONE = re.compile(r"\+[0-9][0-9 ()\-]*", re.ASCII)


class RejectedRow(NamedTuple):
    """A row with the error that rejected it, in a form that can be kept. It holds contacts."""

    line: int
    cells: Sequence[str]
    code: str
    details: Mapping[str, Detail]

    def __repr__(self) -> str:
        return f"RejectedRow({self.line}, …)"


def reason(code: str, details: Mapping[str, Detail], language: str) -> str:
    """For an error that lists fields `granted: a whole number from 1 to ….`: its own sentence says no more."""
    listed = details.get("fields")
    faults = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    fields = "; ".join(f"{fault['field']}: {reword(fault['reason'], language)}" for fault in faults)
    return f"{fields}." if fields else problem(code, details, language).detail


def csv_head(header: Header) -> str:
    """The first line: the file's own columns, then ours. The byte order mark before it is for spreadsheets."""
    return BOM + _csv([[*(header.names[place] for place in _kept(header)), *NOTES]], header.delimiter)


def csv_lines(rows: Iterable[RejectedRow], header: Header, language: str) -> str:
    """Lines under `csv_head`. A cell that a spreadsheet would run begins with an apostrophe, which imports take off."""
    kept = _kept(header)
    return _csv(
        (
            [
                *(_harmless(row.cells[place]) if place < len(row.cells) else "" for place in kept),
                str(row.line),
                row.code,
                _harmless(reason(row.code, row.details, language)),
            ]
            for row in rows
        ),
        header.delimiter,
    )


def _kept(header: Header) -> list[int]:
    return [place for place, name in enumerate(header.names) if name.strip().lower() not in NOTES]


def _csv(rows: Iterable[Sequence[str]], delimiter: str) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter).writerows(rows)
    return text.getvalue()


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell.startswith(FORMULA_SIGNS) and not _PHONE.fullmatch(cell) else cell
