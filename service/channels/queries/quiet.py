"""What may be sent at this hour."""

from __future__ import annotations

from service.channels.model import PATIENT_PRIORITY

_ANY_PRIORITY = 32_767


def awake(from_hour: str, to_hour: str) -> str:
    """SQL: the priority below which messages may go now, by the quiet hours in two parameters of the statement.

    Asked whenever something is sent and not only when it is queued: what is tried again, goes to the other channel or
    waited for its gateway comes due at any hour.
    """
    is_quiet = f"not_in_quiet_hours(now(), {from_hour}::int, {to_hour}::int) > now()"
    return f"(SELECT CASE WHEN {is_quiet} THEN {PATIENT_PRIORITY} ELSE {_ANY_PRIORITY} END)"
