"""Personal identity codes are kept out, wherever they stand."""

from __future__ import annotations

import pytest

from service.identity_codes import PersonalIdentityCode, refuse_identity_code


@pytest.mark.parametrize(
    "text", ["131052-308T", "131052-308t", " 131052-308T ", "id=131052-308T;", "9131052-308T", "131052–308T"]
)
def test_a_personal_identity_code_is_found_wherever_it_stands(text: str) -> None:
    with pytest.raises(PersonalIdentityCode) as refusal:
        refuse_identity_code("reason", text)
    assert refusal.value.details == {"field": "reason"}


@pytest.mark.parametrize("text", ["KH-2026-000123", "131052-308U", "991352-308T", "EKA 2026/123", "482703159268"])
def test_an_ordinary_reference_is_no_personal_identity_code(text: str) -> None:
    refuse_identity_code("reason", text)
