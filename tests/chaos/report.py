"""The table at the end of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tests.chaos.run import Outcome

COLUMNS = ("fault", "injected", "tried again", "texts", "mails", "charges", "lost", "repeated", "stuck", "to a person")


def table(outcome: Outcome, *, seed: int) -> str:
    """What was injected and what came of it, fault by fault; every violation; how to have it again."""
    rows = [tuple(map(str, row)) for row in (COLUMNS, *_rows(outcome))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    lines = ["  ".join(_cell(*cell) for cell in zip(range(len(widths)), row, widths, strict=True)) for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    lines.append("")
    repeats = sum(verdict.mails_repeated for verdict in outcome.verdicts.values())
    if repeats:
        lines.append(f"{repeats} mails came again under their Message-ID: nobody can ask a mail server what it took.")
    for place, violation, count in _violations(outcome):
        lines.append(f"VIOLATION ({place}, {count} ×): {violation}")
    lines.append(
        f"settled {outcome.converged_s:.1f} s after the last fault; {outcome.took_s:.0f} s in all; seed {seed}"
    )
    lines.append("Everything holds." if outcome.is_good else "SOMETHING DOES NOT HOLD.")
    return "\n".join(lines)


def _rows(outcome: Outcome) -> Iterator[tuple[str | int, ...]]:
    for fault, verdict in outcome.verdicts.items():
        yield (
            fault,
            outcome.injected.get(fault, 0),
            outcome.tried_again.get(fault, 0),
            verdict.texts,
            verdict.mails,
            verdict.charges,
            verdict.lost,
            verdict.repeated,
            verdict.stuck,
            verdict.to_person,
        )


def _cell(column: int, text: str, width: int) -> str:
    return text.ljust(width) if column == 0 else text.rjust(width)


def _violations(outcome: Outcome) -> Iterator[tuple[str, str, int]]:
    for violation, count in Counter(outcome.general).items():
        yield "anywhere", violation, count
    for fault, verdict in outcome.verdicts.items():
        for violation, count in Counter(verdict.violations).items():
            yield fault, violation, count
