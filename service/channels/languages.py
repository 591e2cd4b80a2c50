"""The languages that messages are served in: their names, their direction, and the words a family can text back. Pure.

Errors of the API and the command line are in Finnish, Swedish and English only (`service/problems.py`); a family may
read any language here. No native speaker has reviewed the words yet; each template says the same of itself.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

LanguageCode = Literal["fi", "sv", "en", "se", "ru", "uk", "ar", "so", "et"]
Intent = Literal["balance", "resend", "help", "dispute", "stop", "start"]
INTENTS: tuple[Intent, ...] = get_args(Intent)


@dataclass(frozen=True, slots=True)
class Language:
    """`code` is ISO 639-1; `name` is the language's own, `english_name` for people who run the service."""

    code: LanguageCode
    name: str
    english_name: str
    direction: Literal["ltr", "rtl"] = "ltr"


SERVED: Mapping[str, Language] = {
    language.code: language
    for language in (
        Language("fi", "suomi", "Finnish"),
        Language("sv", "svenska", "Swedish"),
        Language("en", "English", "English"),
        Language("se", "davvisámegiella", "Northern Sámi"),
        Language("ru", "русский", "Russian"),
        Language("uk", "українська", "Ukrainian"),
        Language("ar", "العربية", "Arabic", "rtl"),
        Language("so", "Soomaali", "Somali"),
        Language("et", "eesti", "Estonian"),
    )
}
MESSAGE_LANGUAGES: tuple[str, ...] = tuple(SERVED)
LAST_RESORT = "fi"

# What a family may text back. The first word of each is the one that our texts ask for; all words of all languages
# are understood from everybody, so none may mean two things (a test). STOP and START are every operator's words.
KEYWORDS: Mapping[str, Mapping[Intent, tuple[str, ...]]] = {
    "fi": {
        "balance": ("SALDO",),
        "resend": ("UUDELLEEN", "UUDESTAAN"),
        "help": ("APUA", "OHJE"),
        "dispute": ("EI",),
        "stop": ("STOP", "SEIS", "LOPETA"),
        "start": ("START", "ALOITA"),
    },
    "sv": {
        "balance": ("SALDO",),
        "resend": ("IGEN", "OMSÄND"),
        "help": ("HJÄLP",),
        "dispute": ("NEJ",),
        "stop": ("STOPP", "STOP"),
        "start": ("STARTA", "START"),
    },
    "en": {
        "balance": ("BALANCE",),
        "resend": ("AGAIN", "RESEND"),
        "help": ("HELP", "INFO"),
        "dispute": ("NO",),
        "stop": ("STOP", "STOPALL", "UNSUBSCRIBE", "END", "QUIT", "CANCEL"),
        "start": ("START", "UNSTOP"),
    },
    "se": {
        "balance": ("SALDO",),
        "resend": ("OĐĐASIT",),
        "help": ("VEAHKKI",),
        "dispute": ("II",),
        "stop": ("STOP", "BISSET"),
        "start": ("START", "ÁLGGE"),
    },
    "ru": {
        "balance": ("БАЛАНС", "ОСТАТОК"),
        "resend": ("ПОВТОР", "СНОВА", "ЕЩЁ РАЗ"),
        "help": ("ПОМОЩЬ",),
        "dispute": ("НЕТ",),
        "stop": ("СТОП", "STOP"),
        "start": ("СТАРТ", "START"),
    },
    "uk": {
        "balance": ("БАЛАНС", "ЗАЛИШОК"),
        "resend": ("ПОВТОР", "ЗНОВУ", "ЩЕ РАЗ"),
        "help": ("ДОПОМОГА",),
        "dispute": ("НІ",),
        "stop": ("СТОП", "STOP"),
        "start": ("СТАРТ", "START"),
    },
    "ar": {
        "balance": ("رصيد", "الرصيد"),
        "resend": ("إعادة", "مرة أخرى"),
        "help": ("مساعدة",),
        "dispute": ("لا",),
        "stop": ("توقف", "إيقاف", "STOP"),
        "start": ("ابدأ", "بدء", "START"),
    },
    "so": {
        "balance": ("HARAA",),
        "resend": ("MARKALE", "MAR KALE"),
        "help": ("CAAWI", "CAAWIMAAD"),
        "dispute": ("MAYA",),
        "stop": ("STOP", "JOOJI"),
        "start": ("START", "BILOW"),
    },
    "et": {
        "balance": ("SALDO", "JÄÄK"),
        "resend": ("UUESTI",),
        "help": ("ABI",),
        "dispute": ("EI",),
        "stop": ("STOPP", "STOP", "LÕPETA"),
        "start": ("START", "ALUSTA"),
    },
}

# Letters that have no decomposition, and are typed without their stroke on a phone that lacks them.
_STROKES = str.maketrans("đŧŋøæıى", "dtnoaiي")
_ARABIC_TATWEEL = "\u0640"


def reply_word(language: str, intent: Intent) -> str:
    """The word that our texts in this language ask a family to answer with."""
    return KEYWORDS[language][intent][0]


def fold_keyword(text: str) -> str:
    """One form for all spellings of a word: no case, accents, invisible characters or punctuation, single spaces.

    "Hjälp!", "HJALP" and "hjälp" are one, as are أ and ا: old keypads lack the rest.
    """
    letters = unicodedata.normalize("NFKD", text.casefold()).replace(_ARABIC_TATWEEL, "").translate(_STROKES)
    kept = (character for character in letters if unicodedata.category(character) not in ("Mn", "Cf"))
    return " ".join("".join(c if c.isalnum() else " " for c in kept).split())


INTENT_BY_WORD: Mapping[str, Intent] = {
    fold_keyword(word): intent
    for by_intent in KEYWORDS.values()
    for intent, words in by_intent.items()
    for word in words
}


def choose_language(wanted: str | None, default: str, available: Collection[str] = MESSAGE_LANGUAGES) -> str:
    """The family's language; else the organiser's; else Finnish. Of those that there are words in."""
    if wanted is not None and wanted in available:
        return wanted
    return default if default in available else LAST_RESORT
