"""The words of the pages: none is missing, none is a guess, and every placeholder of a text is in its translations."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime

import pytest

from service.web.pages import words
from service.web.pages.words import (
    PAGE_LANGUAGES,
    SOURCE_LANGUAGE,
    messages,
    missing_entries,
    missing_words,
    read_catalogue,
    show_day,
    show_hours,
    show_money,
    show_number,
    show_time,
    translations,
)

TRANSLATED = [language for language in PAGE_LANGUAGES if language != SOURCE_LANGUAGE]


@pytest.mark.parametrize("language", TRANSLATED)
def test_no_text_of_the_pages_is_missing_or_a_guess(language: str) -> None:
    assert len(list(messages())) > 100
    assert missing_words(language) == [], "\n".join(missing_entries(language))


@pytest.mark.parametrize("language", TRANSLATED)
def test_every_placeholder_of_a_text_is_in_its_translation_and_no_other(language: str) -> None:
    for message in read_catalogue(language):
        if not message.id:
            continue
        wanted = set(re.findall(r"%\((\w+)\)s|\{(\w+)\}", str(message.id)))
        strings = [message.string] if isinstance(message.string, str) else list(message.string or ())
        for string in strings:
            assert set(re.findall(r"%\((\w+)\)s|\{(\w+)\}", str(string))) == wanted, message.id


@pytest.mark.parametrize("language", TRANSLATED)
def test_no_catalogue_holds_a_text_that_no_page_shows(language: str) -> None:
    shown = {text if isinstance(text, str) else text[0] for _, _, text in messages()}
    kept = {m.id if isinstance(m.id, str) else m.id[0] for m in read_catalogue(language) if m.id}
    assert kept <= shown, kept - shown


def test_a_missing_text_is_found_and_shown_as_an_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    said = [("page.html", 7, 'A "text" that nobody translated'), ("page.html", 8, ("one", "many"))]
    monkeypatch.setattr(words, "messages", lambda: iter(said))
    assert missing_words("fi") == said
    entry, counted = missing_entries("fi")
    assert entry == '#: page.html:7\nmsgid "A \\"text\\" that nobody translated"\nmsgstr ""\n'
    assert "msgstr[1]" in counted


def test_words_numbers_and_days_are_written_as_each_language_does() -> None:
    assert translations("fi").gettext("Sign in") == "Kirjaudu"
    assert translations("en").gettext("Sign in") == "Sign in"
    assert [show_money(123450, language) for language in PAGE_LANGUAGES] == ["1234,50 €", "1234,50 €", "€1234.50"]
    assert [show_hours(90, language) for language in PAGE_LANGUAGES] == ["1 t 30 min", "1 h 30 min", "1 h 30 min"]
    assert show_day(date(2026, 11, 2), "en") == "2 November 2026"
    assert show_time(datetime(2026, 11, 2, 22, 5, tzinfo=UTC), "fi") == "3.11.2026 0.05"
    assert show_number(12345, "fi") == "12\N{NO-BREAK SPACE}345"
