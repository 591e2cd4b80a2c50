"""What goes wrong in the sandbox, on purpose: rates, a seed, and a count of what was injected.

The same seed and the same sequence of calls give the same faults: every stream (texts in, look-ups,
receipts, mails) has dice of its own and throws a fixed number of them per call, so that receipts on their
timers never shift the fate of the next text. Faults live in memory only: a restart heals everything.
"""

from collections import Counter
from enum import StrEnum
from random import Random
from typing import Annotated, NamedTuple, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

Rate = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0, le=60, allow_inf_nan=False)]


class FaultSettings(BaseModel):
    """The whole set of faults; what is left out is healed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = 0
    seconds_per_call: Seconds = 0
    """How long the phone network thinks before it takes a text or answers a look-up."""
    timeout_after_accept: Rate = 0
    """The text is taken and delivered; the answer never comes."""
    error_5xx: Rate = 0
    """A server error; nothing was taken. Look-ups are hit, too."""
    error_5xx_after_accept: Rate = 0
    """A server error of the same looks, but the text was taken and is delivered."""
    error_429: Rate = 0
    """Twilio's 20429; nothing was taken. Look-ups are hit, too."""
    refuse_code: Annotated[int, Field(ge=20001, le=69999)] | None = None
    """Refuse every text with this Twilio error code; a code below 21000 (credentials …) refuses look-ups,
    too."""
    receipts_lost: Rate = 0
    receipts_duplicated: Rate = 0
    receipts_reordered: Rate = 0
    """Rate of texts whose `sent` is reported after the final status."""
    receipts_delayed_s: Seconds = 0
    receipts_forged: Rate = 0
    """Rate of receipts that are followed by a false one with a wrong signature."""
    smtp_4xx: Rate = 0
    """451 at RCPT TO, as greylisting does."""
    smtp_5xx: Rate = 0
    """550 at RCPT TO."""
    smtp_drop_in_data: Rate = 0
    """The connection is dropped in the middle of DATA; nothing was taken."""
    smtp_lost_250: Rate = 0
    """The mail is taken; the connection is dropped instead of the 250."""

    @model_validator(mode="after")
    def _one_fate_a_call(self) -> Self:
        calls = self.timeout_after_accept + self.error_5xx + self.error_5xx_after_accept + self.error_429
        mails = self.smtp_4xx + self.smtp_5xx + self.smtp_drop_in_data + self.smtp_lost_250
        if max(calls, mails) > 1 + 1e-9:
            raise ValueError("one call has one fate: the rates of a call's faults sum up to at most 1")
        return self


class CallFate(StrEnum):
    """What becomes of one call of the REST protocol."""

    NORMAL = "normal"
    TIMEOUT_AFTER_ACCEPT = "timeout_after_accept"
    ERROR_5XX = "error_5xx"
    ERROR_5XX_AFTER_ACCEPT = "error_5xx_after_accept"
    ERROR_429 = "error_429"


class MailFate(StrEnum):
    """What becomes of one SMTP transaction."""

    NORMAL = "normal"
    REFUSE_4XX = "smtp_4xx"
    REFUSE_5XX = "smtp_5xx"
    DROP_IN_DATA = "smtp_drop_in_data"
    LOST_250 = "smtp_lost_250"


_Fate = TypeVar("_Fate", CallFate, MailFate)


class ReceiptFate(NamedTuple):
    """What becomes of one status report."""

    is_lost: bool = False
    is_duplicated: bool = False
    is_forged: bool = False


class TextFate(NamedTuple):
    """What becomes of one taken text's reports."""

    is_reordered: bool
    sent: ReceiptFate
    final: ReceiptFate


NORMAL_TEXT = TextFate(is_reordered=False, sent=ReceiptFate(), final=ReceiptFate())

_CREATE_FATES = (
    CallFate.TIMEOUT_AFTER_ACCEPT,
    CallFate.ERROR_5XX,
    CallFate.ERROR_5XX_AFTER_ACCEPT,
    CallFate.ERROR_429,
)
# Look-ups never hang: they are how a caller finds out about a text whose answer never came.
_LOOK_UP_FATES = (CallFate.ERROR_5XX, CallFate.ERROR_429)
_MAIL_FATES = (MailFate.REFUSE_4XX, MailFate.REFUSE_5XX, MailFate.DROP_IN_DATA, MailFate.LOST_250)


class Faults:
    """The faults in force. `injected` counts since the process began and is never set back."""

    def __init__(self) -> None:
        self.injected: Counter[str] = Counter()
        self.apply(FaultSettings())

    def apply(self, settings: FaultSettings) -> None:
        """Put `settings` in force from the next call on, and start its dice anew from its seed."""
        self.settings = settings
        self._create_dice = Random(f"create {settings.seed}")  # noqa: S311 - repeatable, not secret
        self._look_up_dice = Random(f"look-up {settings.seed}")  # noqa: S311
        self._receipt_dice = Random(f"receipt {settings.seed}")  # noqa: S311
        self._mail_dice = Random(f"mail {settings.seed}")  # noqa: S311

    def next_create_fate(self) -> CallFate:
        """The fate of the next text handed in."""
        return self._next_fate(_CREATE_FATES, self._create_dice) or CallFate.NORMAL

    def next_look_up_fate(self) -> CallFate:
        """The fate of the next fetch or list."""
        return self._next_fate(_LOOK_UP_FATES, self._look_up_dice) or CallFate.NORMAL

    def next_mail_fate(self) -> MailFate:
        """The fate of the next SMTP transaction."""
        return self._next_fate(_MAIL_FATES, self._mail_dice) or MailFate.NORMAL

    def next_text_fate(self) -> TextFate:
        """The fate of the reports about the text taken just now. Always throws seven dice."""
        settings, throw = self.settings, self._receipt_dice.random
        is_reordered = throw() < settings.receipts_reordered
        sent, final = (
            ReceiptFate(
                throw() < settings.receipts_lost,
                throw() < settings.receipts_duplicated,
                throw() < settings.receipts_forged,
            )
            for _ in range(2)
        )
        return TextFate(is_reordered, sent, final)

    def count(self, fault: str) -> None:
        """Note that `fault` really was injected."""
        self.injected[fault] += 1

    def describe(self) -> dict[str, object]:
        """The settings in force and the counts, as JSON for scripts."""
        return {"faults": self.settings.model_dump(), "injected": dict(sorted(self.injected.items()))}

    def _next_fate(self, fates: tuple[_Fate, ...], dice: Random) -> _Fate | None:
        point = dice.random()
        for fate in fates:
            point -= getattr(self.settings, fate.value)
            if point < 0:
                return fate
        return None
