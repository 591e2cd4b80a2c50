import asyncio
import shutil
from pathlib import Path

import asyncpg
import pytest

from service import db as database
from service.db import (
    MigrationError,
    autocommit,
    connect,
    driver_errors_as_ours,
    load_migrations,
    migrate,
    open_pool,
    schema_is_current,
    transaction,
)
from service.errors import DatabaseUnavailable, OutcomeUnknown, RequestInFlight
from service.sandbox.postgres import Postgres, find_binaries, run_sql, start_postgres
from service.sandbox.processes import free_port


@pytest.fixture
def own_server(server_folder: Path):
    """A server of the test's own, to be killed and brought back."""
    server = start_postgres(server_folder / "postgres", durable=False)
    yield server
    server.stop()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    migrations = tmp_path / "migrations"
    migrations.mkdir()
    (migrations / "9001_first.sql").write_text("CREATE TABLE first (n int); INSERT INTO first VALUES (1);")
    (migrations / "9002_second.sql").write_text("ALTER TABLE first ADD COLUMN m int;")
    return migrations


@pytest.fixture
async def empty_database(database_url: str, servers):
    """A database without any table."""
    name = database_url.partition("?")[0].rpartition("/")[2] + "_empty"
    for statement in (f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)', f'CREATE DATABASE "{name}"'):
        run_sql(servers.database_server, statement, binaries=find_binaries())
    return servers.database(name.removeprefix(servers.database_prefix))


# --- transactions


async def test_a_transaction_commits_at_the_end_of_its_block(pool):
    async with transaction(pool) as conn:
        assert await conn.fetchval("SHOW transaction_isolation") == "read committed"
        await conn.execute("CREATE TABLE kept_by_commit AS SELECT 42 AS n")
    async with autocommit(pool) as conn:
        assert await conn.fetchval("SELECT n FROM kept_by_commit") == 42
        await conn.execute("DROP TABLE kept_by_commit")


async def test_an_exception_rolls_the_whole_transaction_back_and_comes_out_unchanged(pool):
    with pytest.raises(ZeroDivisionError):
        async with transaction(pool) as conn:
            await conn.execute("CREATE TABLE dropped_by_rollback (n int)")
            raise ZeroDivisionError
    async with autocommit(pool) as conn:
        assert await conn.fetchval("SELECT to_regclass('dropped_by_rollback')") is None


async def test_a_cancelled_transaction_is_rolled_back_and_its_connection_is_good_for_the_next(database_url):
    pool = await open_pool(database_url, size=1)
    entered = asyncio.Event()

    async def work() -> None:
        async with transaction(pool) as conn:
            await conn.execute("CREATE TABLE dropped_by_cancel (n int)")
            entered.set()
            await conn.execute("SELECT pg_sleep(60)")

    task = asyncio.create_task(work())
    await entered.wait()
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with autocommit(pool) as conn:
        assert await conn.fetchval("SELECT to_regclass('dropped_by_cancel')") is None
    await pool.close()


async def test_a_connection_goes_back_without_a_round_trip_and_never_in_a_transaction(database_url, db):
    pool = await open_pool(database_url, size=1)
    async with autocommit(pool) as conn:
        backend = await conn.fetchval("SELECT pg_backend_pid()")
        await conn.execute("SELECT 'the last word'")
    last = await db.fetchval("SELECT query FROM pg_stat_activity WHERE pid = $1", backend)
    assert last == "SELECT 'the last word'"

    told: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: told.append(context["message"]))
    async with autocommit(pool) as conn:
        await conn.execute("BEGIN")
        await conn.execute("SET LOCAL lock_timeout = 1")
    async with autocommit(pool) as conn:
        assert await conn.fetchval("SELECT pg_backend_pid()") == backend
        assert not conn.is_in_transaction()
        assert await conn.fetchval("SHOW lock_timeout") == "2s"
    assert len(told) == 1
    await pool.close()


async def test_errors_about_the_work_itself_pass_through(pool):
    with pytest.raises(asyncpg.DivisionByZeroError):
        async with transaction(pool) as conn:
            await conn.execute("SELECT 1 / 0")
    with pytest.raises(asyncpg.InterfaceError, match="expects 1 arg"):
        async with autocommit(pool) as conn:
            await conn.fetchval("SELECT $1::int")


