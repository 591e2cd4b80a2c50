"""Every state and every reason of a message has a sentence in every language."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from string import Formatter
from uuid import UUID

import pytest

from service.channels.gateway import Action
from service.channels.limits import BUDGET_REASON
from service.channels.model import MessageState, Reason
from service.channels.operations import Pause
from service.channels.operations.outbox import CONTACT_CHANGED, ShownAttempt, ShownMessage, ShownReceipt
from service.channels.suppressions import SuppressionReason
from service.vouchers.operations.sending import CODE_REPLACED
from service.vouchers.operations.states import CANCELLED
from service.vouchers.timeline import sentences, tell_attempt, tell_message, tell_receipt

AT = datetime(2026, 3, 31, 11, 5, tzinfo=UTC)
LANGUAGES = ("fi", "sv", "en")


def message(state: str, reason: str | None = None) -> ShownMessage:
    return ShownMessage(
        message_id=UUID(int=1),
        kind="voucher",
        channel="sms",
        language="fi",
        recipient_hint="… 567",
        fallback_of=None,
        state=state,
        reason=reason,
        requested_by="key:1",
        created_at=AT,
        due_at=AT,
        accepted_at=AT,
        delivered_at=AT,
        attempts=(),
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_state_and_reason_is_told(language: str) -> None:
    words = sentences(language)
    assert set(words["state"]) == {state.value for state in MessageState}
    reasons = {reason.value for reason in (*Reason, *Action)} | {CODE_REPLACED, CANCELLED, CONTACT_CHANGED, "other"}
    assert set(words["reason"]) == reasons


def pause(reason: str, *, by: str | None = None) -> Pause:
    return Pause(gateway="twilio", reason=reason, since=AT, until=None, paused_by=by, is_probing=False)


WRITTEN = {"fi": "31.3. 14.05", "sv": "31.3. 14:05", "en": "31 March 14:05"}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("paused", [pause("20003"), pause(BUDGET_REASON), pause(BUDGET_REASON, by="command line:a")])
def test_what_a_pause_holds_is_told_with_why_and_since_when_and_no_time_of_the_next_try(
    language: str, paused: Pause
) -> None:
    waiting = replace(message("pending", "gateway_paused"), due_at=datetime(2026, 3, 31, 3, 33, tzinfo=UTC))
    told = tell_message(waiting, language, paused)
    kind = "by_hand" if paused.paused_by else "budget" if paused.reason == BUDGET_REASON else "fault"
    assert told == sentences(language)["paused"][kind].format(
        channel=sentences(language)["channel"]["sms"], to="… 567", since=WRITTEN[language]
    )
    assert paused.reason == BUDGET_REASON or paused.reason not in told


@pytest.mark.parametrize("state", [state.value for state in MessageState if state is not MessageState.PENDING])
def test_a_pause_changes_nothing_for_what_does_not_wait_for_it(state: str) -> None:
    assert tell_message(message(state), "en", pause("20003")) == tell_message(message(state), "en")


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_reason_not_to_write_to_a_contact_is_told_with_what_to_do(language: str) -> None:
    assert set(sentences(language)["suppressed_for"]) == set(SuppressionReason)
    told = tell_message(replace(message("escalated", "suppressed_contact"), suppressed_for="opted_out"), language)
    assert "START" in told


def test_the_languages_have_the_same_sentences_with_the_same_places() -> None:
    shapes = [
        {
            (table, key): sorted(name or "" for _, name, _, _ in Formatter().parse(text))
            for table, entries in sentences(language).items()
            for key, text in entries.items()
            if "{" in text or table != "state"
        }
        for language in LANGUAGES
    ]
    for shape in shapes[1:]:
        assert shape.keys() == shapes[0].keys()


def test_a_caseworker_reads_where_the_text_is_and_why() -> None:
    told = tell_message(message("escalated", "unreachable"), "en")
    assert told.startswith("The text message to … 567 needs a person")
    assert "ask the family to switch it on" in told


def test_a_delivered_text_tells_when_in_finnish_time_and_no_earlier_trouble() -> None:
    assert tell_message(message("delivered", "resent"), "fi") == "Tekstiviesti (… 567) meni perille 31.3. 14.05."


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("outcome", [None, "accepted", "refused", "unknown"])
def test_every_outcome_of_an_attempt_is_told(language: str, outcome: str | None) -> None:
    attempt = ShownAttempt(UUID(int=2), "twilio", outcome, "SM1", "30003", 1, "gsm-7", AT, None, ())
    assert "twilio" in tell_attempt(attempt, language)


def test_a_status_nobody_has_met_is_told_in_the_gateways_words() -> None:
    assert "partially_delivered" in tell_receipt(ShownReceipt("partially_delivered", "30008", AT), "sv")
