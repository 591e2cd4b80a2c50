"""The kinds of messages, and what each can tell: the contract between whoever queues a message and its templates. Pure.

Every field is a string and is there for every message of its kind, empty where nothing is to be told. A test holds
every template to these names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from service.channels.languages import MESSAGE_LANGUAGES, Intent

# A text stays within its parts as long as the values keep to these lengths in septets (å and ö are one, € is two) or,
# in alphabets beyond GSM-7, in 16-bit units. Whoever takes the values in enforces them.
PROGRAMME_NAME_MAX = 26  # "Lapsiperheiden kotipalvelu"
DIRECTORY_MAX = 30
HELP_PHONE_MAX = 16
PROVIDER_NAME_SHOWN_MAX = 30  # longer names are shortened in text messages
REASON_MAX = 140  # why a worker's text charged nothing

# What rendering itself adds: the words a family can answer with, empty where the sender cannot receive.
REPLY_WORDS: Mapping[str, Intent] = {
    "balance_word": "balance",
    "resend_word": "resend",
    "help_word": "help",
    "dispute_word": "dispute",
}
# A field of any kind: not empty chooses the wording that leaves out the service and who provides it.
NEUTRAL = "neutral"


@dataclass(frozen=True, slots=True)
class Kind:
    """`fields` are frozen when the message is queued, `secret_fields` are opened only when it is rendered."""

    fields: frozenset[str]
    secret_fields: frozenset[str] = frozenset()
    has_neutral: bool = False
    has_email: bool = True
    """Whether there is a mail of its own; otherwise a mail carries the words of the text message."""
    languages: tuple[str, ...] = MESSAGE_LANGUAGES
    has_sms: bool = True
    """Whether there is a text; a mail with a link to sign in by goes to the mailbox alone."""

    @property
    def all_fields(self) -> frozenset[str]:
        return self.fields | self.secret_fields


# Providers' workers, unlike families, read the languages that the API speaks.
WORKERS_READ = ("fi", "sv", "en")


def _kind(fields: str, *, opened: str = "", has_neutral: bool = False, has_email: bool = True) -> Kind:
    return Kind(frozenset(fields.split()), frozenset(opened.split()), has_neutral, has_email)


def _to_workers(fields: str, *, opened: str = "") -> Kind:
    return Kind(frozenset(fields.split()), frozenset(opened.split()), has_email=False, languages=WORKERS_READ)


def _to_people(fields: str, *, opened: str) -> Kind:
    return Kind(frozenset(fields.split()), frozenset(opened.split()), languages=WORKERS_READ, has_sms=False)


KINDS: Mapping[str, Kind] = {
    "voucher": _kind(
        "programme amount weekly valid_to organiser help_phone directory",
        opened="code code_digits link",
        has_neutral=True,
    ),
    "debit_receipt": _kind("provider amount service_date left help_phone last_four", has_neutral=True),
    "debit_reversed": _kind(
        "provider amount service_date left help_phone last_four", has_neutral=True, has_email=False
    ),
    "debit_receipts_day": _kind("count amount left day help_phone last_four"),
    "reminder_unused": _kind("programme left valid_to directory help_phone last_four", has_neutral=True),
    "reminder_expiring": _kind("programme left valid_to help_phone last_four", has_neutral=True),
    "reply_balance": _kind("lines help_phone", has_email=False),
    "reply_help": _kind("help_phone", has_email=False),
    "reply_unknown": _kind("help_phone", has_email=False),
    "reply_dispute": _kind("provider amount service_date help_phone", has_neutral=True, has_email=False),
    "reply_resend_limit": _kind("help_phone", has_email=False),
    "reply_charge_done": _to_workers("last_four amount service_date family_pays left"),
    "reply_charge_question": _to_workers("last_four amount service_date family_pays alike", opened="number"),
    "reply_charge_refused": _to_workers("last_four reason next_step"),
    "invitation": _to_people("owner inviter valid_to", opened="link"),
    "recovery": _to_people("owner valid_to", opened="link"),
}
