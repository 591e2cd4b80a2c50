"""Rows between two tests: taken away fast, and the sample data put back fast.

On a server where we are not superuser both are done the slow way.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from service.db import Connection

LARGE_BYTES = 512 * 1024

# A session that is a replica checks no foreign keys and runs no triggers. It is one for good: each change takes all the
# plans away that it has kept, and a debit's cost tens of milliseconds. A function's are kept.
_BE_REPLICA = """
SET session_replication_role = replica;
CREATE FUNCTION pg_temp.empty_tables() RETURNS text[] LANGUAGE plpgsql AS $$
BEGIN
  {statements};
  RETURN ARRAY(
    SELECT name FROM unnest('{{{tables}}}'::text[]) AS name WHERE pg_relation_size(name::regclass) > {large}
  );
END
$$
"""
_SELECT_TABLES = "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname = 'public'"
_SELECT_COLUMNS = """
SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum)
FROM pg_attribute
WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
"""


async def be_replica(conn: Connection, tables: Sequence[str]) -> None:
    """Once in a session that `empty_tables`, and puts rows back, and does nothing else."""
    if _is_superuser(conn):
        statements = ";".join(f"DELETE FROM {table}" for table in tables)
        await conn.execute(_BE_REPLICA.format(statements=statements, tables=",".join(tables), large=LARGE_BYTES))


async def empty_tables(conn: Connection, tables: Sequence[str]) -> None:
    """TRUNCATE makes new files for each table and index, hundreds of them; deleting a few rows costs a small part of
    that. What has grown large is truncated all the same: no test shall read through what another has left dead.
    """
    if not _is_superuser(conn):
        await conn.execute(f"TRUNCATE {', '.join(tables)} CASCADE")
        return
    if large := await conn.fetchval("SELECT pg_temp.empty_tables()"):
        await conn.execute(f"TRUNCATE {', '.join(large)} CASCADE")


_copies: dict[str, tuple[str, dict[str, str]]] = {}


async def once_then_copied(
    conn: Connection, load: Callable[[Connection], Awaitable[dict[str, str]]], *, name: str, replica: Connection
) -> dict[str, str]:
    """What `load` makes of an empty database, and returns. After the first time in this process `replica` puts the rows
    that it made in as they were, ids and times too, in one round trip. `name` is one for each way of loading.
    """
    if not _is_superuser(conn) or await conn.fetchval("SELECT EXISTS (SELECT FROM organisers)"):
        return await load(conn)
    if name not in _copies:
        before = await _filled_tables(conn)
        answer = await load(conn)
        copies = [await _copy(conn, table) for table in await _filled_tables(conn) if table not in before]
        _copies[name] = ";".join(copies), answer
        return dict(answer)
    statements, answer = _copies[name]
    await replica.execute(statements)
    return dict(answer)


def _is_superuser(conn: Connection) -> bool:
    return getattr(conn.get_settings(), "is_superuser", "off") == "on"


async def _filled_tables(conn: Connection) -> list[str]:
    tables = [name for (name,) in await conn.fetch(_SELECT_TABLES)]
    return [table for table in tables if await conn.fetchval(f"SELECT EXISTS (SELECT FROM {table})")]


async def _copy(conn: Connection, table: str) -> str:
    """The statement that puts all present rows of a table into it again."""
    columns = await conn.fetchval(_SELECT_COLUMNS, table)
    insert = f"INSERT INTO {table} ({columns}) SELECT {columns} FROM json_populate_recordset(NULL::{table}, %L)"
    return str(await conn.fetchval(f"SELECT format($1::text, (SELECT json_agg(each) FROM {table} AS each))", insert))
