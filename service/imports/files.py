"""A file that somebody sent, read into chunks that can be sealed. Pure; slow enough to be called in a thread.

Whatever is not a table that could be imported is refused here with a sentence that says what it is instead.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from service.imports.model import CHUNK_ROWS, FILE_MAX_BYTES, FILE_MAX_MEGABYTES, ROWS_MAX, ImportEmpty, ImportTooLarge
from service.vouchers.decision_rows import LINE_MAX, FileNoText, FileNotUtf8, Header, Row, read_header, read_rows
from service.vouchers.rejected_rows import RejectedRow

# Workbooks (of today and of the nineties), archives, PDF, and text of two or four bytes a character with its mark.
_NO_TEXT = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0", b"\x1f\x8b", b"7z\xbc\xaf", b"Rar!", b"%PDF", b"\xff\xfe", b"\xfe\xff")
_LOOKED_AT = 4096


@dataclass(slots=True)
class ReadFile:
    """What was found in a file."""

    header: Header
    rows: int = 0
    texts: int = 0
    mails: int = 0
    decision_refs: list[str] = field(default_factory=list, repr=False)
    chunks: list[str] = field(default_factory=list, repr=False)
    """Each a chunk as `pack_rows` writes it."""


def read_file(content: bytes) -> ReadFile:
    """Raises ImportTooLarge, ImportEmpty, FileNoText, FileNotUtf8, HeaderUnfit, CellTooLong, QuoteUnclosed or
    FileUnreadable."""
    if len(content) > FILE_MAX_BYTES:
        raise too_large()
    if content.startswith(_NO_TEXT) or b"\0" in content[:_LOOKED_AT]:
        raise FileNoText
    lines = io.StringIO(_decode(content), newline="")
    found = ReadFile(read_header(lines.readline(LINE_MAX)))
    rows = read_rows(lines, found.header)
    while chunk := list(islice(rows, CHUNK_ROWS)):
        found.rows += len(chunk)
        if found.rows > ROWS_MAX:
            raise too_large()
        _count(found, chunk)
        found.chunks.append(pack_rows(chunk))
    if not found.rows:
        raise ImportEmpty
    return found


def too_large() -> ImportTooLarge:
    return ImportTooLarge(megabytes=FILE_MAX_MEGABYTES, rows=ROWS_MAX)


def pack_rows(rows: Iterable[Row]) -> str:
    return json.dumps(list(rows), ensure_ascii=False, separators=(",", ":"))


def unpack_rows(text: str) -> list[Row]:
    return [Row(line, cells) for line, cells in json.loads(text)]


def pack_rejected(rows: Iterable[RejectedRow]) -> str:
    return json.dumps([[*each] for each in rows], ensure_ascii=False, separators=(",", ":"))


def unpack_rejected(text: str) -> list[RejectedRow]:
    return [RejectedRow(*each) for each in json.loads(text)]


def stored_header(columns: Sequence[str], delimiter: str) -> Header:
    """The header of a file that was read before."""
    return read_header(delimiter.join(columns) + "\n")


def _decode(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileNotUtf8(line=content.count(b"\n", 0, error.start) + 1) from None


def _count(found: ReadFile, chunk: Sequence[Row]) -> None:
    """How a good row would be told. Nearly: what is wrong with a row is found when it is granted."""
    found.decision_refs.extend(decision_refs(chunk, found.header))
    texts, mails = count_messages(chunk, found.header)
    found.texts += texts
    found.mails += mails


def decision_refs(rows: Sequence[Row], header: Header) -> list[str]:
    """The decision_ref of each row that has one that may be there."""
    refs = (cells[0].strip() for cells in _whole(rows, header))
    # PostgreSQL cannot be asked for one with a NUL, and no decision has it.
    return [ref for ref in refs if "\0" not in ref]


def count_messages(rows: Sequence[Row], header: Header) -> tuple[int, int]:
    """Texts and e-mails that these rows would send if all of them were granted."""
    texts = mails = 0
    for cells in _whole(rows, header):
        phone, email, preferred = cells[7].strip(), cells[8].strip(), cells[14].strip()
        if phone and not (preferred == "email" and email):
            texts += 1
        elif email:
            mails += 1
    return texts, mails


def _whole(chunk: Sequence[Row], header: Header) -> Iterator[tuple[str, ...]]:
    """The cells in our order, of the rows that have as many as the first line."""
    return (header.pick([*row.cells, ""]) for row in chunk if len(row.cells) == len(header.names))
