"""Why a text charged nothing, in the worker's language.

What only a text can be refused for is in `templates/charging/`; there, too, are the words for those rules whose usual
sentence (`templates/problems/`) speaks to a program and not to somebody at a family's door.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from service.errors import Detail
from service.problems import Problem, fill_in, problem

FOLDER = Path(__file__).parents[2] / "templates" / "charging"


@cache
def catalogue(language: str) -> Mapping[str, Mapping[str, str]]:
    """All sentences of one language, as in its file."""
    return tomllib.loads((FOLDER / f"{language}.toml").read_text("utf-8"))


def sentences(code: str, details: Mapping[str, Detail], language: str) -> Problem:
    """The reason and the next step. Raises KeyError for a code that nobody has words for; a test prevents that."""
    entry = catalogue(language).get(code)
    return problem(code, details, language) if entry is None else fill_in(entry, details, language)
