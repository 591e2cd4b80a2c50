"""Files of every kind that people and others send: read, or told what they are."""

from __future__ import annotations

import zipfile
from io import BytesIO

import pytest

from service.errors import SeteliError
from service.imports import files
from service.imports.files import read_file, unpack_rows
from service.imports.model import CHUNK_ROWS
from tests.imports.sending import COLUMNS, row, table

GOOD = table([row(1)])
HEADER = ",".join(COLUMNS).encode()


def zipped() -> bytes:
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w") as workbook:
        workbook.writestr("xl/workbook.xml", "<workbook/>")
    return archive.getvalue()


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (zipped(), "file_no_text"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 100, "file_no_text"),
        (GOOD.decode().encode("utf-16"), "file_no_text"),
        (GOOD.decode().encode("utf-16-le"), "file_no_text"),
        (table([row(1, municipality="Ähtäri")], encoding="cp1252"), "file_not_utf8"),
        (HEADER + b',"' + b"x" * 10_000_000, "header_unfit"),
        (b"x" * 10_000_000, "header_unfit"),
        (HEADER + b'\nKH-1,"' + b"x" * 10_000_000, "cell_too_long"),
        (table([row(1)]) + b'"KH-2,kotipalvelu\n' + table([row(3)]).split(b"\n", 1)[1], "quote_unclosed"),
        (table([row(1)]) + b'"KH-2,kotipalvelu\n"KH-3",kotipalvelu\n', "quote_unclosed"),
        (HEADER + b",phone\n", "header_unfit"),
        (HEADER + b",=SUM(A1)\n", "header_unfit"),
        (HEADER + b"\n", "import_empty"),
        (HEADER + b"\n\n,,,\n", "import_empty"),
        (b"", "header_unfit"),
        (b"x" * 20_000_001, "import_too_large"),
        (HEADER + b"\n" + b"a\n" * 100_001, "import_too_large"),
    ],
    ids=[
        "a workbook", "a workbook of the nineties", "UTF-16 with its mark", "UTF-16 without", "Windows-1252",
        "a header of ten megabytes", "one line", "a quote never closed", "a quote up to the end",
        "a quote up to the next one", "a column twice", "a formula in the header",
        "nothing below", "only empty lines", "nothing", "too large", "too many rows",
    ],
)  # fmt: skip
def test_what_is_no_table_of_decisions_is_told_what_it_is(content: bytes, code: str) -> None:
    with pytest.raises(SeteliError) as refusal:
        read_file(content)
    assert refusal.value.code == code


def test_the_line_that_is_not_utf_8_is_named() -> None:
    with pytest.raises(SeteliError) as refusal:
        read_file(table([row(1), row(2, municipality="Ähtäri")], encoding="cp1252"))
    assert refusal.value.details["line"] == 3


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_file_is_cut_into_chunks_that_lose_nothing(delimiter: str) -> None:
    rows = [row(number, municipality='Ähtäri, "vanha"\nja uusi') for number in range(2 * CHUNK_ROWS + 1)]
    found = read_file(b"\xef\xbb\xbf" + table(rows, delimiter=delimiter))
    assert (found.rows, found.texts, found.mails, len(found.chunks)) == (len(rows), len(rows), 0, 3)
    kept = [each for chunk in found.chunks for each in unpack_rows(chunk)]
    assert [each.cells[0] for each in kept] == [str(each["decision_ref"]) for each in rows]
    assert [each.line for each in kept[:3]] == [2, 4, 6], "a line of the file, not of the table"
    assert found.decision_refs[-1] == f"KH-{2 * CHUNK_ROWS}"


def test_how_families_would_be_told_is_counted() -> None:
    both = {"email": "a@x.example"}
    rows = [row(1), row(2, **both), row(3, **both, preferred="email"), row(4, phone="", **both), row(5, phone="")]
    found = read_file(table(rows))
    assert (found.texts, found.mails) == (2, 2)


def test_a_nul_later_in_the_file_is_left_to_the_row_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_LOOKED_AT", 10)
    assert read_file(table([row(1, initials="a\0b")])).rows == 1
