"""The words of the pages: none is missing, none is a guess, and every placeholder of a text is in its translations."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from service.web.pages import words
from service.web.pages.words import (
    PAGE_LANGUAGES,
    SOURCE_LANGUAGE,
    messages,
    missing_entries,
    missing_words,
    read_catalogue,
    show_amount,
    show_day,
    show_hours,
    show_money,
    show_number,
    show_time,
    translations,
)

TRANSLATED = [language for language in PAGE_LANGUAGES if language != SOURCE_LANGUAGE]


def test_no_text_of_the_pages_is_missing_or_a_guess_and_no_catalogue_holds_one_that_no_page_shows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One test for all languages: to find the texts takes a second."""
    shown = list(messages())
    assert len(shown) > 1000
    monkeypatch.setattr(words, "messages", lambda: iter(shown))
    texts = {text if isinstance(text, str) else text[0] for _, _, text in shown}
    for language in TRANSLATED:
        assert missing_words(language) == [], "\n".join(missing_entries(language))
        kept = {m.id if isinstance(m.id, str) else m.id[0] for m in read_catalogue(language) if m.id}
        assert kept <= texts, kept - texts


@pytest.mark.parametrize("language", TRANSLATED)
def test_every_placeholder_of_a_text_is_in_its_translation_and_no_other(language: str) -> None:
    for message in read_catalogue(language):
        if not message.id:
            continue
        wanted = set(re.findall(r"%\((\w+)\)s|\{(\w+)\}", str(message.id)))
        strings = [message.string] if isinstance(message.string, str) else list(message.string or ())
        for string in strings:
            assert set(re.findall(r"%\((\w+)\)s|\{(\w+)\}", str(string))) == wanted, message.id


# To one reader, as public services write today. "What you agreed on" is said of two, and is the one exception.
FORMAL = {
    "fi": r"(?i)\b(te|tei(dän|dät|lle|llä|ltä|tä)|olette|voitte|saatte|näette"
    r"|(kirjoitta|valit|katso|soitta|yrittä|tarkista)(kaa|kää))\b",
    "sv": r"(?i)\b(ni|er|ert|era)\b(?! kom överens)",
}


@pytest.mark.parametrize("language", TRANSLATED)
def test_every_text_says_you_to_one_person(language: str) -> None:
    for message in read_catalogue(language):
        for string in [message.string] if isinstance(message.string, str) else list(message.string or ()):
            assert not re.search(FORMAL[language], str(string)), string


@pytest.mark.parametrize("language", TRANSLATED)
def test_every_message_and_sentence_says_you_to_one_person(language: str) -> None:
    templates = Path(__file__).parents[3] / "templates"
    paths = [*templates.glob(f"messages/*/{language}.*"), *templates.glob(f"*/{language}.toml")]
    assert len(paths) > 20
    for path in paths:
        for line in path.read_text("utf-8").splitlines():
            assert not re.search(FORMAL[language], line), (path, line)


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
    grouped = ["15\N{NO-BREAK SPACE}636,28 €", "15\N{NO-BREAK SPACE}636,28 €", "€15,636.28"]
    assert [show_money(1563628, language) for language in PAGE_LANGUAGES] == grouped
    assert show_amount(-1563628, "cents", "en") == "-€15,636.28"
    assert [show_hours(90, language) for language in PAGE_LANGUAGES] == ["1 t 30 min", "1 h 30 min", "1 h 30 min"]
    assert show_day(date(2026, 11, 2), "en") == "2 November 2026"
    assert show_time(datetime(2026, 11, 2, 22, 5, tzinfo=UTC), "fi") == "3.11.2026 0.05"
    assert show_number(12345, "fi") == "12\N{NO-BREAK SPACE}345"


def bare_words(template: str) -> list[str]:
    """What a template shows that went through no catalogue: text between tags, and attributes that are read out."""
    blocks = (r"{% trans.*?%}.*?{% endtrans %}", r"{% block width %}.*?{% endblock %}")
    for thrown_out in (r"{#.*?#}", *blocks, r"{{.*?}}", r"{%.*?%}", r"<!--.*?-->"):
        template = re.sub(thrown_out, " ", template, flags=re.DOTALL)
    read_out = re.findall(r'\b(?:aria-label|alt|title|placeholder|data-label)="([^"]*)"', template)
    text = re.sub(r"&\w+;", " ", re.sub(r"<[^>]*>", " ", template))
    return re.findall(r"[^\W\d_]{2,}", " ".join([text, *read_out]))


def test_no_template_shows_a_word_that_is_in_no_catalogue() -> None:
    assert bare_words('<p title="Yes">{{ _("No") }} and {% if a %}maybe{% endif %}</p>') == ["and", "maybe", "Yes"]
    ours = [path for path in words.PAGES.rglob("*.html") if path.parent.name != "sandbox" and path.name != "docs.html"]
    assert len(ours) > 40
    for path in ours:
        assert set(bare_words(path.read_text("utf-8"))) <= {"Seteli"}, path


def test_scripts_have_no_words_of_their_own_the_page_gives_them() -> None:
    scripts = list((words.ROOT / "templates" / "assets").glob("*.js"))
    assert len(scripts) > 2
    for path in scripts:
        code = re.sub(r"^\s*//.*$|\s// .*$", "", path.read_text("utf-8"), flags=re.MULTILINE)
        literals = ["".join(found) for found in re.findall(r'"((?:[^"\\\n]|\\.)*)"|`([^`]*)`', code)]
        assert [each for each in literals if re.search(r"[^\W\d_]{2,} [^\W\d_]{2,}", each)] == [], path
