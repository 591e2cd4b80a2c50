"""Sentences for people."""

from __future__ import annotations

import pytest

from service.problems import LANGUAGES, field_reason, field_words, problem

DETAILS = {"available": 630, "requested": 645, "unit": "minutes", "step": 15, "valid_to": "2026-03-31"}


@pytest.mark.parametrize(
    ("language", "sentence"),
    [
        ("fi", "Setelissä on jäljellä 10 t 30 min; pyysit 10 t 45 min."),
        ("sv", "På sedeln återstår 10 h 30 min; du begärde 10 h 45 min."),
        ("en", "10 h 30 min is left on the voucher; you asked for 10 h 45 min."),
    ],
)
def test_a_refusal_tells_amounts_as_people_do(language: str, sentence: str) -> None:
    assert problem("insufficient_value", DETAILS, language).detail == sentence


@pytest.mark.parametrize(("language", "day"), [("fi", "31.3.2026"), ("sv", "31.3.2026"), ("en", "31 March 2026")])
def test_a_refusal_tells_days_as_people_do(language: str, day: str) -> None:
    assert day in problem("voucher_expired", DETAILS, language).detail


def test_times_are_those_of_the_clock_in_finland() -> None:
    blocked = {"retry_at": "2026-11-21T22:01:51Z"}
    assert "22.11.2026 0.01" in problem("credential_blocked", blocked, "fi").detail
    assert "22.11.2026 00:01" in problem("credential_blocked", blocked, "sv").detail


def test_what_fields_must_be_is_written_in_every_language() -> None:
    words = [field_words(language) for language in LANGUAGES]
    assert words[0].keys() == words[1].keys() == words[2].keys()
    assert field_reason("no_such_fault", {}, "fi") == "ei kelpaa"


def test_a_detail_that_is_missing_leaves_a_gap_and_no_error() -> None:
    assert "…" in problem("voucher_expired", {}, "en").detail


def test_a_list_of_choices_has_no_english_in_it() -> None:
    assert field_reason("literal_error", {"expected": "'fi', 'sv' or 'en'"}, "fi") == "yksi näistä: 'fi', 'sv', 'en'"


def test_a_nul_is_told_in_every_language() -> None:
    assert len({field_reason("nul", {"field": "note"}, language) for language in LANGUAGES}) == len(LANGUAGES)
