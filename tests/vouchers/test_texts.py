"""The parts of a voucher's text, as a family reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date

import pytest

from service.channels.languages import MESSAGE_LANGUAGES
from service.organisers.model import Organiser, Programme
from service.vouchers.texts import message_fields
from tests.organisers.samples import HOME_HELP, LAKESHORE

TODAY = date(2026, 11, 23)


@pytest.mark.parametrize("language", MESSAGE_LANGUAGES)
def test_the_text_has_every_field_in_each_language_and_no_code(language: str) -> None:
    fields = fields_of(LAKESHORE, HOME_HELP, language)
    assert set(fields) == {"programme", "amount", "weekly", "valid_to", "organiser", "help_phone", "directory"}
    assert all(fields.values())


def test_a_programme_without_a_name_in_the_familys_language_has_the_organisers() -> None:
    swedish = replace(LAKESHORE, default_language="sv")
    assert fields_of(swedish, HOME_HELP, "ar")["programme"] == "Hemservice"
    assert fields_of(replace(LAKESHORE, default_language="se"), HOME_HELP, "ar")["programme"] == "Kotipalvelu"
    named = replace(HOME_HELP, names={**HOME_HELP.names, "ar": "مساعدة"})
    assert fields_of(swedish, named, "ar")["programme"] == "مساعدة"


def test_a_programme_with_neutral_texts_says_so_to_the_template() -> None:
    assert fields_of(LAKESHORE, replace(HOME_HELP, neutral_texts=True), "fi")["neutral"] == "yes"


def fields_of(organiser: Organiser, programme: Programme, language: str) -> Mapping[str, str]:
    return message_fields(
        organiser,
        programme,
        language,
        granted=720,
        weekly_visits=2,
        weekly_minutes=None,
        valid_to=date(2027, 3, 31),
        today=TODAY,
    )
