"""Years of vouchers and debits, written straight into the tables: what would take weeks through the API.

Every number gives the same rows, and rows that belong together find each other by it. They are whole: value adds up in
every voucher (I1), every debit has its request, its code and its decision. What a debit does not look at is short (the
stored answers) or not there (contacts, messages).

Voucher n has the code whose index is the SHA-256 of `bench-n`. Odd ones are of the programme `ruled`, which has every
rule that there is, even ones of `plain`, which has none; each hundred-thousandth is of `rare`. Debit m is of voucher
m modulo their number, and every other one by the first provider.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from service.db import Connection

AMOUNT_MINUTES = 15
GRANTED_MINUTES = 900_000  # more than any run can spend
PROVIDERS = 200
ORGANISERS = 20
YEARS_MS = 3 * 365 * 24 * 3600 * 1000
PROVIDER_ID = "00000000-0000-7000-8001-000000000001"
KEY_ID = "00000000-0000-7000-8002-000000000001"
RARE_WORKER = "sijainen"

_TABLES = ("decisions", "vouchers", "codes", "voucher_codes", "requests", "entries")

# Ids are UUIDv7 of the millisecond and the number; the first half of the random part tells what they are of. All whole
# numbers: twenty million times three ids are made.
_FUNCTIONS = """
CREATE OR REPLACE FUNCTION bench_id(p_ms bigint, p_kind bigint, p_number bigint) RETURNS uuid
LANGUAGE sql IMMUTABLE AS $$
    SELECT encode(int8send((p_ms << 16) | 28672) || int8send(((-32768 + p_kind) << 48) + p_number), 'hex')::uuid
