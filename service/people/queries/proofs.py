"""Every SQL statement on what people prove themselves with: passkeys, recovery codes, mailed links, failed tries."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from asyncpg import Record

from service.db import Connection

INSERT_PASSKEY = """
INSERT INTO passkeys (passkey_id, person_id, credential_id, public_key, sign_count, name)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT ON CONSTRAINT passkeys_credential_once DO NOTHING RETURNING passkey_id
"""


async def insert_passkey(
    conn: Connection,
    *,
    passkey_id: UUID,
    person_id: UUID,
    credential_id: bytes,
    public_key: bytes,
    sign_count: int,
    name: str,
) -> bool:
    """False: it is somebody's already."""
    made = await conn.fetchval(INSERT_PASSKEY, passkey_id, person_id, credential_id, public_key, sign_count, name)
    return made is not None


SELECT_PASSKEYS = """
SELECT passkey_id, credential_id, public_key, sign_count, name, created_at, last_used_at
  FROM passkeys WHERE person_id = $1 ORDER BY passkey_id
"""


async def select_passkeys(conn: Connection, *, person_id: UUID) -> Sequence[Record]:
    return await conn.fetch(SELECT_PASSKEYS, person_id)


UPDATE_PASSKEY_USED = "UPDATE passkeys SET sign_count = $2, last_used_at = now() WHERE passkey_id = $1"


async def update_passkey_used(conn: Connection, *, passkey_id: UUID, sign_count: int) -> None:
    await conn.execute(UPDATE_PASSKEY_USED, passkey_id, sign_count)


DELETE_PASSKEY = "DELETE FROM passkeys WHERE person_id = $1 AND passkey_id = $2 RETURNING passkey_id"


async def delete_passkey(conn: Connection, *, person_id: UUID, passkey_id: UUID) -> bool:
    return await conn.fetchval(DELETE_PASSKEY, person_id, passkey_id) is not None


DELETE_PASSKEYS = "DELETE FROM passkeys WHERE person_id = $1"


async def delete_passkeys(conn: Connection, *, person_id: UUID) -> None:
    await conn.execute(DELETE_PASSKEYS, person_id)


DELETE_RECOVERY_CODES = "DELETE FROM recovery_codes WHERE person_id = $1"


async def delete_recovery_codes(conn: Connection, *, person_id: UUID) -> None:
    await conn.execute(DELETE_RECOVERY_CODES, person_id)


INSERT_RECOVERY_CODES = "INSERT INTO recovery_codes (person_id, code_hash) SELECT $1, unnest($2::bytea[])"


async def insert_recovery_codes(conn: Connection, *, person_id: UUID, code_hashes: Sequence[bytes]) -> None:
    await conn.execute(INSERT_RECOVERY_CODES, person_id, code_hashes)


USE_RECOVERY_CODE = """
UPDATE recovery_codes SET used_at = now() WHERE person_id = $1 AND code_hash = $2 AND used_at IS NULL
RETURNING person_id
"""


async def use_recovery_code(conn: Connection, *, person_id: UUID, code_hash: bytes) -> bool:
    return await conn.fetchval(USE_RECOVERY_CODE, person_id, code_hash) is not None


COUNT_RECOVERY_CODES = "SELECT count(*) FROM recovery_codes WHERE person_id = $1 AND used_at IS NULL"


async def count_recovery_codes(conn: Connection, *, person_id: UUID) -> int:
    left: int = await conn.fetchval(COUNT_RECOVERY_CODES, person_id)
    return left


# A new link makes the older ones of its kind useless.
EXPIRE_LINKS = """
UPDATE mailed_links SET expires_at = least(expires_at, clock_timestamp()), token_sealed = NULL
 WHERE person_id = $1 AND ($2::text IS NULL OR kind = $2) AND used_at IS NULL AND token_sealed IS NOT NULL
"""


async def expire_links(conn: Connection, *, person_id: UUID, kind: str | None) -> None:
    """Of one kind, or all."""
    await conn.execute(EXPIRE_LINKS, person_id, kind)


INSERT_LINK = """
INSERT INTO mailed_links (link_id, kind, person_id, token_hash, token_sealed, expires_at)
VALUES ($1, $2, $3, $4, $5, $6)
"""


async def insert_link(
    conn: Connection,
    *,
    link_id: UUID,
    kind: str,
    person_id: UUID,
    token_hash: bytes,
    token_sealed: bytes,
    expires_at: datetime,
) -> None:
    await conn.execute(INSERT_LINK, link_id, kind, person_id, token_hash, token_sealed, expires_at)


COUNT_LINKS = (
    "SELECT count(*) FROM mailed_links WHERE person_id = $1 AND kind = $2 AND created_at > now() - $3::interval"
)


async def count_links(conn: Connection, *, person_id: UUID, kind: str, within: timedelta) -> int:
    made: int = await conn.fetchval(COUNT_LINKS, person_id, kind, within)
    return made


_LIVE = "used_at IS NULL AND expires_at > clock_timestamp()"

