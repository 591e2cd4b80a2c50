"""What the sandbox's phones got, and how slow its network is."""

from __future__ import annotations

import json
import urllib.request
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class PhoneText:
    to: str
    at_s: float  # seconds of the epoch, by the clock that all processes of this machine share


def set_seconds_per_call(sandbox_url: str, seconds: float) -> None:
    """How long the phone network thinks before it takes a text."""
    body = json.dumps({"seconds_per_call": seconds}).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{sandbox_url}/faults", data=body), timeout=10):
        pass


def read_texts(sandbox_url: str) -> list[PhoneText]:
    """All texts in order of arrival. The sandbox is busy while it lists many: not while it is being measured."""
    with urllib.request.urlopen(f"{sandbox_url}/messages", timeout=60) as answer:
        return [PhoneText(each["to"], datetime.fromisoformat(each["at"]).timestamp()) for each in json.load(answer)]
