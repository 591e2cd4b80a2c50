import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

from service.sandbox.postgres import Postgres, create_database, find_binaries, run_sql, start_postgres
from service.sandbox.processes import ServerStartError, command_line, free_port, ticks

CANARY = "482703159268"


def sql(server: Postgres, statement: str, database: str = "seteli") -> str:
    return run_sql(server.url(database), statement, binaries=server.binaries)


def processes_in(folder: Path) -> list[int]:
    """Those whose working folder is inside: the server and, unlike by name, every child of it."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                where = (entry / "cwd").readlink()
            except OSError:
                continue
            if where.is_relative_to(folder):
                found.append(int(entry.name))
    return found


def start_session(script: str, data: Path) -> subprocess.Popen[str]:
    session = subprocess.Popen([sys.executable, "-c", script, str(data)], stdout=subprocess.PIPE, text=True)
    assert session.stdout is not None
    assert session.stdout.readline() == "up\n"
    return session


def kill_session(session: subprocess.Popen[str]) -> None:
    session.kill()
    session.wait()
    assert session.stdout is not None
    session.stdout.close()  # not read to its end: a child that lives on would keep it open


SESSION = """
import sys, time
from pathlib import Path
from service.sandbox.postgres import start_postgres
server = start_postgres(Path(sys.argv[1]))
print("up", flush=True)
time.sleep(60)
"""

# A session that ends without its server noticing, as every session on macOS does when it is killed.
CARELESS_SESSION = """
import os, signal, sys
from pathlib import Path
from service.sandbox import postgres
spawn = postgres.spawn
postgres.spawn = lambda *a, **k: spawn(*a, **(k | {"death_signal": signal.SIGCONT}))
server = postgres.start_postgres(Path(sys.argv[1]))
print("up", flush=True)
os._exit(0)
"""


@pytest.fixture(scope="module")
def pristine(server_folders: Path) -> Path:
    """A folder after its first start, to be copied: initdb is the slow part."""
    folder = server_folders / "pristine"
    start_postgres(folder).stop()
    return folder


@pytest.fixture
def data(pristine: Path, server_folder: Path) -> Path:
    return shutil.copytree(pristine, server_folder / "postgres")


def test_a_server_starts_in_an_empty_folder_with_its_database_and_stops_twice_without_complaint(server_folder):
    with start_postgres(server_folder / "deep" / "postgres") as server:
        assert server.is_running
        assert sql(server, "SELECT current_user || '@' || current_database()") == "app@seteli"
        assert sql(server, "SHOW fsync") == "on"
        assert sql(server, "SHOW synchronous_commit") == "on"
        server.stop()
        server.stop()
        assert not server.is_running


@pytest.mark.slow  # as the demo does in `make test`
def test_a_second_start_continues_with_the_same_data(data):
    with start_postgres(data) as server:
        sql(server, "CREATE TABLE kept AS SELECT 42 AS answer")
    with start_postgres(data) as server:
        assert sql(server, "SELECT answer FROM kept") == "42"


def test_a_killed_server_comes_back_on_its_port_with_every_commit(data):
    server = start_postgres(data)
    sql(server, "CREATE TABLE kept AS SELECT 42 AS answer")
    server.kill()
    assert not server.is_running
    with start_postgres(data, port=server.port) as again:
        assert again.port == server.port
        assert sql(again, "SELECT answer FROM kept") == "42"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can tie a child to its parent")
def test_nothing_is_left_two_seconds_after_the_session_is_killed(data):
    session = start_session(SESSION, data)
    assert len(processes_in(data)) > 3
    kill_session(session)
    assert any(not processes_in(data) for _ in ticks(2))
    with start_postgres(data):
        pass
    assert "not properly shut down" not in (data / "postgres.log").read_text()


@pytest.mark.slow
def test_a_server_that_a_session_left_behind_is_stopped_before_the_next_one_starts(data):
    start_session(CARELESS_SESSION, data).communicate()
    left = int((data / "cluster" / "postmaster.pid").read_text().split()[0])
    assert command_line(left)
    with start_postgres(data) as server:
        assert server.pid != left
        assert not command_line(left)


def test_a_folder_in_use_is_not_touched(data):
    with start_postgres(data) as server:
        with pytest.raises(ServerStartError, match="in use by another session"):
            start_postgres(data)
        assert sql(server, "SELECT 1") == "1"


@pytest.mark.slow
def test_an_interrupted_initdb_is_begun_again(server_folder):
    unfinished = server_folder / "cluster.unfinished"
    unfinished.mkdir()
    (unfinished / "PG_VERSION").write_text("18\n")
    with start_postgres(server_folder) as server:
        assert sql(server, "SELECT 1") == "1"


@pytest.mark.slow
def test_a_pid_file_whose_number_now_belongs_to_another_process_does_not_stop_the_start(data):
    (data / "cluster" / "postmaster.pid").write_text(f"{os.getpid()}\n{data / 'cluster'}\n0\n1\n\n127.0.0.1\n")
    with start_postgres(data) as server:
        assert sql(server, "SELECT 1") == "1"


@pytest.mark.slow
def test_data_of_another_major_version_is_refused_by_name(data):
    (data / "cluster" / "PG_VERSION").write_text("9\n")
    with pytest.raises(ServerStartError, match="made by PostgreSQL 9"):
        start_postgres(data)


@pytest.mark.slow
def test_a_server_that_cannot_start_says_why(data):
    (data / "cluster" / "postgresql.conf").write_text("no_such_setting = 1\n")
    with pytest.raises(ServerStartError, match="no_such_setting"):
        start_postgres(data)


@pytest.mark.slow
def test_a_long_path_with_spaces_and_letters_is_no_obstacle(pristine, server_folder):
    folder = shutil.copytree(pristine, server_folder / ("palvelu seteli äö " + "x" * 120) / "postgres")
    with start_postgres(folder) as server:
        assert sql(server, "SELECT 1") == "1"


@pytest.mark.slow
def test_settings_for_other_servers_in_the_environment_do_not_reach_it(data, monkeypatch):
    monkeypatch.setenv("PGOPTIONS", "-c search_path=elsewhere")
    monkeypatch.setenv("PGPORT", str(free_port()))
    monkeypatch.setenv("PGDATA", "/nowhere")
    with start_postgres(data) as server:
        assert sql(server, "SHOW search_path") == '"$user", public'


async def test_no_value_reaches_the_log_when_statements_fail(data):
    with start_postgres(data) as server:
        connection = await asyncpg.connect(server.url())
        await connection.execute("CREATE TABLE t (code text PRIMARY KEY, n int CHECK (n > 0))")
        await connection.execute("INSERT INTO t VALUES ($1, 1)", CANARY)
        for statement in (
            "INSERT INTO t VALUES ($1, 1)",
            "INSERT INTO t VALUES ($1 || '.', 0)",
            "SELECT ($1::text || '.')::uuid",
            "SELECT 1 / (length($1::text) - 12)",
            "DO $$ BEGIN RAISE WARNING '" + CANARY + "'; RAISE EXCEPTION '" + CANARY + "'; END $$",
        ):
            with pytest.raises(asyncpg.PostgresError):
                await connection.execute(statement, *([CANARY] if "$1" in statement else []))
        await connection.close()
    log = (data / "postgres.log").read_text()
    assert "database system is ready" in log
    assert CANARY not in log


@pytest.mark.slow
def test_a_database_is_copied_from_a_template_and_made_only_once(data):
    with start_postgres(data, durable=False) as server:
        assert sql(server, "SHOW fsync") == "off"
        sql(server, "CREATE TABLE kept AS SELECT 42 AS answer")
        for _ in range(2):
            create_database(server.url("postgres"), "copy", template="seteli", binaries=server.binaries)
        assert sql(server, "SELECT answer FROM kept", "copy") == "42"


@pytest.mark.slow
def test_an_installed_postgresql_serves_where_the_wheel_is_missing(server_folder, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    try:
        binaries = find_binaries()
    except ServerStartError:
        pytest.skip("no PostgreSQL 15 or newer is installed on this machine beside the wheel")
    assert "site-packages" not in str(binaries)
    with start_postgres(server_folder) as server:
        assert server.binaries == binaries
        assert sql(server, "SELECT 1") == "1"


def test_without_any_postgresql_the_error_says_what_to_do(monkeypatch):
    monkeypatch.setattr("service.sandbox.postgres._candidates", lambda: iter(()))
    with pytest.raises(ServerStartError, match="DATABASE_URL"):
        find_binaries()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_stopping_does_not_wait_for_those_who_are_connected(data):
    with start_postgres(data) as server:
        waiting = subprocess.Popen(
            [server.binaries / "psql", "-X", "-c", "SELECT pg_sleep(60)", server.url()],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        assert any(sql(server, "SELECT count(*) FROM pg_stat_activity WHERE query ~ 'sleep'") for _ in ticks(5))
        server.stop()
        assert waiting.wait(10) != -signal.SIGKILL
        assert not processes_in(data)
