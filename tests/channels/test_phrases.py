"""Days, weekly limits and balances inside texts."""

from __future__ import annotations

from datetime import date

import pytest

from service.channels.languages import MESSAGE_LANGUAGES
from service.channels.phrases import format_balance, format_day, format_weekly
from service.channels.sms_text import Encoding, measure

TODAY = date(2026, 11, 23)


@pytest.mark.parametrize(
    ("visits", "minutes", "language", "shown"),
    [
        (2, None, "fi", "2 krt/vko"),
        (None, 180, "fi", "3 t/vko"),
        (2, 180, "fi", "2 krt/vko, 3 t/vko"),
        (1, None, "sv", "1 ggr/v"),
        (2, None, "en", "2x/week"),
        (None, None, "fi", ""),
        (1, None, "et", "1 kord/näd"),
        (2, None, "ru", "2 раза/нед"),
        (5, None, "uk", "5 разів/тиж"),
        (2, 180, "ar", "مرتان/أسبوع، 3 ساعات/أسبوع"),
        (2, None, "se", "2 gearddi/vahkku"),
        (2, None, "so", "2 jeer/usbuuc"),
    ],
)
def test_a_weekly_cap_is_short_enough_for_a_text(
    visits: int | None, minutes: int | None, language: str, shown: str
) -> None:
    assert format_weekly(visits, minutes, language) == shown


@pytest.mark.parametrize(
    ("day", "language", "shown"),
    [
        (date(2027, 3, 31), "fi", "31.3."),
        (date(2027, 3, 31), "sv", "31.3"),
        (date(2027, 3, 31), "en", "31 Mar"),
        (date(2027, 3, 31), "se", "31.3."),
        (date(2027, 3, 1), "ru", "01.03"),
        (date(2027, 3, 1), "et", "01.03"),
        (date(2027, 3, 31), "ar", "31/3"),
        (date(2028, 3, 31), "fi", "31.3.2028"),
        (date(2028, 3, 31), "sv", "31.3.2028"),
        (date(2028, 3, 31), "en", "31 Mar 2028"),
        (date(2028, 3, 31), "uk", "31.03.2028"),
        (date(2028, 3, 31), "so", "31/3/2028"),
        (date(2025, 11, 20), "fi", "20.11.2025"),  # a visit entered long after
        (date(2026, 11, 20), "fi", "20.11."),
    ],
)
def test_a_day_has_its_year_only_when_it_could_be_mistaken(day: date, language: str, shown: str) -> None:
    assert format_day(day, TODAY, language) == shown


@pytest.mark.parametrize("language", MESSAGE_LANGUAGES)
def test_three_balances_fit_a_text_together(language: str) -> None:
    line = format_balance("9268", "10 h", format_day(date(2027, 3, 31), TODAY, language), language)
    assert line.startswith("..9268: 10 h")
    if language in ("fi", "sv", "en", "so", "et"):
        assert measure(line).encoding is Encoding.GSM_7
