"""The parts of a voucher's text, as a family reads them."""

from __future__ import annotations

from datetime import date

import pytest

from service.vouchers.texts import format_day, format_weekly, message_fields
from tests.organisers.samples import HOME_HELP, LAKESHORE

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
        (date(2028, 3, 31), "fi", "31.3.2028"),
        (date(2028, 3, 31), "en", "31 Mar 2028"),
    ],
)
def test_a_day_has_its_year_only_when_it_could_be_mistaken(day: date, language: str, shown: str) -> None:
    assert format_day(day, TODAY, language) == shown


@pytest.mark.parametrize("language", ["fi", "sv", "en"])
def test_the_text_has_every_field_in_each_language_and_no_code(language: str) -> None:
    fields = message_fields(
        LAKESHORE,
        HOME_HELP,
        language,
        granted=720,
        weekly_visits=2,
        weekly_minutes=None,
        valid_to=date(2027, 3, 31),
        today=TODAY,
    )
    assert set(fields) == {"programme", "amount", "weekly", "valid_to", "organiser", "help_phone", "directory"}
    assert all(fields.values())
