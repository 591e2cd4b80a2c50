"""What the figures were measured on, and which process used the processors meanwhile."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def describe(binaries: Path) -> dict[str, object]:
    """Processors, memory, versions: whatever makes two result files comparable or not."""
    return {
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "cpu_model": _cpu_model(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "postgresql": _first_line([str(binaries / "postgres"), "--version"]),
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def _first_line(command: list[str]) -> str:
    answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    return answer.stdout.partition("\n")[0]


@dataclass(frozen=True)
class CpuClock:
    """Processor seconds used so far by each of some process trees; empty where there is no /proc."""

    used_s: Mapping[str, float]

    @classmethod
    def read(cls, pids: Mapping[str, int]) -> CpuClock:
        """The trees under `pids`, children that have ended and were waited for included."""
        stats = _all_stats()
        children: dict[int, list[int]] = {}
        for pid, (parent, _) in stats.items():
            children.setdefault(parent, []).append(pid)
        return cls({name: _tree_s(pid, stats, children) for name, pid in pids.items() if pid in stats})

    def since(self, earlier: CpuClock) -> dict[str, float]:
        """Seconds used between two readings, by name."""
        return {name: round(used - earlier.used_s.get(name, 0.0), 2) for name, used in self.used_s.items()}


@dataclass
class StrangerClock:
    """How many processors other programs kept busy meanwhile: figures of a crowded machine are low ones."""

    since_s: float
    busy_s: float
    own_s: float

    @classmethod
    def start(cls) -> StrangerClock:
        return cls(time.monotonic(), _busy_s(), _own_s())

    def processors(self) -> float:
        """On average since the start; children count once they have ended."""
        strangers_s = (_busy_s() - self.busy_s) - (_own_s() - self.own_s)
        return round(max(0.0, strangers_s) / max(time.monotonic() - self.since_s, 0.01), 2)


def _own_s() -> float:
    """Of this process and of its children that have ended and were waited for."""
    return sum(os.times()[:4])


def _busy_s() -> float:
    try:
        fields = Path("/proc/stat").read_text().partition("\n")[0].split()
    except OSError:
        return 0.0
    user, nice, system, _idle, _wait, interrupts, soft_interrupts = (int(field) for field in fields[1:8])
    return (user + nice + system + interrupts + soft_interrupts) / _TICKS_PER_S


def _tree_s(pid: int, stats: Mapping[int, tuple[int, float]], children: Mapping[int, list[int]]) -> float:
    return stats[pid][1] + sum(_tree_s(child, stats, children) for child in children.get(pid, ()))


def _all_stats() -> dict[int, tuple[int, float]]:
    """Parent and seconds of every process; the seconds include those of children already waited for."""
    found: dict[int, tuple[int, float]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The command's name stands in brackets and may hold anything, brackets included.
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended
        ticks = sum(int(fields[place]) for place in (11, 12, 13, 14))
        found[int(path.parent.name)] = (int(fields[1]), ticks / _TICKS_PER_S)
    return found
