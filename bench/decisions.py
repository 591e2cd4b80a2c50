"""Decisions to measure with: a CSV file as an organiser's case system would write it."""

from __future__ import annotations

import csv
from datetime import UTC, datetime, timedelta
from pathlib import Path

from service.sandbox.sample import COUNTY, HOME_HELP

COLUMNS = (
    "decision_ref", "programme", "status", "client_ref", "granted", "valid_from", "valid_to", "phone", "language",
    "initials", "municipality",
)  # fmt: skip
ORGANISER = COUNTY
STEP_MINUTES = 15
_LANGUAGES = ("fi", "fi", "fi", "sv", "en")


def phone_of(number: int) -> str:
    """A mobile number of its own for each family; none of those that the sandbox refuses or cannot reach."""
    return f"+35845{10_000_000 + number}"


def write_csv(path: Path, count: int, *, series: str, granted_minutes: int = 1200, first: int = 0) -> Path:
    """`count` decisions whose references begin with `series`."""
    today = datetime.now(UTC).date()
    valid_from, valid_to = today - timedelta(days=20), today + timedelta(days=180)
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(COLUMNS)
        rows.writerows(
            (
                f"{series}-{number:07d}", HOME_HELP, "confirmed", f"client-{number:07d}", granted_minutes, valid_from,
                valid_to, phone_of(number), _LANGUAGES[number % 5], "M.V.", "Kuusiranta",
            )
            for number in range(first, first + count)
        )  # fmt: skip
    return path


def import_command(path: Path) -> list[str]:
    """The arguments that import the file as a person would."""
    return ["-m", "service", "import", "decisions", str(path), "--organiser", ORGANISER]
