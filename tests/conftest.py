"""One embedded PostgreSQL and one Valkey for the whole run. A parallel run starts them while its workers still collect,
a plain one only if a collected test needs them.

The process that the user started owns the servers: the only one of a plain run, the controller of a
parallel one. They end with it, `kill -9` included. The workers learn the addresses from a file in the run's
folder.

A test that uses `db`, `pool`, `database_url` or `redis_url`, directly or not, is marked `db`.

DATABASE_URL and REDIS_URL are dropped from the environment, so that no test can reach a real database by
accident. To test against another server, set SETELI_TEST_DATABASE_URL to a URL whose user may create
databases; those of the run are named `seteli_test_…` and dropped at its end. Valkey is always the embedded
one.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import functools
import gc
import json
import math
import os
import shutil
import tempfile
import time
import urllib.parse
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import asyncpg
import pytest
import redis
import typer.main
import typer.testing
from argon2 import PasswordHasher
from hypothesis import settings
from playwright.async_api import Browser

from service.db import Connection, MigrationError, Pool, connect, migrate
from service.errors import SeteliError
from service.people import passwords
from service.sandbox.postgres import Postgres, create_database, find_binaries, run_sql, start_postgres
from service.sandbox.processes import FolderClaim, ServerStartError, claim_folder
from service.sandbox.valkey import DATABASES, Valkey, start_valkey
from service.staff import pins
from tests.chromium import shared_chromium
from tests.sessions import Sessions, open_sessions

EXTERNAL_DATABASE = "SETELI_TEST_DATABASE_URL"
FOLDER_PREFIX = "seteli-tests-"
TEMPLATE = "template"

# What takes longest is begun first, so that no process waits for the other's last test at the end of a run.
LONGEST = (
    "tests/sandbox/test_demo.py",
    "tests/test_faults.py",
    "tests/test_openapi.py",
    "tests/pages/",
    "tests/bench/",
    "tests/channels/test_postfix.py",
    "tests/imports/test_imports.py",
    "tests/debits/",
)

# A time-out ends what hangs and judges nothing: a journey of seconds may take minutes on a machine that does much else.
SLOW_TIMEOUT_S = 600

for name in ("DATABASE_URL", "REDIS_URL"):
    os.environ.pop(name, None)

# Tests make objects by the thousand, few of them in circles: looking for those as often as Python does by itself takes
# a twelfth of the time of all tests.
GC_THRESHOLDS = (20_000, 50, 50)

# Typer reads all of its commands' signatures anew for each command line that a test runs.
typer.testing._get_command = functools.cache(typer.main.get_command)

REAL_HASHERS = {module: module._HASHER for module in (passwords, pins)}

MEMORY = Path("/dev/shm")
MEMORY_MIN = 4 * 1024**3


def _has_room_in_memory() -> bool:
    """Not where a container gives 64 MB, or where no script may run (postfix is given one)."""
    if not MEMORY.is_dir() or not os.access(MEMORY, os.W_OK):
        return False
    about = os.statvfs(MEMORY)
    return not about.f_flag & os.ST_NOEXEC and about.f_bavail * about.f_frsize >= MEMORY_MIN


# The tests and their servers make and remove thousands of files: in memory this takes a tenth of the time of them all
# less. Workers and what they start inherit it; whoever sets TMPDIR knows better.
if "TMPDIR" not in os.environ and _has_room_in_memory():
    os.environ["TMPDIR"] = str(MEMORY)
    tempfile.tempdir = None

# What is random is tried with fewer examples in `make test` than in `make proofs`, which asks for the second.
settings.register_profile("quick", max_examples=25, deadline=None)
settings.register_profile("proofs", max_examples=200, deadline=None)
settings.load_profile("quick")


@dataclass(frozen=True)
class Addresses:
    """What a worker has to know of the servers; `failure` says why there are none."""

    database_server: str = ""
    database_prefix: str = ""
    growing_tables: tuple[str, ...] = ()  # those that the migrations leave empty
    redis_server: str = ""
    failure: str = ""

    def database(self, name: str) -> str:
        parts = urllib.parse.urlsplit(self.database_server)
        return urllib.parse.urlunsplit(parts._replace(path=f"/{self.database_prefix}{name}"))


class Run:
    """The servers of this run and the folder they live in; only the process that the user started has one."""

    def __init__(self) -> None:
        _remove_abandoned_folders()
        self.folder = Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX))
        # Where root may not make user namespaces (most containers), the servers run as `nobody`.
        self.folder.chmod(0o711)
        self.claim: FolderClaim = claim_folder(self.folder)
        self.postgres: Postgres | None = None
        self.valkey: Valkey | None = None
        self.addresses: Addresses | None = None

    def start(self) -> None:
        """Start the servers and migrate the template once; what goes wrong is told by the tests that need
        them.
        """
        try:
            self.addresses = self._start()
        except (ServerStartError, SeteliError, MigrationError, asyncpg.PostgresError, OSError) as error:
            self.addresses = Addresses(failure=f"{type(error).__name__}: {error}")
        (self.folder / "addresses.json").write_text(json.dumps(asdict(self.addresses)))

    def _start(self) -> Addresses:
        self.valkey = start_valkey(self.folder / "valkey")
        server, prefix = os.environ.get(EXTERNAL_DATABASE), f"seteli_test_{os.getpid()}_"
        if not server:
            self.postgres = start_postgres(self.folder / "postgres", durable=False)
            server, prefix = self.postgres.url("postgres"), "seteli_test_"
        create_database(server, prefix + TEMPLATE, binaries=find_binaries())
        addresses = Addresses(server, prefix, redis_server=self.valkey.url.rpartition("/")[0])
        return replace(addresses, growing_tables=asyncio.run(_migrate(addresses.database(TEMPLATE))))

    def end(self) -> None:
        if self.postgres is not None:
            self.postgres.stop()
        elif self.addresses is not None and self.addresses.database_server:
            _drop_databases(self.addresses)
        if self.valkey is not None:
            self.valkey.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.claim.release()


async def _migrate(url: str) -> tuple[str, ...]:
    """Returns the tables that are empty then; rows that a migration brought are part of the schema and
    stay.
    """
    await migrate(url)
    connection = await connect(url)
    tables = await connection.fetch(
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables"
        " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
    )
    empty = [name for (name,) in tables if not await connection.fetchval(f"SELECT EXISTS (SELECT FROM {name})")]
    await connection.close()
    return tuple(empty)


def _drop_databases(addresses: Addresses) -> None:
    mine = f"SELECT datname FROM pg_database WHERE starts_with(datname, '{addresses.database_prefix}')"
    for database in run_sql(addresses.database_server, mine, binaries=find_binaries()).split():
        drop = f'DROP DATABASE "{database}" WITH (FORCE)'
        run_sql(addresses.database_server, drop, binaries=find_binaries())


def _remove_abandoned_folders() -> None:
    """A run ended by kill -9 leaves no process, but its files: take them away if nobody holds their lock."""
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDER_PREFIX}*"):
        with contextlib.suppress(OSError), (folder / "lock").open("rb") as lock:
            about = folder.stat()
            # A young one may be just being made, its lock not yet taken.
            if about.st_uid == os.geteuid() and time.time() - about.st_mtime > 60:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)


RUN = pytest.StashKey[Run]()


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def _run_folder(config: pytest.Config) -> Path:
    return Path(config.workerinput["seteli_folder"]) if _is_worker(config) else config.stash[RUN].folder


def pytest_configure(config: pytest.Config) -> None:
    if not _is_worker(config):
        config.stash[RUN] = Run()


def pytest_unconfigure(config: pytest.Config) -> None:
    if RUN in config.stash:
        config.stash[RUN].end()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Half as many again as there are cores: a third of the time a test waits for a clock, a lock or the database."""
    return math.ceil((os.cpu_count() or 1) * 1.5)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node) -> None:
    node.workerinput["seteli_folder"] = str(_run_folder(node.config))


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses by the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "servers" in getattr(item, "fixturenames", ()):
            item.add_marker("db")
        if item.get_closest_marker("slow") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(SLOW_TIMEOUT_S))

    def place(item: pytest.Item) -> tuple[int, Path]:
        rank = next((at for at, path in enumerate(LONGEST) if item.nodeid.startswith(path)), len(LONGEST))
        return rank, item.path  # wherever its process began

    items.sort(key=place)


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Iterator[None]:
    """Modules and tests stay until the end: the garbage collector need not look through them again and again."""
    if _is_worker(session.config):
        _begin_elsewhere(session.config)
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        gc.enable()


