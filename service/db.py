"""The database's edge: pools, transactions, migrations, and which failures mean that the database is not
there.

Owns no table but `schema_migrations`. Everything else's SQL is in the `queries` of its noun.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import asyncpg
from asyncpg.connect_utils import SessionAttribute
from asyncpg.pool import PoolConnectionProxy

from service.errors import DatabaseUnavailable, OutcomeUnknown, RequestInFlight, SchemaOutOfDate

if TYPE_CHECKING:
    Pool: TypeAlias = asyncpg.Pool[asyncpg.Record]
    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]
else:  # generic in the stubs only
    Pool = asyncpg.Pool
    Connection = asyncpg.Connection | PoolConnectionProxy

# Another session has what we need: a lock time-out, a deadlock that we lost, a statement that waited for 30 s. The
# statement is undone.
_HELD = (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError, asyncpg.QueryCanceledError)

_MISSING = (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError, asyncpg.UndefinedFunctionError)

CONNECT_TIMEOUT_S = 5
# Longer than a fail-over behind the pool takes (4 s measured for PostgreSQL under Patroni) plus a connect.
ACQUIRE_TIMEOUT_S = 10
LOCK_TIMEOUT_MS = 2_000
# A runaway query must not keep a connection for ever, yet nothing may be cut off that is only slow to
# commit: a debit cancelled while it waits for the synchronous standby is committed on one machine alone.
# PostgreSQL disarms this timeout before it commits, a lock wait ends after 2 s, so 30 s can hit only work
# that is really stuck.
STATEMENT_TIMEOUT_MS = 30_000
# A network that has gone silent says nothing, not even that it is gone. Past this we hang up on our side; unlike a
# cancelled query, that does not disturb a commit that waits for its standby.
SILENCE_S = 45.0
IDLE_IN_TRANSACTION_TIMEOUT_MS = 15_000

_LOST = (
    asyncpg.PostgresConnectionError,  # class 08: refused, broken, gone in mid-statement
    asyncpg.AdminShutdownError,  # 57P01
    asyncpg.CrashShutdownError,  # 57P02
    asyncpg.CannotConnectNowError,  # 57P03: starting, stopping or recovering
    asyncpg.TooManyConnectionsError,  # 53300
    asyncpg.ReadOnlySQLTransactionError,  # the primary we knew has become a standby
    ConnectionError,
)
# The driver's own words. A pool takes a broken connection back while its user still holds it. And between the server's
# last word (FATAL) and the end of the connection, the protocol is still busy with that error: operation 2.
_SIGNS_OF_LOSS = (
    "connection is closed",
    "pool is closing",
    "pool is closed",
    "released back to the pool",
    "another operation (2) is in progress",
    'protocol is in the "failed" state',
    "not connected",
)


async def open_pool(
    url: str,
    *,
    size: int = 10,
    application_name: str = "seteli",
    statement_timeout_ms: int = STATEMENT_TIMEOUT_MS,
) -> Pool:
    """A pool of up to `size` connections, opened as they are needed.

    Succeeds while the database is down; uses of the pool then raise DatabaseUnavailable until it is back,
    and work again without a restart. Over several hosts in `url` the primary is found by itself. Close it
    with `close()`.
    """
    return await asyncpg.create_pool(
        url,
        min_size=0,
        max_size=size,
        timeout=CONNECT_TIMEOUT_S,
        init=_prepare,
        reset=_leave_as_it_is,
        server_settings=_server_settings(application_name, statement_timeout_ms),
        target_session_attrs=SessionAttribute.primary,
    )


async def close_pool(pool: Pool) -> None:
    """Close all connections; hang up on those that do not say goodbye within a few seconds."""
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            await pool.close()
    except TimeoutError:
        pool.terminate()


async def connect(
    url: str, *, application_name: str = "seteli", statement_timeout_ms: int = STATEMENT_TIMEOUT_MS
) -> asyncpg.Connection[asyncpg.Record]:
    """One connection like those of the pool, for migrations, imports and the command line. Close it."""
    with driver_errors_as_ours():
        connection = await asyncpg.connect(
            url,
            timeout=CONNECT_TIMEOUT_S,
            server_settings=_server_settings(application_name, statement_timeout_ms),
            target_session_attrs=SessionAttribute.primary,
        )
        await _prepare(connection)
    return connection


def _server_settings(application_name: str, statement_timeout_ms: int) -> dict[str, str]:
    return {
        "application_name": application_name,
        "timezone": "UTC",
        "jit": "off",  # statements here take milliseconds; compiling them takes longer
        "lock_timeout": str(LOCK_TIMEOUT_MS),
        "statement_timeout": str(statement_timeout_ms),
        "idle_in_transaction_session_timeout": str(IDLE_IN_TRANSACTION_TIMEOUT_MS),
    }


async def _prepare(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    # Binary, with jsonb's version byte, because COPY in asyncpg refuses codecs in text format.
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        encoder=lambda value: b"\x01" + _to_json(value),
        decoder=lambda stored: json.loads(stored[1:]),
        format="binary",
    )


async def _leave_as_it_is(_connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """In place of a round trip that resets the session after each use (RESET ALL, UNLISTEN …): nothing here leaves
    anything in a session. Users of the pool may only SET LOCAL, and take locks that end with the transaction; one that
    is left open is rolled back by the pool itself.
    """


def _to_json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


@asynccontextmanager
async def transaction(pool: Pool) -> AsyncIterator[Connection]:
    """A connection in a READ COMMITTED transaction: committed at the end of the block, rolled back on any
    exception.

    Raises DatabaseUnavailable if the database went away before the commit was asked for: nothing has
    changed. Raises OutcomeUnknown if it went away during the commit: the caller must find out, or repeat
    with the same key. Raises RequestInFlight if a lock did not come free in time: nothing has changed.
    """
    async with _acquired(pool) as connection, _hung_up_on_silence(connection):
        current = connection.transaction(isolation="read_committed")
        with driver_errors_as_ours():
            await current.start()
        try:
            with driver_errors_as_ours():
                yield connection
        except BaseException:
            # A connection that is gone has been rolled back by the server; what went wrong is what matters.
            with suppress(asyncpg.InterfaceError, asyncpg.InternalClientError, *_LOST):
                await current.rollback()
            raise
        with driver_errors_as_ours(OutcomeUnknown):
            await current.commit()


@asynccontextmanager
async def snapshot(pool: Pool, *, max_s: float | None = None) -> AsyncIterator[Connection]:
    """A connection in a read-only transaction that sees one moment throughout; after `max_s` (SILENCE_S) it is hung
    up on.

    Raises DatabaseUnavailable if the database cannot be had, or went away in the middle.
    """
    async with _acquired(pool) as connection, _hung_up_on_silence(connection, after_s=max_s):
        with driver_errors_as_ours():
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                yield connection


@asynccontextmanager
async def autocommit(pool: Pool) -> AsyncIterator[Connection]:
    """A connection on which each statement is a transaction of its own: single reads, and the debit's one
    call.

    Raises DatabaseUnavailable if none can be had, OutcomeUnknown if the database went away, or silent, in the middle of
    one, RequestInFlight if a lock did not come free in time.
    """
    async with _acquired(pool) as connection, _hung_up_on_silence(connection):
        with driver_errors_as_ours(OutcomeUnknown):
            yield connection


@asynccontextmanager
async def _hung_up_on_silence(connection: Connection, after_s: float | None = None) -> AsyncIterator[None]:
    hang_up = asyncio.get_running_loop().call_later(SILENCE_S if after_s is None else after_s, connection.terminate)
    try:
        yield
    finally:
        hang_up.cancel()


@asynccontextmanager
async def _acquired(pool: Pool) -> AsyncIterator[Connection]:
    try:
        with driver_errors_as_ours():
            connection = await pool.acquire(timeout=ACQUIRE_TIMEOUT_S)
    except OSError as error:  # refused, unreachable, no such host, or (TimeoutError) silent
        raise DatabaseUnavailable from error
    try:
        yield connection
    finally:
        # The pool throws a connection away that it cannot reset. What was done on it before is done.
        with suppress(DatabaseUnavailable), driver_errors_as_ours():
            await pool.release(connection)


@contextmanager
def driver_errors_as_ours(
    lost: type[DatabaseUnavailable | OutcomeUnknown] = DatabaseUnavailable,
) -> Iterator[None]:
    """Turn the driver's many ways to say that the database is not there, or is held by another, into ours.

    `lost` is what to raise when a connection breaks in the middle. Errors about the work itself (a violated
    constraint) pass through.
    """
    try:
        yield
    except _HELD as error:
        raise RequestInFlight from error
    except _MISSING as error:
        raise SchemaOutOfDate from error
    except _LOST as error:
        raise lost from error
    except asyncpg.TargetServerAttributeNotMatched as error:
        raise DatabaseUnavailable from error
    except (asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        # Also its answer to misuse, so the text has to decide.
        if not any(sign in str(error) for sign in _SIGNS_OF_LOSS):
            raise
        raise lost from error
    except AttributeError as error:
        # Hung up on between the two steps of a statement, the driver asks the protocol that is gone for the second.
        if error.obj is not None or error.name not in ("bind_execute", "bind_execute_many"):
            raise
        raise lost from error


MIGRATIONS = Path(__file__).parent / "migrations"
# "seteli" in ASCII: one lock per database for everyone who migrates it.
_MIGRATION_LOCK = 0x736574656C69

_CREATE_TABLE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version    integer     PRIMARY KEY,
    name       text        NOT NULL,
    sha256     text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""
_SELECT_TABLE = "SELECT to_regclass('schema_migrations') IS NOT NULL"
_SELECT_APPLIED = "SELECT version, name, sha256 FROM schema_migrations ORDER BY version"
_INSERT_APPLIED = "INSERT INTO schema_migrations (version, name, sha256) VALUES ($1, $2, $3)"


class MigrationError(RuntimeError):
    """The files and the database contradict each other; the text says how. Nothing of it was applied."""


@dataclass(frozen=True, slots=True)
class Migration:
    version: int
    name: str
    sha256: str
    statements: str


def load_migrations(folder: Path = MIGRATIONS) -> Sequence[Migration]:
    """The files `NNNN_name.sql` of a folder in order; MigrationError if two have one number."""
    found: dict[int, Migration] = {}
    for path in sorted(folder.glob("*.sql")):
        number = path.stem.partition("_")[0]
        if not number.isdecimal():
            raise MigrationError(f"{path.name}: the name must begin with a number")
        content = path.read_bytes()
        migration = Migration(int(number), path.stem, hashlib.sha256(content).hexdigest(), content.decode())
        if (rival := found.setdefault(migration.version, migration)) is not migration:
            raise MigrationError(f"{rival.name} and {migration.name} have the same number")
    return tuple(found[version] for version in sorted(found))


_known_migrations = functools.cache(load_migrations)  # for health checks, which come every few seconds


async def migrate(target: Connection | str, *, folder: Path = MIGRATIONS) -> list[str]:
    """Apply every migration that is not applied yet, each in a transaction of its own; returns their names.

    Idempotent, and safe to run twice at once: the second waits for the first and then finds nothing to do.
    Each migration gives up after the usual wait for a lock rather than stop the traffic that queues behind
    it; run it again. Raises MigrationError if an applied file has changed since or a new file is numbered
    below an applied one, asyncpg.PostgresError for a faulty one, DatabaseUnavailable.
    """
    if not isinstance(target, str):
        with driver_errors_as_ours():
            return await _migrate(target, load_migrations(folder))
    connection = await connect(target, application_name="seteli migrate", statement_timeout_ms=0)
    try:
        with driver_errors_as_ours():
            return await _migrate(connection, load_migrations(folder))
    finally:
        await connection.close(timeout=CONNECT_TIMEOUT_S)


async def _migrate(connection: Connection, migrations: Sequence[Migration]) -> list[str]:
    # For as long as the other runner takes: the usual 2 s are for rows.
    async with connection.transaction():
        await connection.execute("SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0")
        await connection.execute("SELECT pg_advisory_lock($1)", _MIGRATION_LOCK)
    try:
        await connection.execute(_CREATE_TABLE)
        pending = _pending(migrations, await connection.fetch(_SELECT_APPLIED))
        for migration in pending:
            async with connection.transaction():
                await connection.execute(migration.statements)
                await connection.execute(_INSERT_APPLIED, migration.version, migration.name, migration.sha256)
        return [migration.name for migration in pending]
    finally:
        if not connection.is_closed():
            await connection.execute("SELECT pg_advisory_unlock($1)", _MIGRATION_LOCK)


def _pending(migrations: Sequence[Migration], applied: Sequence[asyncpg.Record]) -> list[Migration]:
    sums: dict[int, str] = {row["version"]: row["sha256"] for row in applied}
    newest = max(sums, default=-1)
    for migration in migrations:
        if migration.version in sums:
            if sums[migration.version] != migration.sha256:
                raise MigrationError(f"{migration.name} was changed after it was applied: write a new migration")
        elif migration.version < newest:
            raise MigrationError(f"{migration.name} is numbered below one that is applied ({newest}): renumber it")
    return [migration for migration in migrations if migration.version not in sums]


async def schema_is_current(connection: Connection, *, folder: Path = MIGRATIONS) -> bool:
    """Whether every migration of this program is applied, unchanged. A newer schema is current: roll-outs
    overlap.
    """
    if not await connection.fetchval(_SELECT_TABLE):
        return False
    sums = {row["version"]: row["sha256"] for row in await connection.fetch(_SELECT_APPLIED)}
    return all(sums.get(migration.version) == migration.sha256 for migration in _known_migrations(folder))
