"""What a family, and who has to look after it, were told: each thing once, and in numbers that are true. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime

from service.money import Unit, format_amount
from tests.chaos.ledger import Charge, Family, Json

LANGUAGE = "fi"
KINDS = {"voucher", "debit_receipt", "debit_reversed", "reply_balance"}
CONTACTS_FAULTS = ("not_routable", "country_not_served", "contact_unreadable", "suppressed_contact")


def wrong_messages(family: Family, messages: Sequence[Json]) -> Iterator[str]:
    """A message for the decision and for each resend; one for each debit, one for each reversal; no other."""
    asked = set(family.message_ids)
    there = {
        message["message_id"] for message in messages if message["kind"] == "voucher" and not _is_fallback(message)
    }
    if len(asked) != len(family.message_ids) or asked != there:
        yield f"{len(family.message_ids)} messages were asked for, {len(there)} are there"
    told = Counter(message["kind"] for message in messages if not _is_fallback(message))
    for kind, charges in (("debit_receipt", family.debits), ("debit_reversed", family.reversals)):
        if told[kind] != len(charges):
            yield f"{len(charges)} charges, {told[kind]} {kind}"
    if told["reply_balance"] != family.questions:
        yield f"{family.questions} questions, {told['reply_balance']} answers"
    if told.keys() - KINDS:
        yield f"nobody asked for {sorted(told.keys() - KINDS)}"


def wrong_receipts(family: Family, texts: Sequence[Json]) -> Iterator[str]:
    """Each text about a visit says what one charge was answered, and each is told of in one text at most.

    That no text is missing is told by the number of texts and of messages.
    """
    charged = Counter(_words(charge) for charge in (*family.debits, *family.reversals))
    told = Counter(words for text in texts for words in charged if all(part in text["body"] for part in words))
    about_visits = sum("veloit" in text["body"] for text in texts)
    if about_visits != sum(told.values()):
        yield "a receipt tells of what was not charged"
    if any(count > charged[words] for words, count in told.items()):
        yield "one charge, two receipts"


def wrong_after_stop(family: Family, messages: Sequence[Json]) -> Iterator[str]:
    """Whoever has written STOP gets no text any more, but what a worker had taken up before; that may come when it may.

    That no text comes without an attempt is told by the number of texts.
    """
    if family.stopped_at is None:
        return
    began = [attempt["started_at"] for message in messages for attempt in message["attempts"]]
    late = sum(datetime.fromisoformat(at).timestamp() > family.stopped_at for at in began)
    if late:
        yield f"{late} texts after STOP"


def wrong_attention(messages: Sequence[Json], items: Sequence[Json]) -> Iterator[str]:
    """On the caseworkers' list is what ended with a person, once, and nothing else."""
    escalated = [message for message in messages if message["state"] == "escalated"]
    listed = Counter((item["reason"], item["message_id"]) for item in items)
    if any(count > 1 for count in listed.values()):
        yield "one thing is twice on the caseworkers' list"
    needed = {(m["reason"], m["message_id"]) for m in escalated if m["kind"] == "voucher"}
    besides = {("contact_lost", None) for m in escalated if m["kind"] != "voucher" and _is_the_contacts_fault(m)}
    if listed.keys() - needed - besides:
        yield "something is on the caseworkers' list that needs nobody"
    has_code = any(_is_there(message) for message in messages if message["kind"] == "voucher")
    if needed - listed.keys() and not has_code:
        yield "a person is needed, and nobody was told"


def _is_the_contacts_fault(message: Json) -> bool:
    """What says that the contact does not work; for other reasons nobody is called when it is a receipt."""
    reason = str(message["reason"])
    return reason in CONTACTS_FAULTS or reason.startswith("bad_contact")


def _is_there(message: Json) -> bool:
    return message["state"] == "delivered" or (message["channel"] == "email" and message["state"] == "sent")


def _is_fallback(message: Json) -> bool:
    return message["fallback_of"] is not None


def _words(charge: Charge) -> tuple[str, ...]:
    """What a text about it has to hold."""
    amount, left = (format_amount(charge.answer[name], Unit.MINUTES, LANGUAGE) for name in ("amount", "available"))
    verb = f"veloitti {amount} (" if charge.is_debit else f"perui veloituksen {amount} ("
    return verb, f"Jäljellä {left}. "