def _begin_elsewhere(config: pytest.Config) -> None:
    """Whoever comes first to a file compiles it for all, which takes longer than all else before the first test."""
    arguments = [Path(argument) for argument in config.args]
    if all(argument.is_dir() for argument in arguments):
        files = [str(file) for folder in arguments for file in sorted(folder.rglob("test_*.py"))]
        number, count = int(config.workerinput["workerid"].removeprefix("gw")), config.workerinput["workercount"]
        begin = len(files) * number // count
        config.args = files[begin:] + files[:begin]


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """In the main thread, and before any test is begun or handed out."""
    if RUN not in session.config.stash or session.config.option.collectonly:
        return
    is_parallel = bool(session.config.getoption("numprocesses", None))
    if is_parallel or any(item.get_closest_marker("db") for item in session.items):
        session.config.stash[RUN].start()


@pytest.fixture(scope="session", autouse=True)
def quick_hashes() -> Iterator[None]:
    """A password or a PIN takes some 20 ms to check, on purpose: not in tests of other things."""
    with pytest.MonkeyPatch.context() as patch:
        for module in REAL_HASHERS:
            patch.setattr(module, "_HASHER", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
        yield


@pytest.fixture
def real_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the service keeps passwords and PINs, for a test of that."""
    for module, hasher in REAL_HASHERS.items():
        monkeypatch.setattr(module, "_HASHER", hasher)


@pytest.fixture(scope="session")
def server_folders(request: pytest.FixtureRequest) -> Iterator[Path]:
    """For servers of a test's own: unlike `tmp_path`, folders in it can be entered by whom root runs them as."""
    folder = Path(tempfile.mkdtemp(dir=_run_folder(request.config)))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def server_folder(server_folders: Path) -> Path:
    """An empty folder for one server."""
    folder = Path(tempfile.mkdtemp(dir=server_folders))
    folder.chmod(0o711)
    return folder


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest) -> Addresses:
    addresses = Addresses(**json.loads((_run_folder(request.config) / "addresses.json").read_text()))
    if addresses.failure:
        pytest.fail(f"the servers for the tests do not run: {addresses.failure}", pytrace=False)
    return addresses


