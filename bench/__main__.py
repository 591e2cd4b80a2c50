"""`python -m bench`: measure, print a table, write bench/results.json. Status 1 when a figure cannot be trusted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bench import debits, delivery, growth, imports, recovery, report, rules, throughput
from bench.machine import StrangerClock, describe
from bench.past import Past
from bench.report import Result
from bench.stage import BenchFailed, Stage, open_stage
from service.sandbox.postgres import find_binaries
from service.sandbox.processes import ServerStartError

NAMES = ("debits", "rules", "delivery", "throughput", "workers", "recovery", "import")
LONG_NAMES = ("growth",)  # asked for by name only
RESULTS = Path(__file__).parent / "results.json"


def plan(name: str, *, seconds: float | None, quick: bool) -> Callable[[Stage], Result]:
    """The measurement `name`, ready to be taken on a stage. `quick` shows that it works, not what it reaches."""
    match name:
        case "debits":
            small = debits.Plan(vouchers=50, connections=(8,), rounds=1, seconds=seconds or 1.0)
            return lambda stage: debits.measure(stage, small if quick else debits.Plan(seconds=seconds or 8.0))
        case "rules":
            brief_rules = rules.Plan(vouchers=200, debits=400, rounds=1, seconds=seconds or 1.0)
            return lambda stage: rules.measure(stage, brief_rules if quick else rules.Plan(seconds=seconds or 2.0))
        case "growth":
            tiny = growth.Plan(Past(100, 400), Past(2_000, 8_000), rounds=1, seconds=seconds or 1.0)
            return lambda stage: growth.measure(stage, tiny if quick else growth.USUAL)
        case "delivery":
            short = delivery.Plan(per_s=20.0, seconds=seconds or 1.0, history=50)
            return lambda stage: delivery.measure(stage, short if quick else delivery.Plan(seconds=seconds or 20.0))
        case "throughput" | "workers":
            workers = 2 if name == "workers" else 1
            few = throughput.Plan(messages=200, history=50, workers=workers)
            many = throughput.Plan(messages=10_000 if seconds is None else round(500 * seconds), workers=workers)
            return lambda stage: throughput.measure(stage, few if quick else many)
        case "recovery":
            brief = recovery.Plan(messages=100, away_s=2.0, history=50)
            return lambda stage: recovery.measure(stage, brief if quick else recovery.Plan())
        case _:
            size = imports.Plan(decisions=500, rounds=1) if quick else imports.Plan()
            return lambda stage: imports.measure(stage, size)


def measure(
    names: Sequence[str], folder: Path, *, seconds: float | None, quick: bool, console: Console
) -> list[Result]:
    """Take the measurements one after the other, each on a stage of its own in `folder`.

    One that fails is told on the console and left out.
    """
    results: list[Result] = []
    for name in names:
        console.print(f"measuring {name} …")
        clock = StrangerClock.start()
        try:
            server = growth.SERVER if name == "growth" and not quick else None
            with open_stage(folder / name, server=server) as stage:
                result = plan(name, seconds=seconds, quick=quick)(stage)
        except (BenchFailed, ServerStartError) as error:
            console.print(f"{name}: {error}", style="red", markup=False)
            continue
        results.append(replace(result, strangers_processors=clock.processors()))
    return results


def main(
    only: Annotated[str, typer.Option(help="Comma-separated: " + ", ".join(NAMES + LONG_NAMES))] = ",".join(NAMES),
    seconds: Annotated[float | None, typer.Option(min=0.5, help="How long each timed part runs.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Seconds in all: shows that it works.")] = False,
    data: Annotated[Path, typer.Option(help="Where the servers keep their data; on a disk that is one.")] = Path(
        ".data/bench"
    ),
    output: Annotated[Path | None, typer.Option(help="Where to write; a quick or partial run writes nothing.")] = None,
) -> None:
    """Measure what the service reaches on this machine."""
    names = [name.strip() for name in only.split(",")]
    if unknown := set(names) - {*NAMES, *LONG_NAMES}:
        raise typer.BadParameter(f"no such measurement: {', '.join(sorted(unknown))}")
    console = Console(soft_wrap=True)
    machine = describe(find_binaries())
    results = measure(names, data.absolute(), seconds=seconds, quick=quick, console=console)
    report.show(results, machine, console)
    taken = {result.name for result in results}
    is_kept = not quick and (taken == set(NAMES) or (results and taken <= set(LONG_NAMES)))
    target = output or (RESULTS if is_kept else None)
    if target is not None:
        report.write(target, report.merge(target, report.as_json(results, machine, quick=quick)))
    is_trusted = len(results) == len(names) and all(result.is_correct for result in results)
    raise typer.Exit(0 if is_trusted else 1)


if __name__ == "__main__":
    typer.run(main)
