"""What a caseworker reads of an item: why it is there, and what resolves it. The words are in templates/attention/."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent.parent.parent / "templates" / "attention"


@dataclass(frozen=True, slots=True)
class Words:
    sentence: str
    action: str


@cache
def catalogue(language: str) -> Mapping[str, Mapping[str, str]]:
    """All words of one language, as in its file."""
    return tomllib.loads((FOLDER / f"{language}.toml").read_text("utf-8"))


def words_for(reason: str, language: str) -> Words:
    """A reason that this version has no words for is told as one for the operator of the service."""
    words = catalogue(language)
    entry = words.get(reason, words["other"])
    return Words(entry["sentence"], entry["action"])
