"""What somebody looks for in the directory, read from an address's query, and where the next page begins. Pure.

Whatever stands in a query gets an answer: what is not understood is as if it were not there.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args
from urllib.parse import urlencode

from service.directory.model import HOURS, LANGUAGES

Sort = Literal["own", "price", "name"]
SORTS: tuple[Sort, ...] = get_args(Sort)
TEXT_MAX = 60
CURSOR_MAX = 600
COMPARED_MAX = 4


@dataclass(frozen=True, slots=True)
class Place:
    """Behind one provider in a list: by two numbers, its name's place, its business id."""

    first: int
    second: int
    name_order: str
    business_id: str


BEGINNING = Place(-1, -1, "", "")


@dataclass(frozen=True, slots=True)
class Search:
    name: str = ""
    area: str = ""
    when: str = ""
    """One of `HOURS`, or empty: at any time."""
    language: str = ""
    takes_new: bool = False
    sort: Sort = "own"

    @property
    def is_narrowed(self) -> bool:
        return self != Search(sort=self.sort)

    @property
    def query(self) -> Mapping[str, str]:
        """As an address has it, without what is as usual."""
        told = {
            "name": self.name,
            "area": self.area,
            "when": self.when,
            "language": self.language,
            "new": "yes" if self.takes_new else "",
            "sort": "" if self.sort == "own" else self.sort,
        }
        return {name: value for name, value in told.items() if value}


def read_search(query: Mapping[str, str]) -> Search:
    """From the query of an address."""

    def one_of(name: str, known: tuple[str, ...]) -> str:
        value = query.get(name, "")
        return value if value in known else ""

    sort = query.get("sort", "")
    return Search(
        name=_line(query.get("name", "")),
        area=_line(query.get("area", "")),
        when=one_of("when", HOURS),
        language=one_of("language", LANGUAGES),
        takes_new=query.get("new") == "yes",
        sort="price" if sort == "price" else "name" if sort == "name" else "own",
    )


def _line(text: str) -> str:
    return " ".join(text.split())[:TEXT_MAX]


def write_cursor(place: Place) -> str:
    """A place as an address has it: nothing to read or to make."""
    told = json.dumps([place.first, place.second, place.name_order, place.business_id], ensure_ascii=False)
    return base64.urlsafe_b64encode(told.encode()).decode().rstrip("=")


def read_cursor(text: str) -> Place | None:
    """None: no cursor of ours."""
    if len(text) > CURSOR_MAX:
        return None
    try:
        told = json.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        return None
    match told:
        case [int(first), int(second), str(name_order), str(business_id)] if max(
            abs(first), abs(second)
        ) < 2**62 and _can_be_stored(name_order + business_id):
            return Place(first, second, name_order, business_id)
    return None


def _can_be_stored(text: str) -> bool:
    """No NUL, and no half of a pair of surrogates: JSON can hold both, and PostgreSQL cannot."""
    return not any(sign == "\0" or "\ud800" <= sign <= "\udfff" for sign in text)


def address(path: str, **query: str) -> str:
    """A path of ours with what is not empty of a query."""
    told = urlencode({name: value for name, value in query.items() if value})
    return f"{path}?{told}" if told else path