@pytest.fixture(scope="session")
def worker_database_url(servers: Addresses) -> str:
    """This worker's own database, a copy of the migrated template. Tests use `database_url`, `db` or
    `pool`.
    """
    name, prefix = os.environ.get("PYTEST_XDIST_WORKER", "main"), servers.database_prefix
    create_database(servers.database_server, prefix + name, template=prefix + TEMPLATE, binaries=find_binaries())
    return servers.database(name)


@pytest.fixture(scope="session")
async def sessions(worker_database_url: str, servers: Addresses) -> AsyncIterator[Sessions]:
    sessions = open_sessions(worker_database_url, servers.growing_tables)
    yield sessions
    sessions.end()


@pytest.fixture
async def db(sessions: Sessions) -> AsyncIterator[Connection]:
    """A connection in a transaction that is rolled back after the test: for all that one session can show."""
    connection = await sessions.connection()
    attempt = connection.transaction(isolation="read_committed")
    await attempt.start()
    try:
        yield connection
    finally:
        # The test may have ended the transaction, or the connection.
        with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError):
            await attempt.rollback()


@pytest.fixture
async def database_url(sessions: Sessions) -> AsyncIterator[str]:
    """The URL of this worker's own database; everything written to it is gone after the test."""
    yield sessions.url
    await sessions.empty()


@pytest.fixture
async def pool(database_url: str, sessions: Sessions) -> Pool:
    """A pool as the service opens it, for tests of several sessions at once."""
    return await sessions.pool()


@pytest.fixture
def redis_url(servers: Addresses) -> Iterator[str]:
    """The URL of this worker's own numbered database in Valkey; emptied after the test."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    number = int(worker.removeprefix("gw")) + 1 if worker else 0
    url = f"{servers.redis_server}/{number % DATABASES}"
    yield url
    with contextlib.closing(redis.Redis.from_url(url)) as client:
        client.flushdb()


@pytest.fixture(scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """This worker's browser; tests/chromium.py says how to use it."""
    async with shared_chromium() as browser:
        yield browser