async def test_a_lock_is_waited_for_two_seconds_and_not_for_ever(pool):
    async with transaction(pool) as holder, transaction(pool) as waiter:
        await holder.execute("SELECT pg_advisory_xact_lock(7)")
        assert await waiter.fetchval("SHOW lock_timeout") == "2s"
        assert await waiter.fetchval("SHOW statement_timeout") == "30s"
        await waiter.execute("SET LOCAL lock_timeout = '50ms'")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await waiter.execute("SELECT pg_advisory_xact_lock(7)")
        await waiter.execute("ROLLBACK")
        await waiter.execute("BEGIN")
    async with transaction(pool) as holder:
        await holder.execute("SELECT pg_advisory_xact_lock(7)")
        for way in (transaction, autocommit):
            with pytest.raises(RequestInFlight):
                async with way(pool) as conn:
                    await conn.execute("SELECT pg_advisory_xact_lock(7)")


async def test_json_goes_in_and_out_as_python_values_also_through_copy(db):
    value = {"nimi": "Äiti ☂", "list": [1, None, True]}
    assert await db.fetchval("SELECT $1::jsonb", value) == value
    assert await db.fetchval("SELECT $1::jsonb ->> 'nimi'", value) == "Äiti ☂"
    await db.execute("CREATE TEMP TABLE copied (body jsonb)")
    await db.copy_records_to_table("copied", records=[(value,), (None,)])
    assert [row["body"] for row in await db.fetch("SELECT body FROM copied ORDER BY body")] == [value, None]


# --- a database that is not there


async def test_a_pool_opens_while_the_database_is_down_and_says_so_when_used():
    pool = await open_pool(f"postgresql://app@127.0.0.1:{free_port()}/seteli?sslmode=disable")
    with pytest.raises(DatabaseUnavailable):
        async with transaction(pool):
            pytest.fail("there is no database")
    with pytest.raises(DatabaseUnavailable):
        async with autocommit(pool):
            pytest.fail("there is no database")
    await pool.close()


async def test_a_single_connection_to_a_database_that_is_down_says_so():
    with pytest.raises(DatabaseUnavailable):
        await connect(f"postgresql://app@127.0.0.1:{free_port()}/seteli?sslmode=disable")


