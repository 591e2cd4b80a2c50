"""`pgbench`, and the debit's function as it calls it: what the database does by itself, without the service."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from bench.machine import CpuClock
from bench.past import AMOUNT_MINUTES
from bench.stage import BenchFailed, Stage

REAPED_AFTER_S = 0.5  # a backend's processor time is counted once the server has waited for its end

# The fields of charge_order from `amount` to `reference`, which tells a voucher's visits apart where no times do.
PLAIN = f"{AMOUNT_MINUTES}, NULL, NULL, NULL, NULL, NULL, NULL, 'visit', NULL, NULL, gen_random_uuid()::text"
# Begun at some second of the last three weeks: no two visits of a voucher begin together.
RULED = f"""NULL, helsinki_day(t.at), t.at, t.at + interval '{AMOUNT_MINUTES} minutes', ARRAY['weekday', 'evening'],
    ARRAY[{AMOUNT_MINUTES - 5}, 5]::bigint[], '2000-01-01', 'visit', 'lapsenhoito', 'T-1', 'visit'"""
RULED_FROM = ", (SELECT date_trunc('day', now()) - interval '1 second' * (:second + 86400) AS at) t"
RULED_SET = "\\set second random(1, 1728000)\n"


def debit_script(
    *, provider_id: object, key_id: object, new_id: str, codes: str, code_index: str, choice: str, ruled: bool = False
) -> str:
    """A pgbench script: one debit of AMOUNT_MINUTES with a new key. `choice` sets the variables that `codes` uses."""
    order = (
        f"ROW('{provider_id}', '{key_id}', gen_random_uuid()::text, sha256({code_index}), NULL, 'fi', {code_index},"
        f" NULL, {new_id}(), {RULED if ruled else PLAIN}, false, false)::charge_order"
    )
    source = f"{codes}{RULED_FROM if ruled else ''}".lstrip(", ")
    statement = (
        f"SELECT d.outcome, d.answer FROM {source}{', ' if source else ''}LATERAL debit({order}, '{{}}', '{{}}') d"
    )
    return f"{choice}{RULED_SET if ruled else ''}{' '.join(statement.split())};\n"


@dataclass(frozen=True)
class Run:
    """What one run of pgbench came to."""

    transactions: int
    per_s: float
    latency_ms: float
    used_s: dict[str, float]


def run_pgbench(
    stage: Stage, script: Path, *, seconds: float, clients: int, url: str | None = None, options: str = ""
) -> Run:
    """Run a script against a database of the stage for some seconds. `options`: the session's. Raises BenchFailed."""
    threads = min(clients, 2)
    arguments = ["-n", "-M", "prepared", "-c", str(clients), "-j", str(threads), "-T", str(max(1, round(seconds)))]
    before = CpuClock.read(stage.pids)
    done = subprocess.run(
        [stage.postgres.binaries / "pgbench", *arguments, "-f", script, url or stage.database_url],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        text=True,
        env={"LANG": "C.UTF-8", "PGOPTIONS": options},
        timeout=seconds + 60,
    )
    time.sleep(REAPED_AFTER_S)
    used = CpuClock.read(stage.pids).since(before)
    lines = done.stdout.splitlines()
    found = {line.partition("=")[0].strip(): line.partition("=")[2] for line in lines if "=" in line}
    counted = next((line for line in lines if line.startswith("number of transactions actually processed")), "")
    if done.returncode != 0 or not counted:
        raise BenchFailed("pgbench failed:\n" + "\n".join(lines[-10:]))
    return Run(
        transactions=int(counted.partition(":")[2].split("/")[0]),
        per_s=float(found["tps"].split()[0]),
        latency_ms=float(found["latency average"].split()[0]),
        used_s=used,
    )


def new_id_function(has_uuidv7: bool) -> str:
    """Ids are time-ordered as the service's are, where the server can make them."""
    return "uuidv7" if has_uuidv7 else "gen_random_uuid"
