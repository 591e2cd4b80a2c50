"""The parts of a voucher's text message, in the family's language; the wording around them is in templates/. Pure.

They are frozen when the message is queued. The text tells what was granted, not what is left: it is the voucher, and a
copy of it that is asked for after three visits reads like the one that was deleted.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from functools import lru_cache

from service.channels.kinds import NEUTRAL
from service.channels.phrases import format_day, format_weekly
from service.money import format_amount
from service.organisers.model import Organiser, Programme

MESSAGE_KIND = "voucher"

# Pure, and an import asks for the same few a hundred thousand times.
_amount = lru_cache(maxsize=4096)(format_amount)


def message_fields(
    organiser: Organiser,
    programme: Programme,
    language: str,
    *,
    granted: int,
    weekly_visits: int | None,
    weekly_minutes: int | None,
    valid_to: date,
    today: date,
) -> Mapping[str, str]:
    """All fields of the `voucher` message but the code itself."""
    return {
        "programme": programme.name_in(language, organiser.default_language),
        "amount": _amount(granted, programme.unit, language),
        "weekly": format_weekly(weekly_visits, weekly_minutes, language),
        "valid_to": format_day(valid_to, today, language),
        "organiser": organiser.name,
        "help_phone": organiser.help_phone,
        "directory": organiser.directory_address,
        **({NEUTRAL: "yes"} if programme.neutral_texts else {}),
    }


def code_address(public_url: str, code: str) -> str:
    """What the QR code of a code opens: the provider's page; after `#`, the code never reaches a server's log."""
    return f"{public_url}/provider#{code}"
