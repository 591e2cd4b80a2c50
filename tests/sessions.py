"""The database sessions that a worker's tests share, one test after the other.

A new session reads PostgreSQL's catalogue and plans every statement and function anew, which costs a test more than
what it does. So the pool, the connection of `db` and the one that cleans up stay open from test to test. What a test
may not do to a session it may not do in the service either (`service.db._leave_as_it_is`); one that closes, or does
not give back, what it was lent is noticed, and all sessions are made anew.
"""

from __future__ import annotations

from collections.abc import Sequence

from service.db import Connection, Pool, connect, open_pool
from tests.rows import be_replica, empty_tables

NAME = "test"
_END_OTHERS = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name <> ALL ($1::text[])
"""


class Sessions:
    """Everything here lives on the event loop of the whole run."""

    def __init__(self, url: str, tables: Sequence[str]) -> None:
        self.url = url
        self._tables = tables
        self._pool: Pool | None = None
        self._connection: Connection | None = None
        self._replica: Connection | None = None

    async def pool(self) -> Pool:
        """As the service opens it; lent, not to be closed."""
        if self._pool is None:
            self._pool = await open_pool(self.url, size=20, application_name=NAME)
        return self._pool

    async def connection(self) -> Connection:
        """Outside the pool and in no transaction; lent, not to be closed."""
        if self._connection is None or self._connection.is_closed():
            self._connection = await connect(self.url, application_name=NAME)
        return self._connection

    async def replica(self) -> Connection:
        """What takes rows away and puts some back (`tests/rows.py`); in no transaction."""
        if self._replica is None or self._replica.is_closed():
            self._replica = await connect(self.url, application_name="clean-up")
            await be_replica(self._replica, self._tables)
        return self._replica

    async def empty(self) -> None:
        """End every session but those that are lent, and take away all rows."""
        replica = await self.replica()
        if self._is_broken():
            self._end_lent()
        lent = [NAME] if self._pool or self._connection else []
        await replica.execute(_END_OTHERS, lent)
        await empty_tables(replica, self._tables)

    def _is_broken(self) -> bool:
        if self._connection is not None and (self._connection.is_closed() or self._connection.is_in_transaction()):
            return True
        return self._pool is not None and (
            self._pool.is_closing() or self._pool.get_idle_size() != self._pool.get_size()
        )

    def _end_lent(self) -> None:
        for lent in (self._pool, self._connection):
            if lent is not None:
                lent.terminate()
        self._pool = self._connection = None

    def end(self) -> None:
        self._end_lent()
        if self._replica is not None:
            self._replica.terminate()


_OF_WORKER: dict[str, Sessions] = {}


def sessions_of(url: str) -> Sessions | None:
    """Those of this worker's own database; None for any other."""
    return _OF_WORKER.get(url)


def open_sessions(url: str, tables: Sequence[str]) -> Sessions:
    """`tables`: those that tests fill, and that are empty between them."""
    _OF_WORKER[url] = Sessions(url, tables)
    return _OF_WORKER[url]