async def test_a_database_that_accepts_and_then_stays_silent_is_unavailable(monkeypatch):
    monkeypatch.setattr(database, "ACQUIRE_TIMEOUT_S", 0.2)

    hung_up = asyncio.Event()

    async def stay_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        await writer.wait_closed()
        hung_up.set()

    silent = await asyncio.start_server(stay_silent, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    pool = await open_pool(f"postgresql://app@127.0.0.1:{port}/seteli?sslmode=disable")
    with pytest.raises(DatabaseUnavailable):
        async with transaction(pool):
            pytest.fail("there is no database")
    pool.terminate()
    await hung_up.wait()
    silent.close()
    await silent.wait_closed()


async def test_a_pool_whose_connections_are_all_in_use_is_unavailable_after_a_while(database_url, monkeypatch):
    monkeypatch.setattr(database, "ACQUIRE_TIMEOUT_S", 0.2)
    pool = await open_pool(database_url, size=1)
    async with transaction(pool):
        with pytest.raises(DatabaseUnavailable):
            async with transaction(pool):
                pytest.fail("there is only one connection")
    await pool.close()


@pytest.mark.slow  # `make test` kills PostgreSQL under the whole service in the demo's story
async def test_a_pool_recovers_by_itself_when_a_killed_database_is_back(own_server: Postgres):
    pool = await open_pool(own_server.url(), size=4)
    async with transaction(pool) as first, transaction(pool) as second:
        await first.execute("SELECT 1")
        await second.execute("SELECT 1")

    async def work(lost: asyncio.Event) -> None:
        async with transaction(pool) as conn:
            lost.set()
            await conn.execute("SELECT pg_sleep(60)")

    busy = asyncio.Event()
    task = asyncio.create_task(work(busy))
    await busy.wait()
    await asyncio.sleep(0.1)
    own_server.kill()
    with pytest.raises(DatabaseUnavailable):
        await task
    with pytest.raises(DatabaseUnavailable):
        async with transaction(pool) as conn:
            await conn.execute("SELECT 1")
    again = start_postgres(own_server.log_file.parent, port=own_server.port, durable=False)
    try:
        for _ in range(6):
            async with transaction(pool) as conn:
                assert await conn.fetchval("SELECT 1") == 1
        await pool.close()
    finally:
        again.stop()


async def test_a_connection_lost_before_the_commit_changed_nothing_and_says_so(pool):
    with pytest.raises(DatabaseUnavailable):
        async with transaction(pool) as conn:
            await conn.execute("CREATE TABLE never (n int)")
            await cut(pool, conn)
            await conn.execute("SELECT 1")
    async with autocommit(pool) as conn:
        assert await conn.fetchval("SELECT to_regclass('never')") is None


async def test_a_connection_lost_at_the_commit_leaves_the_outcome_unknown(pool):
    with pytest.raises(OutcomeUnknown):
        async with transaction(pool) as conn:
            await conn.execute("CREATE TABLE perhaps (n int)")
            await cut(pool, conn)


async def test_a_connection_lost_in_an_autocommit_statement_leaves_the_outcome_unknown(pool):
    with pytest.raises(OutcomeUnknown):
        async with autocommit(pool) as conn:
            pid = conn.get_server_pid()
            statement = asyncio.create_task(conn.execute("SELECT pg_sleep(60)"))
            await asyncio.sleep(0.1)
            await pool.execute("SELECT pg_terminate_backend($1)", pid)
            await statement


async def test_a_connection_lost_after_the_commit_takes_nothing_back(pool):
    async with autocommit(pool) as conn:
        await conn.execute("CREATE TABLE done (n int)")
        with pytest.raises(
            asyncpg.PostgresError
        ):  # the driver may not have noticed that it is over when the block ends
            await conn.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    async with autocommit(pool) as conn:
        await conn.execute("DROP TABLE done")


async def cut(pool, conn) -> None:
    """End the server's side of `conn`, as a fail-over does, and let our side not notice yet."""
    await pool.execute("SELECT pg_terminate_backend($1, 5000)", conn.get_server_pid())


async def test_a_database_that_falls_silent_in_a_statement_is_hung_up_on_and_the_outcome_is_unknown(pool, monkeypatch):
    monkeypatch.setattr(database, "SILENCE_S", 0.2)
    async with asyncio.timeout(3):
        with pytest.raises(OutcomeUnknown):
            async with autocommit(pool) as conn:
                await conn.fetchval("SELECT pg_sleep(10)")
        monkeypatch.undo()
        async with autocommit(pool) as conn:
            assert await conn.fetchval("SELECT 1") == 1


async def test_a_database_hung_up_on_between_the_steps_of_a_statement_is_a_lost_one(pool, monkeypatch):
    prepare = asyncpg.Connection._get_statement

    async def prepare_and_hang_up(self, *arguments, **options):
        statement = await prepare(self, *arguments, **options)
        self.terminate()
        return statement

    with pytest.raises(OutcomeUnknown):
        async with autocommit(pool) as conn:
            with monkeypatch.context() as patched:
                patched.setattr(asyncpg.Connection, "_get_statement", prepare_and_hang_up)
                await conn.fetchval("SELECT $1::text", "a")
    with pytest.raises(AttributeError), driver_errors_as_ours():
        None.bind_nothing  # noqa: B018 - a mistake of ours stays one


async def test_the_error_for_a_lost_database_carries_no_values(pool):
    with pytest.raises(OutcomeUnknown) as caught:
        async with autocommit(pool) as conn:
            await cut(pool, conn)
            await conn.fetchval("SELECT $1::text", "482703159268")
    assert "482703159268" not in f"{caught.value!r} {caught.value.__cause__!r}"


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.AdminShutdownError(""),
        asyncpg.CrashShutdownError(""),
        asyncpg.CannotConnectNowError(""),
        asyncpg.TooManyConnectionsError(""),
        asyncpg.ConnectionDoesNotExistError(""),
        asyncpg.ReadOnlySQLTransactionError(""),
        asyncpg.InterfaceError("connection is closed"),
        asyncpg.InterfaceError("pool is closing"),
        asyncpg.InternalClientError("cannot switch to state 15; another operation (2) is in progress"),
        ConnectionResetError(),
        BrokenPipeError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_every_way_of_losing_the_database_is_told_as_one(error):
    with pytest.raises(DatabaseUnavailable), driver_errors_as_ours():
        raise error


# --- migrations


async def test_migrations_are_applied_once_in_order_and_remembered(empty_database, folder):
    assert await migrate(empty_database, folder=folder) == ["9001_first", "9002_second"]
    assert await migrate(empty_database, folder=folder) == []
    conn = await connect(empty_database)
    try:
        assert await conn.fetchval("SELECT n FROM first") == 1
        rows = await conn.fetch(
            "SELECT version, name, applied_at <= now() AS past FROM schema_migrations ORDER BY version"
        )
        assert [tuple(row) for row in rows] == [(9001, "9001_first", True), (9002, "9002_second", True)]
        assert await migrate(conn, folder=folder) == []
        assert await conn.fetchval("SHOW lock_timeout") == "2s"
    finally:
        await conn.close()


async def test_two_runners_at_once_apply_each_migration_once(empty_database, folder):
    (folder / "9001_first.sql").write_text("CREATE TABLE first (n int); SELECT pg_sleep(0.3);")
    applied = await asyncio.gather(*(migrate(empty_database, folder=folder) for _ in range(5)))
    assert sorted(map(len, applied)) == [0, 0, 0, 0, 2]


async def test_a_faulty_migration_leaves_nothing_of_itself_and_everything_before_it(empty_database, folder):
    (folder / "9003_faulty.sql").write_text("CREATE TABLE half (n int); SELECT 1 / 0;")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate(empty_database, folder=folder)
    conn = await connect(empty_database)
    try:
        assert await conn.fetchval("SELECT to_regclass('half')") is None
        assert await conn.fetchval("SELECT max(version) FROM schema_migrations") == 9002
        assert not await schema_is_current(conn, folder=folder)
    finally:
        await conn.close()
    (folder / "9003_faulty.sql").write_text("CREATE TABLE half (n int);")
    assert await migrate(empty_database, folder=folder) == ["9003_faulty"]


async def test_a_migration_that_was_edited_after_it_was_applied_is_refused(empty_database, folder):
    await migrate(empty_database, folder=folder)
    (folder / "9001_first.sql").write_text("CREATE TABLE other (n int);")
    (folder / "9003_third.sql").write_text("CREATE TABLE third (n int);")
    with pytest.raises(MigrationError, match="9001_first was changed"):
        await migrate(empty_database, folder=folder)
    conn = await connect(empty_database)
    assert await conn.fetchval("SELECT to_regclass('third')") is None
    await conn.close()


async def test_a_new_migration_numbered_below_an_applied_one_is_refused(empty_database, folder):
    await migrate(empty_database, folder=folder)
    (folder / "9000_late.sql").write_text("SELECT 1;")
    with pytest.raises(MigrationError, match="renumber"):
        await migrate(empty_database, folder=folder)


def test_two_migrations_with_one_number_and_names_without_a_number_are_refused(folder):
    (folder / "9002_rival.sql").write_text("SELECT 1;")
    with pytest.raises(MigrationError, match="same number"):
        load_migrations(folder)
    (folder / "9002_rival.sql").rename(folder / "nameless.sql")
    with pytest.raises(MigrationError, match="begin with a number"):
        load_migrations(folder)


async def test_a_schema_is_current_only_when_every_migration_of_the_program_is_applied(
    empty_database, folder, tmp_path
):
    conn = await connect(empty_database)
    try:
        assert not await schema_is_current(conn, folder=folder)
        await migrate(conn, folder=folder)
        assert await schema_is_current(conn, folder=folder)
        older = tmp_path / "older"
        older.mkdir()
        shutil.copy(folder / "9001_first.sql", older)
        assert await schema_is_current(conn, folder=older)  # a newer program migrated; this one may go on
    finally:
        await conn.close()


async def test_the_database_of_the_tests_is_migrated(db):
    assert await schema_is_current(db)


async def test_migrating_a_database_that_is_down_says_so():
    with pytest.raises(DatabaseUnavailable):
        await migrate(f"postgresql://app@127.0.0.1:{free_port()}/seteli?sslmode=disable")
