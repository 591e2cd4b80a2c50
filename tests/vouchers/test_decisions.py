"""What a decision must be like, whoever sends it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.channels.contacts import EmailInvalid, PhoneNotMobile
from service.errors import InvalidRequest, SeteliError
from service.identity_codes import PersonalIdentityCode
from service.money import MAX_AMOUNT, Unit
from service.organisers.model import Programme
from service.vouchers.decisions import (
    check_rules,
    fingerprint_text,
    helsinki_day,
    read_decision,
)
from service.vouchers.model import (
    ContactMissing,
    GrantedNotInSteps,
    ValidityBackwards,
    ValidityFarOff,
    ValidityOver,
    ValidityTooLong,
    WeeklyNotInSteps,
)
from tests.vouchers.worlds import PROGRAMME_NAMES, TODAY, posted

HOME_HELP = Programme(UUID(int=1), "kotipalvelu", PROGRAMME_NAMES, Unit.MINUTES, 15, None)


def read(**changes: Any) -> Any:
    return read_decision(posted(**changes), HOME_HELP, default_language="fi", countries=("FI",))


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"status": "maybe"}, InvalidRequest),
        ({"decision_ref": ""}, InvalidRequest),
        ({"decision_ref": "a\nb"}, InvalidRequest),
        ({"decision_ref": "x" * 81}, InvalidRequest),
        ({"client_ref": "a\0b"}, InvalidRequest),
        ({"language": "de"}, InvalidRequest),
        ({"preferred": "fax"}, InvalidRequest),
        ({"initials": "x" * 13}, InvalidRequest),
        ({"municipality": "Turku\x07"}, InvalidRequest),
        ({"granted": 0}, InvalidRequest),
        ({"granted": -15}, InvalidRequest),
        ({"granted": MAX_AMOUNT + 1}, InvalidRequest),
        ({"weekly_visits": 0}, InvalidRequest),
        ({"weekly_minutes": 10_081}, InvalidRequest),
        ({"phone": None}, ContactMissing),
        ({"phone": "014 266 3501"}, PhoneNotMobile),
        ({"email": "nobody"}, EmailInvalid),
        ({"client_ref": "131052-308T"}, PersonalIdentityCode),
        ({"decision_ref": "perhe 131052-308T"}, PersonalIdentityCode),
    ],
    ids=str,
)
def test_what_does_not_fit_is_told_by_its_own_error(changes: dict[str, Any], error: type[SeteliError]) -> None:
    with pytest.raises(error) as refusal:
        read(**changes)
    told = f"{refusal.value} {refusal.value.details}"
    assert "308T" not in told
    assert "266" not in told


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"granted": 50}, GrantedNotInSteps),
        ({"weekly_minutes": 7}, WeeklyNotInSteps),
        ({"weekly_visits": 2, "weekly_minutes": 100}, WeeklyNotInSteps),
        ({"valid_to": TODAY - timedelta(days=1), "valid_from": TODAY - timedelta(days=9)}, ValidityOver),
        ({"valid_from": TODAY + timedelta(days=9), "valid_to": TODAY + timedelta(days=8)}, ValidityBackwards),
        ({"valid_to": date(9999, 12, 31)}, ValidityTooLong),
        ({"valid_from": date(2126, 11, 23), "valid_to": date(2126, 12, 23)}, ValidityFarOff),
    ],
    ids=str,
)
def test_rules_that_depend_on_the_day_and_the_programme(changes: dict[str, Any], error: type[SeteliError]) -> None:
    with pytest.raises(error):
        check_rules(read(**changes), TODAY)


def test_a_voucher_may_end_today_and_may_last_three_years() -> None:
    check_rules(read(valid_from=TODAY, valid_to=TODAY), TODAY)
    check_rules(read(valid_from=date(2027, 1, 1), valid_to=date(2029, 12, 31)), TODAY)
    check_rules(read(valid_from=date(2027, 2, 28), valid_to=date(2030, 2, 28)), TODAY)


def test_the_day_is_the_one_in_finland() -> None:
    assert helsinki_day(datetime(2026, 11, 22, 22, 30, tzinfo=UTC)) == date(2026, 11, 23)
    assert helsinki_day(datetime(2026, 7, 1, 20, 59, tzinfo=UTC)) == date(2026, 7, 1)


def test_the_same_content_in_another_spelling_has_the_same_fingerprint() -> None:
    assert fingerprint_text(read(phone="040 123 4567")) == fingerprint_text(read(phone="+358401234567"))
    assert fingerprint_text(read(language=None)) == fingerprint_text(read(language="fi"))


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "confirmed"},
        {"client_ref": "perhe-2"},
        {"phone": "040 123 4568"},
        {"phone": None, "email": "a@b.example"},
        {"email": "a@b.example"},
        {"language": "sv"},
        {"preferred": "email"},
        {"initials": None},
        {"municipality": "M.V."},
        {"initials": None, "municipality": "M.V."},
        {"granted": 735},
        {"weekly_visits": None},
        {"weekly_visits": None, "weekly_minutes": 2},
        {"valid_from": TODAY + timedelta(days=1)},
        {"valid_to": TODAY + timedelta(days=121)},
    ],
    ids=str,
)
def test_any_other_content_has_another_fingerprint(changes: dict[str, Any]) -> None:
    assert fingerprint_text(read(**changes)) != fingerprint_text(read())


@given(st.text(max_size=90), st.text(max_size=90))
def test_no_text_breaks_the_reading_of_references(decision_ref: str, client_ref: str) -> None:
    try:
        decision = read(decision_ref=decision_ref, client_ref=client_ref)
    except SeteliError:
        return
    assert decision.decision_ref.isprintable()


def test_a_decision_in_a_traceback_does_not_show_the_family() -> None:
    shown = f"{posted(email='maija@x.example')!r} {read(email='maija@x.example')!r}"
    assert "4567" not in shown
    assert "maija" not in shown


@pytest.mark.parametrize(
    ("named", "caps"),
    [
        ({"weekly_visits": None}, (3, 180)),
        ({"weekly_visits": 2}, (2, None)),
        ({"weekly_visits": None, "weekly_minutes": 90}, (None, 90)),
        ({"weekly_visits": 2, "weekly_minutes": 90}, (2, 90)),
    ],
)
def test_a_decision_that_names_no_weekly_cap_has_the_programmes(
    named: dict[str, int | None], caps: tuple[int | None, int | None]
) -> None:
    capped = replace(HOME_HELP, weekly_visits=3, weekly_minutes=180)
    decision = read_decision(posted(**named), capped, default_language="fi", countries=("FI",))
    assert decision.weekly_caps == caps
    # The same decision after the programme's rules have changed is the same decision.
    before = read_decision(posted(**named), HOME_HELP, default_language="fi", countries=("FI",))
    assert fingerprint_text(decision) == fingerprint_text(before)
