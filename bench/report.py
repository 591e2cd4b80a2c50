"""What a measurement found, as a table for people and as JSON for comparing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Result:
    """One line of the table of goals. `value` and `goal` are in `unit`; `figures` is everything else that was seen.

    `checks` are the correctness checks: a figure of a run in which one is false means nothing.
    """

    name: str
    what: str
    value: float
    goal: float
    unit: str
    at_least: bool  # whether more is better
    figures: Mapping[str, object]
    checks: Mapping[str, bool]
    cpu_ms: Mapping[str, float] = field(default_factory=dict)  # of each process, for one `cpu_of`
    cpu_of: str = ""
    strangers_processors: float = 0.0  # kept busy by programs that are not ours

    @property
    def is_met(self) -> bool:
        return self.value >= self.goal if self.at_least else self.value <= self.goal

    @property
    def is_correct(self) -> bool:
        return all(self.checks.values())

    @property
    def ratio(self) -> float:
        """1 or more: the goal is met."""
        if self.at_least:
            return round(self.value / self.goal, 2)
        return round(self.goal / self.value, 2) if self.value else 0.0


def as_json(results: Sequence[Result], machine: Mapping[str, object], *, quick: bool) -> dict[str, object]:
    """The content of results.json."""
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "quick": quick,
        "machine": machine,
        "results": [
            asdict(result) | {"is_met": result.is_met, "is_correct": result.is_correct, "times_the_goal": result.ratio}
            for result in results
        ],
    }


def merge(path: Path, content: dict[str, object]) -> dict[str, object]:
    """The content with what the file has of other measurements, each with the time and the machine it was taken on."""
    if not path.exists():
        return content
    earlier = json.loads(path.read_text(encoding="utf-8"))
    results = cast(list[dict[str, object]], content["results"])
    about = {"measured_at": earlier["measured_at"], "machine": earlier["machine"]}
    kept = [
        about | result
        for result in earlier["results"]
        if result["name"] not in {taken["name"] for taken in results} and not earlier["quick"]
    ]
    return content | {"results": [*results, *kept]}


def write(path: Path, content: Mapping[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def show(results: Sequence[Result], machine: Mapping[str, object], console: Console) -> None:
    """Print the goals, then for each measurement its figures and who used the processors."""
    table = Table(title=f"{machine['cpus']} × {machine['cpu_model']}, {machine['postgresql']}", title_justify="left")
    for heading in ("Measured", "Value", "Goal", "Met", "Correct"):
        table.add_column(heading)
    for result in results:
        sign = "≥" if result.at_least else "≤"
        table.add_row(
            result.what,
            f"{result.value:g} {result.unit}",
            f"{sign} {result.goal:g} {result.unit}",
            "[green]yes" if result.is_met else "[yellow]no",
            "[green]yes" if result.is_correct else "[red]NO",
        )
    console.print(table)
    for result in results:
        console.print(_details(result))


def _details(result: Result) -> Table:
    table = Table(title=result.what, title_justify="left", show_header=False)
    for name, value in result.figures.items():
        table.add_row(name, str(value))
    if result.cpu_ms:
        cpu = ", ".join(f"{name} {used_ms:g}" for name, used_ms in result.cpu_ms.items())
        table.add_row(f"processor ms for one {result.cpu_of}", cpu)
    table.add_row("processors busy with other programs", f"{result.strangers_processors:g}")
    for name, is_so in result.checks.items():
        table.add_row(name, "[green]yes" if is_so else "[red]NO")
    return table


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` of all do not exceed; 0 when there are none."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(share * len(ranked)))] if ranked else 0.0


def per_item_ms(used_s: Mapping[str, float], items: int) -> dict[str, float]:
    """Processor milliseconds for one item, the busiest first."""
    each = {name: round(1000 * used / max(items, 1), 3) for name, used in used_s.items()}
    return dict(sorted(each.items(), key=lambda pair: -pair[1]))
