"""Contacts that must not be written to: what puts them there, and what counts more. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from service.channels.bounces import action_after_bounce
from service.channels.gateway import Action, ChannelName


class SuppressionReason(StrEnum):
    """Why a contact is left alone, what weighs more first: a wish is not overwritten by a fault."""

    COMPLAINT = "complaint"
    OPTED_OUT = "opted_out"
    HARD_BOUNCE = "hard_bounce"
    BAD_CONTACT = "bad_contact"


WISHES = (SuppressionReason.COMPLAINT, SuppressionReason.OPTED_OUT)

PURPOSE = {"sms": "phone", "email": "email"}
"""What the blind index of a channel's contacts is made for."""


@dataclass(frozen=True, slots=True)
class Suppression:
    """One that stands, as its voucher's organiser may see it: no contact, no other organiser."""

    channel: ChannelName
    reason: SuppressionReason
    since: datetime


def suppression_after(channel: ChannelName, failure: str, error_code: str | None) -> SuppressionReason | None:
    """What a failure of this class (an `Action`) says about the contact itself; None: nothing that lasts.

    `error_code` of a mail is what a server answered us (`550 5.1.1`) or what a bounce says (`5.1.1`). A bare 550 is no
    more than the class: servers say it of their own set-up (`550 relay not permitted`) as well as of a mailbox.
    """
    if failure == Action.OPTED_OUT:
        return SuppressionReason.OPTED_OUT
    if failure != Action.BAD_CONTACT:
        return None
    if channel == "sms":
        return SuppressionReason.BAD_CONTACT
    status = (error_code or "").rpartition(" ")[2]
    is_hard = "." in status and action_after_bounce(status) is Action.BAD_CONTACT
    return SuppressionReason.HARD_BOUNCE if is_hard else None


def suppression_context(channel: str) -> bytes:
    """What a suppressed contact is bound to when it is sealed: it belongs to no organiser."""
    return b"suppression" + channel.encode()
