"""How figures are written: a Table for each, in the visitor's language on the page and plainly in its file."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

from service.debits.history import FORMULA_SIGNS
from service.money import Unit, format_amount
from service.overview.charts import Picture
from service.overview.model import AtLeast, Few, Told, week_name
from service.overview.operations import ProgrammeName
from service.problems import format_day
from service.web.pages.words import show_number

Gettext = Callable[..., str]


@dataclass(frozen=True, slots=True)
class Shown:
    """One cell: as it is read on the page, and as it is in the file, where hidden ones are `few`."""

    text: str
    raw: str


@dataclass(frozen=True, slots=True)
class Column:
    """`key` is its name in the file."""

    key: str
    label: str
    is_number: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    """A figure. `says`: exactly what is counted; `sums`: what it comes to.

    `draw` makes the picture, in some 30 ms; a file has none. It gives None where there is nothing to draw.
    """

    name: str
    title: str
    says: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Shown]]
    draw: Callable[[], Picture | None]
    sums: Sequence[tuple[str, str]] = field(default=())
    picture: Picture | None = None

    def drawn(self) -> Table:
        """The same with its picture."""
        return replace(self, picture=self.draw())


@dataclass(frozen=True, slots=True)
class Words:
    """How figures are written in the visitor's language."""

    gettext: Gettext
    language: str

    def number(self, told: Told) -> Shown:
        return self._told(told, lambda number: show_number(number, self.language), self.gettext("1–4 families"))

    def count(self, number: float) -> str:
        return show_number(round(number), self.language)

    def amount(self, told: Told, unit: str) -> Shown:
        """The file has minutes, cents, visits or sessions."""
        return self._told(told, lambda number: self.amount_text(number, unit), self.gettext("1–4 families"))

    def amount_text(self, number: int, unit: str) -> str:
        sign = "−" if number < 0 else ""
        return sign + format_amount(abs(number), Unit(unit), self.language)

    def seconds(self, told: Told) -> Shown:
        return self._told(told, self.duration, self.gettext("too few"))

    def duration(self, seconds: int) -> str:
        """9 s · 1 min 30 s · 2 h 5 min · 3 d 4 h."""
        steps = (
            (86_400, self.gettext("%(num)s d")),
            (3600, self.gettext("%(num)s h")),
            (60, "%(num)s min"),
            (1, "%(num)s s"),
        )
        for at, (size, words) in enumerate(steps):
            if seconds >= size or size == 1:
                whole, rest = divmod(seconds, size)
                smaller = [(rest // steps[at + 1][0], steps[at + 1][1])] if at + 1 < len(steps) else []
                return " ".join(
                    text % {"num": number} for number, text in [(whole, words), *smaller] if number or text is words
                )
        raise AssertionError("a second is the smallest")

    def percent(self, percent: int | None) -> Shown:
        if percent is None:
            return Shown("–", "")
        text = self.gettext("%(num)s %%", num=percent)
        return Shown(text, str(percent))

    def text(self, text: str, raw: str | None = None) -> Shown:
        return Shown(text, text if raw is None else raw)

    def week(self, week: date) -> Shown:
        """51 (14 December 2026) on the page, 2026-W51 in the file."""
        number = week.isocalendar().week
        text = self.gettext("Week %(number)s, from %(day)s", number=number, day=format_day(week, self.language))
        return Shown(text, week_name(week))

    def at_least(self, sum_: AtLeast, show: Callable[[int], str]) -> str:
        text = show(sum_.number)
        return text if sum_.is_whole else self.gettext("at least %(number)s", number=text)

    def _told(self, told: Told, show: Callable[[int], str], few: str) -> Shown:
        if told is None:
            return Shown("–", "")
        if isinstance(told, Few):
            return Shown(few, "few")
        return Shown(show(told), str(told))


def csv_of(table: Table) -> Iterable[bytes]:
    """RFC 4180, UTF-8, line by line: the header, then the rows. A text that a spreadsheet would run begins with an
    apostrophe instead."""
    yield _line([column.key for column in table.columns])
    for row in table.rows:
        yield _line([cell.raw for cell in row])


def _line(cells: Sequence[str]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerow([harmless(cell) for cell in cells])
    return text.getvalue().encode()


def harmless(cell: str) -> str:
    is_number = cell.removeprefix("-").isdecimal()
    return f"'{cell}" if cell.startswith(FORMULA_SIGNS) and not is_number else cell


def programme_name(known: Mapping[str, ProgrammeName], programme: str) -> str:
    return known[programme].name if programme in known else programme


def programme_unit(known: Mapping[str, ProgrammeName], programme: str) -> str:
    return known[programme].unit if programme in known else Unit.VISITS.value
