"""The languages served, and the words families text back."""

from __future__ import annotations

from typing import get_args

import pytest

from service.channels.languages import (
    INTENT_BY_WORD,
    INTENTS,
    KEYWORDS,
    MESSAGE_LANGUAGES,
    SERVED,
    LanguageCode,
    choose_language,
    fold_keyword,
    reply_word,
)


def test_every_language_has_a_word_for_every_intent() -> None:
    assert set(KEYWORDS) == set(SERVED) == set(MESSAGE_LANGUAGES) == set(get_args(LanguageCode))
    for language in MESSAGE_LANGUAGES:
        assert set(KEYWORDS[language]) == set(INTENTS)
        for intent in INTENTS:
            assert reply_word(language, intent)


def test_no_word_means_two_things_in_any_two_languages() -> None:
    meanings: dict[str, set[str]] = {}
    for by_intent in KEYWORDS.values():
        for intent, words in by_intent.items():
            for word in words:
                meanings.setdefault(fold_keyword(word), set()).add(intent)
    assert {word: found for word, found in meanings.items() if len(found) > 1} == {}
    assert "" not in meanings


@pytest.mark.parametrize("language", MESSAGE_LANGUAGES)
def test_stop_and_start_are_understood_in_latin_letters_from_everybody(language: str) -> None:
    assert "STOP" in KEYWORDS[language]["stop"]
    assert "START" in KEYWORDS[language]["start"]


@pytest.mark.parametrize(
    ("text", "intent"),
    [
        ("saldo", "balance"),
        (" Saldo? ", "balance"),
        ("HJALP!", "help"),
        ("hja\u0308lp", "help"),
        ("oddasit", "resend"),
        ("еще раз", "resend"),
        ("اعادة", "resend"),
        ("ابدا", "start"),
        ("\u200fلا.", "dispute"),
        ("«СТОП»", "stop"),
        ("no", "dispute"),
    ],
)
def test_a_word_is_known_however_it_is_typed(text: str, intent: str) -> None:
    assert INTENT_BY_WORD[fold_keyword(text)] == intent


def test_a_language_without_words_falls_back_to_the_organisers_and_then_to_finnish() -> None:
    assert choose_language("ar", "sv") == "ar"
    assert choose_language("de", "sv") == "sv"
    assert choose_language("ar", "sv", ("fi", "sv")) == "sv"
    assert choose_language(None, "xx") == "fi"
    assert choose_language("ar", "se", ("fi",)) == "fi"
