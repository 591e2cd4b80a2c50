"""What a worker reads when nothing is charged: one text message, in its language, whatever the reason."""

from __future__ import annotations

import itertools

import pytest

from service.channels.gateway import ChannelName
from service.channels.rendering import Templates
from service.channels.sms_text import Encoding, measure
from service.debits.model import CODE_REFUSALS, DEBIT_REFUSALS
from service.errors import Detail
from service.staff.grammar import Needed, Slip
from service.staff.model import WORKER_LANGUAGES, Answer
from service.staff.sentences import catalogue, sentences

LONGEST: dict[str, Detail] = {
    "available": 999 * 60 + 45,
    "requested": 999 * 60 + 45,
    "unit": "minutes",
    "step": 999 * 60 + 45,
    "valid_from": "2026-12-31",
    "valid_to": "2028-12-31",
    "cancelled_from": "2028-12-31",
    "service_date": "2028-12-31",
    "late_entry_until": "2028-12-31",
    "used_visits": 14,
    "weekly_visits": 14,
    "used_minutes": 40 * 60 + 45,
    "weekly_minutes": 40 * 60 + 45,
    "next_allowed_date": "2028-12-31",
    "family_pays_cents": 999_99,
    "retry_at": "2028-12-31T23:59:59Z",
    "task_types": "siivous, ruoanlaitto",
    "digits": "12-16",
    "tries": 2,
    "cap": "999 t 45 min",
}
# What a text is never refused for: it tells no task and no no-show, captures no hold; one like another is asked about.
NEVER_TEXTED = {
    *("no_show_not_allowed", "task_type_unknown", "amount_differs_from_times", "capture_above_hold"),
    "possible_duplicate",
}
REASONS = [
    *(refusal.code for refusal in (*CODE_REFUSALS, *DEBIT_REFUSALS) if refusal.code not in NEVER_TEXTED),
    *Answer,
    *Slip,
    *Needed,
]
WHERE_ONE_IS_CHARGED = ("weekly_visits_used", "weekly_minutes_used", "insufficient_value")
TEMPLATES = Templates(can_receive=True)
CHANNEL: ChannelName = "sms"


@pytest.mark.parametrize("language", WORKER_LANGUAGES)
def test_every_reason_and_what_to_do_next_fit_into_one_part(language: str) -> None:
    for reason, last_four, similar in itertools.product(REASONS, ("4444", ""), (False, True)):
        said = sentences(reason, {**LONGEST, "similar_debit": similar}, language)
        fields = {"last_four": last_four, "reason": said.detail, "next_step": said.next_step}
        text = TEMPLATES.render_sms("reply_charge_refused", language, fields)
        size = measure(text)
        assert (size.encoding, size.parts) == (Encoding.GSM_7, 1), (reason, text)
        assert said.detail in text, reason
        assert "{" not in text, reason
        assert said.next_step in text, reason


@pytest.mark.parametrize("language", WORKER_LANGUAGES)
def test_a_week_in_which_nothing_is_possible_any_more_names_no_day(language: str) -> None:
    said = sentences("weekly_visits_used", {**LONGEST, "next_allowed_date": None}, language)
    assert "…" not in said.detail + said.next_step


@pytest.mark.parametrize("language", WORKER_LANGUAGES)
def test_the_words_for_texts_are_complete_and_none_is_left_over(language: str) -> None:
    known = {*Answer, *Slip, *Needed, *(refusal.code for refusal in (*CODE_REFUSALS, *DEBIT_REFUSALS))}
    assert {*Answer, Slip.UNCLEAR, *Needed} <= set(catalogue(language)) <= known
    for code, entry in catalogue(language).items():
        more = {"detail_alike", "next_step_alike"} if code in WHERE_ONE_IS_CHARGED else set()
        assert set(entry) == {"detail", "next_step"} | more
    assert set(WHERE_ONE_IS_CHARGED) <= set(catalogue(language))


@pytest.mark.parametrize("language", WORKER_LANGUAGES)
def test_no_sentence_speaks_of_what_only_a_program_can_do(language: str) -> None:
    for reason, similar in itertools.product(REASONS, (False, True)):
        said = sentences(reason, {**LONGEST, "similar_debit": similar}, language)
        assert not any(word in said.detail + said.next_step for word in ("starts_at", "amount)", "allow_"))
