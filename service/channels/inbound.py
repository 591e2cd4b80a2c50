"""What a text from a family asks for, and when it is better not to answer. Pure.

Nothing here keeps or repeats the words of a text. A family is answered whatever it types around the word that we asked
for; a machine is not, or two machines would write to each other until somebody pays the bill.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from service.channels.contacts import PhoneNotMobile, parse_mobile
from service.channels.languages import INTENT_BY_WORD, KEYWORDS, LAST_RESORT, Intent, fold_keyword

Asked = Intent | Literal["unknown"]

GUESSES_PER_DAY = 3
"""Answers a day to texts that ask for nothing we know: whoever writes those is often no person."""
STRANGER_ANSWERS_PER_DAY = 1
REPEATS_MIN = 3
"""The same text this often within REPEAT_WINDOW_S, this one included, comes from a machine."""
REPEAT_WINDOW_S = 600.0

# From the first letter or digit to the next mark that ends a clause, in Latin, Cyrillic or Arabic writing.
_FIRST_CLAUSE = re.compile(r"[^\W_][^,.;:!?…–—\-\n،؛؟]*")
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")

# How machines begin or end, folded like keywords. Longer than a word, so that no family means them by chance.
_AUTOMATIC = tuple(
    fold_keyword(phrase)
    for phrase in (
        *("out of office", "out of the office", "automatic reply", "automatic response", "automated response"),
        *("auto reply", "autoreply", "auto response", "this is an automated", "do not reply", "i m driving"),
        *("I am driving", "can't talk right now", "currently unavailable", "will get back to you"),
        *("automaattinen vastaus", "automaattivastaus", "automaattinen viesti", "en ole paikalla", "olen lomalla"),
        *("poissa toimistolta", "en voi vastata", "ajan parhaillaan", "olen ajamassa"),
        *("automatiskt svar", "autosvar", "jag är inte på plats", "frånvaromeddelande", "jag kör"),
        *("автоответчик", "автоматический ответ", "автоматична відповідь", "автовідповідь"),
        *("automaatvastus", "automaatne vastus", "رد تلقائي"),
    )
)


class Effect(StrEnum):
    """What we did about a text; the closed set of what is written down of it."""

    RECEIVED = "received"  # being worked on
    ANSWERED = "answered"
    STRANGER_ANSWERED = "stranger_answered"  # a number that no voucher has
    GUESSED = "guessed"  # asked for nothing we know, and was told what can be asked
    RESENT = "resent"
    RESEND_LIMITED = "resend_limited"
    DISPUTED = "disputed"
    CHARGED = "charged"  # a worker's visit
    CHARGE_ASKED = "charge_asked"
    CHARGE_REFUSED = "charge_refused"
    STOPPED = "stopped"
    STARTED = "started"
    # The rest is silence.
    NOT_A_PHONE = "not_a_phone"  # a short code or a name: nobody reads an answer there
    AUTOMATIC = "automatic"
    ECHO = "echo"  # one of our own texts
    REPEATED = "repeated"
    OVER_LIMIT = "over_limit"
    UNANSWERABLE = "unanswerable"  # a worker whose number must not be written to: nothing is charged unseen


ANSWERING = (
    Effect.ANSWERED,
    Effect.STRANGER_ANSWERED,
    Effect.GUESSED,
    Effect.RESENT,
    Effect.RESEND_LIMITED,
    Effect.DISPUTED,
)


@dataclass(frozen=True, slots=True)
class History:
    """What a number has sent before, today being the last 24 hours."""

    answers_today: int = 0
    guesses_today: int = 0
    stranger_answers_today: int = 0
    repeats: int = 0  # of this text within REPEAT_WINDOW_S, this one included
    is_echo: bool = False


def read_intent(text: str) -> Asked:
    """What a text asks for: its first word decides, or its first two where they are one word to us.

    Case, accents, punctuation, emoji and whatever follows do not matter, but for words that much hangs on and that
    people also begin other sentences with: STOP and START must be all there is ("Cancel my visit, please" is none), and
    EI a sentence of its own ("EI, ei ollut käyntiä" is one, "Ei toimi koodi" and "No problem" are not).
    """
    words = fold_keyword(text).split()
    for count in (2, 1):
        word = " ".join(words[:count])
        intent = INTENT_BY_WORD.get(word)
        if intent is not None:
            return intent if _is_meant(intent, word, text) else "unknown"
    return "unknown"


def _is_meant(intent: Intent, word: str, text: str) -> bool:
    if intent in ("stop", "start"):
        return _is_only(word, text)
    if intent == "dispute":
        clause = _FIRST_CLAUSE.search(text)
        return clause is not None and _is_only(word, clause[0])
    return True


def _is_only(word: str, text: str) -> bool:
    """However often: a family that is angry says it twice."""
    folded = fold_keyword(text)
    return folded == word or set(folded.split()) == {word}


def read_language(text: str) -> str:
    """The first language served that has the text's word: for numbers of which we know nothing else."""
    words = fold_keyword(text).split()
    starts = {" ".join(words[:count]) for count in (1, 2)}
    for language, by_intent in KEYWORDS.items():
        if any(fold_keyword(word) in starts for known in by_intent.values() for word in known):
            return language
    return LAST_RESORT


def read_sender(sender: str, countries: Sequence[str]) -> str | None:
    """The number to answer to, as E.164; None for names, short codes, landlines and countries that are not served."""
    if _E164.fullmatch(sender) is None:
        return None
    try:
        return parse_mobile(sender, countries)
    except PhoneNotMobile:
        return None


def is_automatic(text: str) -> bool:
    """True when a text says of itself that nobody wrote it."""
    folded = f" {fold_keyword(text)} "
    return any(f" {phrase} " in folded for phrase in _AUTOMATIC)


def reason_for_silence(
    intent: Asked, history: History, *, looks_automatic: bool, answers_per_day: int
) -> Effect | None:
    """Why a text gets no answer; None: it gets one. STOP and START never get here: they count whatever came before.

    A family in trouble asks a few times a day; a loop asks for ever.
    """
    if history.is_echo:
        return Effect.ECHO
    if looks_automatic and intent == "unknown":
        return Effect.AUTOMATIC
    if history.repeats >= REPEATS_MIN:
        return Effect.REPEATED
    is_over = history.answers_today >= answers_per_day
    is_over |= intent == "unknown" and history.guesses_today >= GUESSES_PER_DAY
    return Effect.OVER_LIMIT if is_over else None


def may_answer_stranger(history: History) -> bool:
    """Whether a number that no voucher has may still be told so today."""
    return history.stranger_answers_today < STRANGER_ANSWERS_PER_DAY
