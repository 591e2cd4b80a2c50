"""The phone network: takes texts, brings them to phones, reports on them, and lets families answer and
delete.

Owns every text and its way `queued → sending → sent → delivered | undelivered`. A text is in the journal
before `accept` returns; after a restart the texts under way go on from where they were.
"""

import asyncio
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from service.channels.sms_text import measure
from service.sandbox.faults import Faults, ReceiptFate, TextFate
from service.sandbox.journal import Journal, Record
from service.sandbox.phone.model import (
    FINAL,
    INBOUND,
    REPLY,
    Status,
    Text,
    from_record,
    status_at,
    to_record,
)
from service.sandbox.phone.receipts import ReceiptSender
from service.sandbox.phone.refusals import UNDELIVERABLE, CreateRequest, Refusal

SERVICE_SENDER = "+3584573960000"
"""The number a messaging service sends from here, and the one inbound texts go to when nobody else wrote
before."""

_STOP = frozenset({"STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT"})
_START = frozenset({"START", "YES", "UNSTOP"})
_REORDERED_BY_S = 0.05


@dataclass(frozen=True, slots=True)
class Pace:
    """How long after it was taken a text is sent, and has arrived, in seconds."""

    sent_after_s: float = 0.03
    delivered_after_s: float = 0.08


