"""Amounts as people read them, in every language served."""

from __future__ import annotations

import pytest

from service.channels.languages import MESSAGE_LANGUAGES
from service.money import MAX_AMOUNT, Unit, format_amount


@pytest.mark.parametrize(
    ("amount", "unit", "language", "shown"),
    [
        (720, Unit.MINUTES, "fi", "12 t"),
        (150, Unit.MINUTES, "fi", "2 t 30 min"),
        (0, Unit.MINUTES, "fi", "0 min"),
        (150, Unit.MINUTES, "sv", "2 h 30 min"),
        (60, Unit.MINUTES, "se", "1 diibmu"),
        (150, Unit.MINUTES, "se", "2 diimmu 30 min"),
        (150, Unit.MINUTES, "ru", "2 ч 30 мин"),
        (150, Unit.MINUTES, "uk", "2 год 30 хв"),
        (60, Unit.MINUTES, "ar", "ساعة واحدة"),
        (150, Unit.MINUTES, "ar", "ساعتان و30 دقيقة"),
        (305, Unit.MINUTES, "ar", "5 ساعات و5 دقائق"),
        (720, Unit.MINUTES, "ar", "12 ساعة"),
        (0, Unit.MINUTES, "ar", "0 دقيقة"),
        (150, Unit.MINUTES, "so", "2 saac 30 daq"),
        (150, Unit.MINUTES, "et", "2 t 30 min"),
        (3350, Unit.CENTS, "fi", "33,50 €"),
        (3350, Unit.CENTS, "en", "€33.50"),
        (3305, Unit.CENTS, "ar", "33.05 يورو"),
        (3350, Unit.CENTS, "uk", "33,50 €"),
        (-3350, Unit.CENTS, "fi", "-33,50 €"),
        (-5, Unit.CENTS, "en", "-€0.05"),
        (1, Unit.VISITS, "fi", "1 käynti"),
        (2, Unit.VISITS, "fi", "2 käyntiä"),
        (1, Unit.VISITS, "ru", "1 визит"),
        (2, Unit.VISITS, "ru", "2 визита"),
        (5, Unit.VISITS, "ru", "5 визитов"),
        (11, Unit.VISITS, "ru", "11 визитов"),
        (12, Unit.VISITS, "ru", "12 визитов"),
        (21, Unit.VISITS, "ru", "21 визит"),
        (111, Unit.VISITS, "ru", "111 визитов"),
        (122, Unit.VISITS, "ru", "122 визита"),
        (3, Unit.SESSIONS, "uk", "3 сеанси"),
        (2, Unit.SESSIONS, "ar", "جلستان"),
        (10, Unit.SESSIONS, "ar", "10 جلسات"),
        (11, Unit.SESSIONS, "ar", "11 جلسة"),
        (103, Unit.SESSIONS, "ar", "103 جلسات"),
        (5, Unit.SESSIONS, "et", "5 korda"),
        (5, Unit.SESSIONS, "so", "5 jeer"),
        (2, Unit.VISITS, "se", "2 galledeami"),
    ],
)
def test_an_amount_reads_as_people_write_it(amount: int, unit: Unit, language: str, shown: str) -> None:
    assert format_amount(amount, unit, language) == shown


@pytest.mark.parametrize("language", MESSAGE_LANGUAGES)
@pytest.mark.parametrize("unit", Unit)
def test_every_unit_has_its_words_in_every_language(language: str, unit: Unit) -> None:
    for amount in (0, 1, 2, 3, 11, 60, 61, 100, MAX_AMOUNT):
        shown = format_amount(amount, unit, language)
        assert shown
        assert "{" not in shown