SELECT_LINK = f"""
SELECT l.link_id, l.person_id, p.name, p.language, p.role, p.email_sealed, coalesce(o.name, c.name) AS owner_name,
       p.organiser_id
  FROM mailed_links l JOIN people p USING (person_id)
  LEFT JOIN organisers o USING (organiser_id)
  LEFT JOIN providers c USING (provider_id)
 WHERE token_hash = $1 AND kind = $2 AND {_LIVE} AND p.disabled_at IS NULL AND c.suspended_at IS NULL
"""


async def select_link(conn: Connection, *, token_hash: bytes, kind: str) -> Record | None:
    """The person that a live link is for."""
    return await conn.fetchrow(SELECT_LINK, token_hash, kind)


USE_LINK = f"""
UPDATE mailed_links SET used_at = now(), token_sealed = NULL WHERE token_hash = $1 AND kind = $2 AND {_LIVE}
RETURNING link_id
"""


async def use_link(conn: Connection, *, token_hash: bytes, kind: str) -> bool:
    """False: somebody was faster."""
    return await conn.fetchval(USE_LINK, token_hash, kind) is not None


SELECT_SEALED_LINKS = f"""
SELECT link_id, kind, token_sealed FROM mailed_links
 WHERE link_id = ANY ($1::uuid[]) AND token_sealed IS NOT NULL AND {_LIVE}
"""


async def select_sealed_links(conn: Connection, *, link_ids: Sequence[UUID]) -> Sequence[Record]:
    return await conn.fetch(SELECT_SEALED_LINKS, link_ids)


FORGET_LINKS = """
WITH gone AS (DELETE FROM mailed_links WHERE expires_at < now() - interval '7 days' RETURNING 1)
SELECT count(*) FROM gone
"""


async def forget_links(conn: Connection) -> int:
    gone: int = await conn.fetchval(FORGET_LINKS)
    return gone


# Counted before the try is looked at, so that a hundred tries at once are a hundred tries. `$2` are the delays after
# the first, second … failure; no row comes back while the last one lasts.
COUNT_TRY = """
INSERT INTO login_failures AS f (about, failures, last_at, open_at)
VALUES ($1, 1, clock_timestamp(), clock_timestamp() + make_interval(secs => ($2::integer[])[1]))
ON CONFLICT (about) DO UPDATE
   SET failures = CASE WHEN f.last_at < clock_timestamp() - $3::interval THEN 1 ELSE f.failures + 1 END,
       last_at = clock_timestamp(),
       open_at = clock_timestamp() + make_interval(secs => CASE
           WHEN f.last_at < clock_timestamp() - $3::interval THEN ($2::integer[])[1]
           ELSE ($2::integer[])[least(f.failures + 1, cardinality($2::integer[]))] END)
 WHERE f.open_at <= clock_timestamp()
RETURNING failures
"""


async def count_try(conn: Connection, *, about: bytes, delays_s: Sequence[int], forgotten_after: timedelta) -> bool:
    """False: it is too early for another try."""
    return await conn.fetchval(COUNT_TRY, about, delays_s, forgotten_after) is not None


SELECT_WAIT = """
SELECT ceil(extract(epoch FROM max(open_at) - clock_timestamp()))::integer FROM login_failures
 WHERE about = ANY ($1::bytea[])
"""


async def select_wait_s(conn: Connection, *, abouts: Sequence[bytes]) -> int:
    """Seconds until the next try is looked at; 0: now."""
    wait: int | None = await conn.fetchval(SELECT_WAIT, abouts)
    return max(wait or 0, 0)


FORGIVE = "DELETE FROM login_failures WHERE about = ANY ($1::bytea[])"


async def forgive(conn: Connection, *, abouts: Sequence[bytes]) -> None:
    await conn.execute(FORGIVE, abouts)


UNCOUNT = """
UPDATE login_failures SET failures = failures - 1, open_at = clock_timestamp() WHERE about = $1 AND failures > 1
"""


async def uncount_try(conn: Connection, *, about: bytes) -> None:
    """A try that was right is none; those before it still count."""
    await conn.execute(UNCOUNT, about)


FORGET_FAILURES = """
WITH gone AS (DELETE FROM login_failures WHERE last_at < now() - $1::interval RETURNING 1) SELECT count(*) FROM gone
"""


async def forget_failures(conn: Connection, *, forgotten_after: timedelta) -> int:
    gone: int = await conn.fetchval(FORGET_FAILURES, forgotten_after)
    return gone


SELECT_IDENTITY = "SELECT person_id FROM oidc_identities WHERE issuer = $1 AND subject = $2"


async def select_identity(conn: Connection, *, issuer: str, subject: str) -> UUID | None:
    found: UUID | None = await conn.fetchval(SELECT_IDENTITY, issuer, subject)
    return found


INSERT_IDENTITY = """
INSERT INTO oidc_identities (issuer, subject, person_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING person_id
"""


async def insert_identity(conn: Connection, *, issuer: str, subject: str, person_id: UUID) -> bool:
    """False: the person is known there by another subject, or the subject is another person's."""
    return await conn.fetchval(INSERT_IDENTITY, issuer, subject, person_id) is not None


DELETE_IDENTITIES = "DELETE FROM oidc_identities WHERE person_id = $1"


async def delete_identities(conn: Connection, *, person_id: UUID) -> None:
    await conn.execute(DELETE_IDENTITIES, person_id)