$$;
CREATE OR REPLACE FUNCTION bench_organiser(p_number bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT bench_id(0, 0, p_number % {organisers} + 1)
$$;
CREATE OR REPLACE FUNCTION bench_provider(p_number bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT bench_id(0, 1, p_number)
$$;
CREATE OR REPLACE FUNCTION bench_programme(p_number bigint) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN p_number % 100000 = 0 THEN 'rare' WHEN p_number % 2 = 1 THEN 'ruled' ELSE 'plain' END
$$;
"""

_FRAME = """
INSERT INTO regions (region_id, slug, name) VALUES ('00000000-0000-7000-8003-000000000001', 'bench', 'Bench');
INSERT INTO organisers (organiser_id, slug, name, region_id, help_phone, directory_address)
SELECT bench_organiser(i), 'bench-' || i, 'Bench ' || i, '00000000-0000-7000-8003-000000000001', '014 000', 'x.example'
FROM generate_series(0, {organisers} - 1) i;
INSERT INTO programmes (organiser_id, programme, names, unit, receipts)
SELECT bench_organiser(i), p, '{{"fi": "Apu", "sv": "Hjälp", "en": "Help"}}', 'minutes', 'off'
FROM generate_series(0, {organisers} - 1) i, unnest(ARRAY['plain', 'ruled', 'rare']) p;
INSERT INTO programme_rules (organiser_id, programme, starts_on, step, created_by)
SELECT bench_organiser(i), p, '2000-01-01', {amount}, 'bench'
FROM generate_series(0, {organisers} - 1) i, unnest(ARRAY['plain', 'rare']) p;
INSERT INTO programme_rules (organiser_id, programme, starts_on, step, weekday_cents, evening_cents, saturday_cents,
                             sunday_cents, evening_from, evening_to, weekly_visits, weekly_minutes, task_types,
                             no_show_allowed, created_by)
SELECT bench_organiser(i), 'ruled', '2000-01-01', {amount}, 3550, 4100, 4600, 7100, '18:00', '22:00', 10000, 100000,
       ARRAY['lapsenhoito', 'kotityö', 'asiointi'], true, 'bench'
FROM generate_series(0, {organisers} - 1) i;
INSERT INTO providers (provider_id, business_id, name)
SELECT bench_provider(i), 'bench-' || i, 'Bench ' || i FROM generate_series(1, {providers}) i;
INSERT INTO approvals (approval_id, provider_id, region_id, programme, valid_from)
SELECT gen_random_uuid(), bench_provider(i), '00000000-0000-7000-8003-000000000001', p, '2000-01-01'
FROM generate_series(1, {providers}) i, unnest(ARRAY['plain', 'ruled', 'rare']) p;
INSERT INTO price_lists (price_list_id, organiser_id, provider_id, programme, starts_on, weekday_cents, evening_cents,
                         saturday_cents, sunday_cents, created_by)
SELECT gen_random_uuid(), bench_organiser(i), bench_provider(p), 'ruled', '2000-01-01', 4200, 4700, 5200, 7700, 'bench'
FROM generate_series(0, {organisers} - 1) i, generate_series(1, {providers}) p;
"""

_NUMBERED_VOUCHERS = """
    SELECT n, bench_organiser(n) AS organiser_id, bench_programme(n) AS programme, bench_id(ms, 16, n) AS voucher_id,
           bench_id(ms, 17, n) AS decision_id, bench_id(ms, 18, n) AS code_id, to_timestamp(ms / 1000) AS made_at
    FROM (SELECT n, {from_ms} + n * {years_ms} / {vouchers} AS ms
          FROM generate_series(0, {vouchers}::bigint - 1) n) numbers
"""

_DECISIONS = """
INSERT INTO decisions (organiser_id, decision_id, decision_ref, programme, status, client_ref, granted, valid_from,
                       valid_to, fingerprint, created_by, created_at)
SELECT v.organiser_id, v.decision_id, 'B-' || v.n, v.programme, 'confirmed', 'c-' || v.n, {granted},
       current_date - 1200, current_date + 400, '\\x00', 'bench', v.made_at
FROM ({numbered}) v
"""

# Of each voucher's debits the second is taken back again, in every 25th voucher.
_VOUCHERS = """
INSERT INTO vouchers (organiser_id, voucher_id, decision_id, programme, unit, code_id, granted, available, debited,
                      weekly_visits, weekly_minutes, valid_from, valid_to, created_at)
SELECT w.organiser_id, w.voucher_id, w.decision_id, w.programme, 'minutes', w.code_id, {granted}, {granted} - w.debited,
       w.debited, w.weekly_visits, w.weekly_minutes, current_date - 1200, current_date + 400, w.made_at
FROM (SELECT v.*, {amount} * (d.count - CASE WHEN d.count >= 2 AND v.n % 25 = 0 THEN 1 ELSE 0 END) AS debited,
             CASE WHEN v.programme = 'ruled' THEN 10000 END AS weekly_visits,
             CASE WHEN v.programme = 'ruled' THEN 100000 END AS weekly_minutes
      FROM ({numbered}) v,
           LATERAL (SELECT {debits} / {vouchers} + (v.n < {debits} % {vouchers})::int AS count) d) w
"""

_CODES = """
INSERT INTO codes (organiser_id, code_id, voucher_id, sealed, sealed_key, last_four, created_at)
SELECT v.organiser_id, v.code_id, v.voucher_id, '\\x00', 'bench', lpad((v.n % 10000)::text, 4, '0'), v.made_at
FROM ({numbered}) v
"""

_VOUCHER_CODES = """
INSERT INTO voucher_codes (code_index, index_key, organiser_id, voucher_id, code_id)
SELECT sha256(convert_to('bench-' || v.n, 'UTF8')), 'bench', v.organiser_id, v.voucher_id, v.code_id
FROM ({numbered}) v
"""

_NUMBERED_DEBITS = """
    SELECT m, n, bench_organiser(n) AS organiser_id, bench_programme(n) AS programme,
           bench_id(voucher_ms, 16, n) AS voucher_id, bench_id(voucher_ms, 18, n) AS code_id,
           bench_id(ms, 32, m) AS entry_id, ms,
           bench_provider(CASE WHEN m / 3 % 2 = 0 THEN 1 ELSE 2 + m / 6 % ({providers} - 1) END) AS provider_id,
           to_timestamp(ms / 1000) AS entered_at, to_timestamp(ms / 1000)::date - (m % 4)::int AS service_date
    FROM (SELECT m, m % {vouchers} AS n, {from_ms} + m * {years_ms} / {debits} AS ms,
                 {from_ms} + m % {vouchers} * {years_ms} / {vouchers} AS voucher_ms
          FROM generate_series({first}::bigint, {last}) m) numbers
"""

_WORKER = "CASE WHEN d.m % 1000002 = 0 THEN '{rare_worker}' ELSE 'T-' || d.m % 500 END"

_ENTRIES = """
INSERT INTO entries (organiser_id, entry_id, voucher_id, programme, code_id, provider_id, credential_id, kind, amount,
                     service_date, reference, worker, entered_at, visits, minutes, rules_from, segment_bands,
                     segment_amounts, pays_cents, own_cents)
SELECT d.organiser_id, d.entry_id, d.voucher_id, d.programme, d.code_id, d.provider_id, '{key_id}', 'debit', {amount},
       d.service_date, 'lasku ' || d.m,
       {worker}, d.entered_at, 1, {amount},
       '2000-01-01', ARRAY['weekday'], ARRAY[{amount}::bigint], 888, 0
FROM ({numbered}) d
"""

_REVERSALS = """
INSERT INTO entries (organiser_id, entry_id, voucher_id, programme, code_id, provider_id, credential_id, kind, amount,
                     service_date, worker, reverses, leaves, entered_at, visits, minutes, rules_from, pays_cents,
                     own_cents)
SELECT d.organiser_id, bench_id(d.ms, 33, d.m), d.voucher_id, d.programme, d.code_id, d.provider_id,
       '{key_id}', 'reversal', -{amount}, d.service_date, {worker}, d.entry_id, 0,
       d.entered_at + interval '1 minute', -1, -{amount}, '2000-01-01', -888, 0
FROM ({numbered}) d WHERE d.m / {vouchers} = 1 AND d.n % 25 = 0
"""

_REQUESTS = """
INSERT INTO requests (owner_id, idempotency_key, fingerprint, outcome, answer, language, created_at)
SELECT d.provider_id, 'bench-' || lpad(d.m::text, 9, '0'), sha256(int8send(d.m)), 'ok', '{{}}', 'fi', d.entered_at
FROM ({numbered}) d
"""

BATCH = 1_000_000
MEMORY = "SET maintenance_work_mem = '1GB'; SET work_mem = '256MB'"
WITHOUT_CHECKS = "SET session_replication_role = replica"  # of foreign keys: the rows fit by the way they are made


@dataclass(frozen=True)
class Past:
    """How much there is."""

    vouchers: int
    debits: int
    from_ms: int = field(default_factory=lambda: int(time.time() * 1000) - YEARS_MS)

    def text(self, statement: str, first: int = 0, last: int = -1) -> str:
        plain = {
            "vouchers": self.vouchers,
            "debits": self.debits,
            "amount": AMOUNT_MINUTES,
            "granted": GRANTED_MINUTES,
            "providers": PROVIDERS,
            "organisers": ORGANISERS,
            "key_id": KEY_ID,
            "worker": _WORKER.format(rare_worker=RARE_WORKER),
            "first": first,
            "from_ms": self.from_ms,
            "years_ms": YEARS_MS,
            "last": last,
        }
        numbered = _NUMBERED_DEBITS if " d WHERE" in statement or ") d\n" in statement else _NUMBERED_VOUCHERS
        return statement.format(**plain, numbered=numbered.format(**plain))


async def write_past(conn: Connection, past: Past) -> None:
    """Fill an empty, migrated database. Indexes that no constraint needs are made at the end, which is faster."""
    await conn.execute(MEMORY)
    await conn.execute(past.text(_FUNCTIONS))
    await conn.execute(past.text(_FRAME))
    await conn.execute(WITHOUT_CHECKS)
    indexes = await conn.fetch(
        "SELECT format('DROP INDEX %I', i.indexname) AS drop, i.indexdef FROM pg_indexes i"
        " WHERE i.schemaname = 'public' AND i.tablename = ANY($1)"
        "   AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = format('%I', i.indexname)::regclass)",
        _TABLES,
    )
    for index in indexes:
        await conn.execute(index["drop"])
    for statement in (_DECISIONS, _VOUCHERS, _CODES, _VOUCHER_CODES):
        await conn.execute(past.text(statement))
    for first in range(0, past.debits, BATCH):
        last = min(first + BATCH, past.debits) - 1
        for statement in (_ENTRIES, _REVERSALS, _REQUESTS):
            await conn.execute(past.text(statement, first, last))
    for index in indexes:
        await conn.execute(index["indexdef"])
    await conn.execute("SET session_replication_role = origin")


# Vouchers whose value does not add up, or not to what was charged from them (I1).
UNBALANCED = """
SELECT count(*) FROM vouchers v
FULL JOIN (SELECT organiser_id, voucher_id, sum(amount) AS debited FROM entries GROUP BY organiser_id, voucher_id) e
    USING (organiser_id, voucher_id)
WHERE v.granted IS DISTINCT FROM v.available + v.held + v.debited + v.expired + v.cancelled
   OR v.debited IS DISTINCT FROM COALESCE(e.debited, 0)
"""