class PhoneNetwork:
    """Every text there ever was, in order of arrival."""

    def __init__(
        self, journal: Journal, faults: Faults, receipts: ReceiptSender, *, account_sid: str, pace: Pace
    ) -> None:
        self.account_sid = account_sid
        self.texts: list[Text] = []
        self.inbound_url: str | None = None
        self._journal = journal
        self._faults = faults
        self._receipts = receipts
        self._pace = pace
        self._by_sid: dict[str, Text] = {}
        self._by_phone: defaultdict[str, list[Text]] = defaultdict(list)
        self._by_recipient: defaultdict[str, list[Text]] = defaultdict(list)
        self._opted_out: set[str] = set()
        self._is_open = True

    # -- what was before ---------------------------------------------------------------------------

    def replay(self, record: Record) -> None:
        """Take in one line of the journal; other owners' kinds are passed over."""
        match record["kind"]:
            case "text":
                self._keep(from_record(record))
            case "status":
                text = self._by_sid[record["sid"]]
                text.status = Status(record["status"])
                text.updated_at = record["at"]
                text.error_code = record.get("error_code")
                if text.status is Status.SENT:
                    text.sent_at = record["at"]
            case "deleted":
                self._by_sid[record["sid"]].deleted_at = record["at"]
            case "configured":
                self.inbound_url = record["inbound_url"]

    def resume(self) -> None:
        """Let the texts that were under way when the process ended go on."""
        for text in self.texts:
            if text.status not in FINAL:
                self._set_off(text, self._faults.next_text_fate())

    def close(self) -> None:
        """Stop the clock: nothing is sent, delivered or reported from now on. `resume` goes on after a
        restart."""
        self._is_open = False

    # -- texts to phones ---------------------------------------------------------------------------

    def accept(self, request: CreateRequest) -> Text:
        """Take a text: it is in the journal when this returns, and on its way. Not idempotent, as Twilio is
        not.

        Raises Refusal 21610 for a phone that sent STOP; OSError when the journal cannot be written.
        """
        if request.to in self._opted_out:
            raise Refusal(21610)
        first = Status.ACCEPTED if request.sender is None else Status.QUEUED
        text = self._new(request.to, request.sender or SERVICE_SENDER, request.body, status=first)
        text.messaging_service_sid = request.messaging_service_sid
        text.callback = request.callback
        text.hides_body = request.hides_body
        text.hides_number = request.hides_number
        self._journal.append_now(to_record(text))
        self._keep(text)
        self._set_off(text, self._faults.next_text_fate())
        return text

    def find(self, sid: str) -> Text | None:
        """The text with this sid."""
        return self._by_sid.get(sid)

    def newest_first(self, phone: str | None = None) -> Iterator[Text]:
        """Texts to and from `phone`, or all, newest first."""
        return reversed(self.texts if phone is None else self._by_phone.get(phone, []))

    def newest_first_to(self, number: str) -> Iterator[Text]:
        """Texts whose recipient is `number`, newest first."""
        return reversed(self._by_recipient.get(number, []))

    def phones(self) -> list[str]:
        """Every number that has a text, the one with the newest text first."""
        return sorted(self._by_phone, key=lambda phone: self._by_phone[phone][-1].number, reverse=True)

    def shown_status(self, text: Text) -> Status:
        """The status Twilio would show just now."""
        return status_at(text, time.time(), sending_after_s=self._pace.sent_after_s / 2)

    def delete_from_phone(self, text: Text) -> None:
        """The family deletes the text; the record keeps it. Repeating it changes nothing."""
        if text.deleted_at is None:
            at = time.time()
            self._journal.append_now({"kind": "deleted", "sid": text.sid, "at": at})
            text.deleted_at = at

    # -- texts from phones -------------------------------------------------------------------------

    def configure(self, inbound_url: str | None) -> None:
        """Where inbound texts are posted from now on; survives a restart."""
        if inbound_url != self.inbound_url:
            self._journal.append_now({"kind": "configured", "inbound_url": inbound_url})
            self.inbound_url = inbound_url

    def take_inbound(self, phone: str, body: str, *, to: str | None) -> Text:
        """A family writes. STOP and START also opt the phone out and in again."""
        text = self._new(to or self._last_sender_number(phone), phone, body, status=Status.RECEIVED)
        text.direction = INBOUND
        text.sent_at = text.at
        self._journal.append_now(to_record(text))
        self._keep(text)
        return text

    def reply(self, phone: str, sender: str, body: str) -> Text:
        """Bring the text that the application wrote back into its answer to an inbound text (TwiML)."""
        text = self._new(phone, sender, body, status=Status.QUEUED)
        text.direction = REPLY
        self._journal.append_now(to_record(text))
        self._keep(text)
        self._set_off(text, self._faults.next_text_fate())
        return text

    # -- inside ------------------------------------------------------------------------------------

    def _new(self, to: str, sender: str, body: str, *, status: Status) -> Text:
        size = measure(body)
        now = time.time()
        return Text(
            number=len(self.texts),
            sid="SM" + os.urandom(16).hex(),
            to=to,
            sender=sender,
            body=body,
            encoding=size.encoding.value,
            parts=size.parts,
            at=now,
            updated_at=now,
            status=status,
        )

    def _keep(self, text: Text) -> None:
        self.texts.append(text)
        self._by_sid[text.sid] = text
        self._by_recipient[text.to].append(text)
        self._by_phone[text.sender if text.is_inbound else text.to].append(text)
        if text.is_inbound:
            word = text.body.strip().upper()
            if word in _STOP:
                self._opted_out.add(text.sender)
            elif word in _START:
                self._opted_out.discard(text.sender)

    def _last_sender_number(self, phone: str) -> str:
        texts = (text for text in self.newest_first(phone) if not text.is_inbound)
        return next((text.sender for text in texts if text.sender.startswith("+")), SERVICE_SENDER)

    def _set_off(self, text: Text, fate: TextFate) -> None:
        if text.sent_at is None:
            self._later(self._pace.sent_after_s, lambda: self._send(text, fate))
        self._later(self._pace.delivered_after_s, lambda: self._arrive(text, fate))

    def _later(self, wait_s: float, act: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_later(wait_s, lambda: act() if self._is_open else None)

    def _send(self, text: Text, fate: TextFate) -> None:
        text.sent_at = time.time()
        self._advance(text, Status.SENT)
        wait_s = 0.0
        if fate.is_reordered and text.callback:
            self._faults.count("receipts_reordered")
            wait_s = self._pace.delivered_after_s - self._pace.sent_after_s + _REORDERED_BY_S
        self._report(text, Status.SENT, fate.sent, wait_s=wait_s)

    def _arrive(self, text: Text, fate: TextFate) -> None:
        text.error_code = UNDELIVERABLE.get(text.to)
        final = Status.DELIVERED if text.error_code is None else Status.UNDELIVERED
        self._advance(text, final)
        self._report(text, final, fate.final, wait_s=0.0)

    def _advance(self, text: Text, status: Status) -> None:
        text.status, text.updated_at = status, time.time()
        record: Record = {"kind": "status", "sid": text.sid, "status": status.value, "at": text.updated_at}
        if text.error_code is not None:
            record["error_code"] = text.error_code
        self._journal.append(record)

    def _report(self, text: Text, status: Status, fate: ReceiptFate, *, wait_s: float) -> None:
        if text.callback is None:
            return
        if fate.is_lost:
            self._faults.count("receipts_lost")
        else:
            self._post_later(text, self._form(text, status, text.error_code), wait_s)
            if fate.is_duplicated:
                self._faults.count("receipts_duplicated")
                self._post_later(text, self._form(text, status, text.error_code), wait_s)
        if fate.is_forged:
            self._faults.count("receipts_forged")
            is_lie_good = status is Status.UNDELIVERED
            lie = Status.DELIVERED if is_lie_good else Status.UNDELIVERED
            self._post_later(text, self._form(text, lie, None if is_lie_good else 30005), wait_s, is_forged=True)

    def _post_later(self, text: Text, form: dict[str, str], wait_s: float, *, is_forged: bool = False) -> None:
        assert text.callback is not None
        wait_s += self._faults.settings.receipts_delayed_s
        if wait_s <= 0:
            self._receipts.post_soon(text.sid, text.callback, form, is_forged=is_forged)
            return
        sid, url = text.sid, text.callback
        self._later(wait_s, lambda: self._receipts.post_soon(sid, url, form, is_forged=is_forged))

    def _form(self, text: Text, status: Status, error_code: int | None) -> dict[str, str]:
        form = {
            "AccountSid": self.account_sid,
            "ApiVersion": "2010-04-01",
            "From": text.sender,
            "MessageSid": text.sid,
            "MessageStatus": status.value,
            "SmsSid": text.sid,
            "SmsStatus": status.value,
            "To": text.to,
        }
        if text.messaging_service_sid is not None:
            form["MessagingServiceSid"] = text.messaging_service_sid
        if error_code is not None:
            form["ErrorCode"] = str(error_code)
        return form
