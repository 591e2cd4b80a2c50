"""What became of a message, in sentences that a caseworker can read out to the family. The words are in templates/."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path

from service.channels.limits import BUDGET_REASON
from service.channels.operations import Pause
from service.channels.operations.outbox import ShownAttempt, ShownMessage, ShownReceipt
from service.problems import format_recent_time

FOLDER = Path(__file__).parent.parent.parent / "templates" / "timeline"


@cache
def sentences(language: str) -> Mapping[str, Mapping[str, str]]:
    """All sentences of one language, as in its file."""
    return tomllib.loads((FOLDER / f"{language}.toml").read_text("utf-8"))


def tell_message(message: ShownMessage, language: str, paused: Pause | None = None) -> str:
    """Where the message is, when that came to be, and why. `paused`: the pause of its channel, if there is one."""
    words = sentences(language)
    if paused is not None and message.state == "pending":
        # When it is tried next, and what it met before, are beside the point until the pause is over.
        return words["paused"][_pause_kind(paused)].format(
            channel=words["channel"][message.channel],
            to=message.recipient_hint,
            since=local_time(paused.since, language),
        )
    told = words["state"][message.state].format(
        channel=words["channel"][message.channel],
        to=message.recipient_hint,
        queued=local_time(message.created_at, language),
        accepted=local_time(message.accepted_at, language),
        delivered=local_time(message.delivered_at, language),
        due=local_time(message.due_at, language),
    )
    # A delivered text needs no excuse for what went wrong on its way.
    if message.reason is None or message.state == "delivered":
        return told
    if message.suppressed_for is not None:
        return f"{told} {words['suppressed_for'].get(message.suppressed_for, words['reason']['suppressed_contact'])}"
    return f"{told} {words['reason'].get(message.reason, words['reason']['other'])}"


def _pause_kind(paused: Pause) -> str:
    if paused.paused_by is not None:
        return "by_hand"
    return "budget" if paused.reason == BUDGET_REASON else "fault"


def tell_attempt(attempt: ShownAttempt, language: str) -> str:
    """What the gateway said when it was asked to send."""
    words = sentences(language)["attempt"]
    told = words[attempt.outcome or "under_way"].format(
        gateway=attempt.gateway,
        at=local_time(attempt.answered_at or attempt.started_at, language),
        code=attempt.error_code or "–",
    )
    return f"{told} {words['parts'].format(parts=attempt.parts)}" if attempt.parts else told


def tell_receipt(receipt: ShownReceipt, language: str) -> str:
    """What the gateway reported later; a status that is not in our words is told in its own."""
    words = sentences(language)["receipt"]
    told = words.get(receipt.status.lower(), words["other"])
    code = f" ({receipt.error_code})" if receipt.error_code else ""
    return told.format(at=local_time(receipt.received_at, language), status=receipt.status) + code


def local_time(at: datetime | None, language: str) -> str:
    """On the clocks in Finland; a dash for what has not happened."""
    return "–" if at is None else format_recent_time(at, language)
