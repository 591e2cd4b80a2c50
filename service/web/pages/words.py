"""The words of the pages: gettext catalogues, compiled in memory, and how numbers, money and days are written.

The English text is the message id. A language's catalogue is every `*.po` in `templates/locales/<language>/`: one file
for each part of the pages, so that two people can work on two parts. `python -m service words` shows what is missing.
"""

from __future__ import annotations

import gettext
import io
import re
from collections.abc import Iterator
from datetime import date, datetime
from functools import cache
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir, extract_from_file
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal

from service.money import Unit, format_amount
from service.problems import format_day, format_time

ROOT = Path(__file__).parents[3]
PAGES = ROOT / "templates" / "pages"
LOCALES = ROOT / "templates" / "locales"
PAGE_LANGUAGES = {"fi": "Suomi", "sv": "Svenska", "en": "English"}
DIRECTIONS = dict.fromkeys(PAGE_LANGUAGES, "ltr")
SOURCE_LANGUAGE = "en"
_CALL = re.compile(r"\b(N?_|\w*gettext)\(")
IN_THREES_FROM = 10_000
"""Euros: numbers of four digits are read as one, in Finnish and Swedish."""

Message = str | tuple[str, ...]


def N_(text: str) -> str:  # noqa: N802 - the name that gettext's tools look for
    """Mark a text for translation where it is written; it is translated where it is shown."""
    return text


@cache
def translations(language: str) -> gettext.NullTranslations:
    """The words of a language; English, and what is no language of ours, has those of the source."""
    catalogue = read_catalogue(language)
    if not len(catalogue):
        return gettext.NullTranslations()
    compiled = io.BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


def read_catalogue(language: str) -> Catalog:
    """All files of a language as one catalogue. Raises ValueError when two translate the same text differently."""
    merged = Catalog(locale=language)
    for path in sorted((LOCALES / language).glob("*.po")):
        with path.open("rb") as file:
            for message in read_po(file, locale=language):
                if not message.id:
                    continue
                known = merged.get(message.id, message.context)
                if known is not None and known.string != message.string:
                    raise ValueError(f"{path}: {message.id!r} is translated differently elsewhere")
                merged[message.id] = message
    return merged


def messages() -> Iterator[tuple[str, int, Message]]:
    """Every text that the pages show: file, line, and the text (or its forms, for a counted one)."""
    extensions = {"extensions": "jinja2.ext.i18n", "trimmed": "true"}
    for name, line, message, _comments, _context in extract_from_dir(
        PAGES, method_map=[("**.html", "jinja2")], options_map={"**.html": extensions}
    ):
        yield f"templates/pages/{name}", line, message
    for path in sorted((ROOT / "service").rglob("*.py")):
        if not _CALL.search(path.read_text("utf-8")):  # most have none, and to read one as Python takes long
            continue
        for line, message, _comments, _context in extract_from_file("python", path):
            yield str(path.relative_to(ROOT)), line, message


def missing_words(language: str) -> list[tuple[str, int, Message]]:
    """The texts that a language lacks or has only a guess (`fuzzy`) for."""
    catalogue = read_catalogue(language)

    def is_there(message: Message) -> bool:
        found = catalogue.get(message if isinstance(message, str) else message[0])
        if found is None or found.fuzzy:
            return False
        strings = (found.string,) if isinstance(found.string, str) else tuple(found.string or ())
        return all(strings) and isinstance(message, str) == isinstance(found.string, str)

    return [each for each in messages() if not is_there(each[2])]


def missing_entries(language: str) -> list[str]:
    """The same as entries of a catalogue, each text once, to be filled in."""
    entries: dict[Message, str] = {}
    for place, line, message in missing_words(language):
        one, *more = (message,) if isinstance(message, str) else message
        forms = f'msgid_plural {_quoted(more[0])}\nmsgstr[0] ""\nmsgstr[1] ""' if more else 'msgstr ""'
        entries.setdefault(message, f"#: {place}:{line}\nmsgid {_quoted(one)}\n{forms}\n")
    return list(entries.values())


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def show_amount(amount: int, unit: str, language: str) -> str:
    return show_money(amount, language) if unit == Unit.CENTS else format_amount(amount, Unit(unit), language)


def show_money(cents: int, language: str) -> str:
    """As in texts, but for an office's large sums, whose euros stand in threes: 15 636,28 €."""
    shown = format_amount(cents, Unit.CENTS, language)
    euros = abs(cents) // 100
    return shown.replace(str(euros), show_number(euros, language), 1) if euros >= IN_THREES_FROM else shown


def show_hours(minutes: int, language: str) -> str:
    return format_amount(minutes, Unit.MINUTES, language)


def show_day(day: date, language: str) -> str:
    return format_day(day, language)


def show_time(moment: datetime, language: str) -> str:
    return format_time(moment, language)


def show_number(number: int, language: str) -> str:
    return str(format_decimal(number, locale=language))
