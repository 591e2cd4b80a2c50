"""What the requests of providers refuse by themselves, before anything is looked up."""

from __future__ import annotations

from datetime import date

import pytest
from pydantic import ValidationError

from service.debits.handlers.charging import DebitRequest
from service.debits.handlers.history import FilterQuery
from service.debits.handlers.holds import HoldRequest
from service.errors import InvalidRequest


@pytest.mark.parametrize("model", [DebitRequest, HoldRequest])
@pytest.mark.parametrize("field", ["worker", "reference"])
def test_a_mark_that_turns_the_direction_of_writing_comes_into_no_history(
    model: type[DebitRequest | HoldRequest], field: str
) -> None:
    body = '{"code": "482703159268", "amount": 15, "%s": "Anna%s Aalto"}'
    assert model.model_validate_json(body % (field, ""))
    with pytest.raises(ValidationError, match="printable"):
        model.model_validate_json(body % (field, "\u202e"))


@pytest.mark.parametrize("what", ["service", "entered"])
def test_days_that_end_before_they_begin_are_no_empty_list(what: str) -> None:
    days = {f"{what}_from": date(2026, 11, 21), f"{what}_to": date(2026, 11, 20)}
    with pytest.raises(InvalidRequest) as refusal:
        FilterQuery.model_validate(days).asked()
    assert refusal.value.details == {"fields": [{"field": f"{what}_to", "reason": f"is before {what}_from"}]}
    assert FilterQuery.model_validate(days | {f"{what}_to": days[f"{what}_from"]}).asked()
