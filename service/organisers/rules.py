"""A programme's rules as values: what is charged, what it is worth and when, in versions that begin on a day. Pure."""

from __future__ import annotations

from enum import StrEnum


class Rounding(StrEnum):
    """How a visit's length becomes a multiple of the programme's step."""

    UP = "up"
    NEAREST = "nearest"
    DOWN = "down"
