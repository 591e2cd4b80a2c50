"""What is kept of the people who sign in to the demo (`people.py` makes them), and what their apps show.

The sandbox's process shows it, too: nothing of the service's operations is imported here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyotp

from service.people.authenticator import STEP_S, app_address

LOGINS_NAME = "people.json"


@dataclass(frozen=True, slots=True)
class DemoLogin:
    """What somebody types in who plays this person."""

    owner: str
    role: str
    name: str
    email: str
    password: str = field(repr=False)
    totp_secret: str = field(repr=False)

    @property
    def totp_uri(self) -> str:
        """What an authenticator app reads from a QR code, in case somebody wants to use theirs."""
        return app_address(self.totp_secret, self.name)

    def told(self, address: str) -> Mapping[str, str]:
        """For `demo.json`: the log-in with the page it opens."""
        return {"address": address, **asdict(self), "totp_uri": self.totp_uri}


@dataclass(frozen=True, slots=True)
class PresentCodes:
    """What the person's app shows: each code works once, and the next one is taken half a minute early, too."""

    now: str
    following: str
    seconds_left: int


def present_codes(totp_secret: str, now_s: float) -> PresentCodes:
    """The one-time codes at a moment, in seconds of the epoch."""
    totp, step = pyotp.TOTP(totp_secret), int(now_s) // STEP_S
    return PresentCodes(totp.generate_otp(step), totp.generate_otp(step + 1), STEP_S - int(now_s) % STEP_S)


def read_logins(path: Path) -> Sequence[DemoLogin]:
    """The log-ins that an earlier start kept; none where there is no such file."""
    if not path.exists():
        return ()
    kept: list[Any] = json.loads(path.read_text())
    return tuple(DemoLogin(**each) for each in kept)


def logins_as_text(logins: Sequence[DemoLogin]) -> str:
    """What `read_logins` reads."""
    return json.dumps([asdict(each) for each in logins], indent=2, ensure_ascii=False) + "\n"
