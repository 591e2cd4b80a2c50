"""A world for the rule book alone: one programme, three providers, vouchers, and a clock that the test moves.

The database's functions ask `now()`. Here that is found in a schema of the test's own, before PostgreSQL's: so the New
Year, the nights in which clocks are changed and the day after a voucher's end come when a test wants them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
from uuid_utils.compat import uuid7

from service.db import Connection, connect
from service.debits.model import ChargeOrder
from service.sandbox.postgres import create_database, find_binaries
from tests.conftest import TEMPLATE, Addresses
from tests.debits.rule_model import BANDS, HELSINKI, Ask, Part, Programme, Rules, Voucher

CLOCK = """
CREATE SCHEMA clock;
CREATE FUNCTION clock.now() RETURNS timestamptz LANGUAGE sql STABLE
AS $$ SELECT current_setting('clock.now')::timestamptz $$;
"""
PROVIDERS = ("apu", "koti", "muu")  # the last is approved for nothing
HOLIDAYS = tuple(
    date.fromisoformat(day)
    for day in (
        *("2026-06-20", "2026-11-01", "2026-12-06", "2026-12-25", "2026-12-26"),
        *("2027-01-01", "2027-01-06", "2027-03-26", "2027-03-28", "2027-03-29"),
    )
)
EVES = tuple(date.fromisoformat(day) for day in ("2026-06-19", "2026-12-24"))
STATE = """
SELECT v.state, v.late_entry_stopped, v.granted, v.available, v.held, v.debited, v.expired, v.cancelled,
       d.granted AS first_granted, e.entries, h.holds, c.*
FROM vouchers v
JOIN decisions d ON d.organiser_id = v.organiser_id AND d.decision_id = v.decision_id
CROSS JOIN LATERAL (
    SELECT COALESCE(sum(e.amount), 0)::bigint AS entries FROM entries e
    WHERE e.organiser_id = v.organiser_id AND e.voucher_id = v.voucher_id) e
CROSS JOIN LATERAL (
    SELECT COALESCE(sum(h.amount), 0)::bigint AS holds FROM holds h
    WHERE h.organiser_id = v.organiser_id AND h.voucher_id = v.voucher_id AND h.state = 'held') h
CROSS JOIN LATERAL (
    SELECT COALESCE(sum(c.amount) FILTER (WHERE c.kind = 'expired'), 0)::bigint AS gone_expired,
           COALESCE(sum(c.amount) FILTER (WHERE c.kind = 'cancelled'), 0)::bigint AS gone_cancelled,
           COALESCE(sum(c.amount) FILTER (WHERE c.kind = 'raised'), 0)::bigint AS raised,
           COALESCE(sum(c.amount) FILTER (WHERE c.kind = 'lowered'), 0)::bigint AS lowered
    FROM value_changes c WHERE c.organiser_id = v.organiser_id AND c.voucher_id = v.voucher_id) c
WHERE v.organiser_id = $1 AND v.voucher_id = $2
"""
LEFT_OF_DEBITS = """
SELECT COALESCE(e.reverses, e.entry_id)::text AS id, sum(e.amount)::bigint AS amount, sum(e.visits)::bigint AS visits,
       sum(e.minutes)::bigint AS minutes, sum(e.pays_cents)::bigint AS pays, sum(e.own_cents)::bigint AS own
FROM entries e WHERE e.organiser_id = $1 AND e.voucher_id = $2 GROUP BY 1
"""


async def open_world(servers: Addresses, name: str) -> asyncpg.Connection[asyncpg.Record]:
    """A connection to a new database of the test's own, with the clock in it."""
    url = make_database(servers, name)
    connection = await connect_to(url)
    await connection.execute(CLOCK)
    return connection


def make_database(servers: Addresses, name: str) -> str:
    prefix, name = servers.database_prefix, f"{name}_{uuid4().hex[:8]}"
    create_database(servers.database_server, prefix + name, template=prefix + TEMPLATE, binaries=find_binaries())
    return servers.database(name)


async def connect_to(url: str) -> asyncpg.Connection[asyncpg.Record]:
    connection = await connect(url, application_name="rule book")
    await connection.execute("SET search_path = clock, public, pg_catalog")
    return connection


@dataclass
class Book:
    """A programme and its vouchers in the database, and the calls that a provider makes."""

    programme: Programme
    organiser_id: UUID = field(default_factory=uuid7)
    providers: dict[str, UUID] = field(default_factory=lambda: {name: uuid7() for name in PROVIDERS})
    credentials: dict[str, UUID] = field(default_factory=lambda: {name: uuid7() for name in PROVIDERS})

    async def write(self, conn: Connection) -> None:
        await conn.execute(
            "INSERT INTO organisers (organiser_id, slug, name, help_phone, directory_address)"
            " VALUES ($1, $2, 'Kunta', '014 000', 'x.fi/ps')",
            self.organiser_id, f"o{self.organiser_id.hex[-12:]}",
        )  # fmt: skip
        await conn.execute(
            "INSERT INTO programmes (organiser_id, programme, names, unit, receipts)"
            """ VALUES ($1, 'apu', '{"fi": "Apu", "sv": "Hjälp", "en": "Help"}', $2, 'off')""",
            self.organiser_id, self.programme.unit,
        )  # fmt: skip
        await conn.executemany(
            "INSERT INTO providers (provider_id, business_id, name) VALUES ($1, $2, 'Oy')",
            [(provider, provider.hex) for provider in self.providers.values()],
        )
        await conn.executemany(
            "INSERT INTO approvals (approval_id, provider_id, organiser_id, programme, valid_from)"
            " VALUES ($1, $2, $3, 'apu', '2020-01-01')",
            [(uuid7(), self.providers[name], self.organiser_id) for name in PROVIDERS[:2]],
        )
        for starts_on, rules in self.programme.versions:
            await self.write_rules(conn, starts_on, rules)
        for provider, versions in self.programme.prices.items():
            for starts_on, prices in versions:
                await self.write_prices(conn, provider, starts_on, prices)

    async def write_rules(self, conn: Connection, starts_on: date, rules: Rules) -> None:
        values = rules.values or {}
        await conn.execute(
            "INSERT INTO programme_rules (organiser_id, programme, starts_on, step, weekday_cents, evening_cents,"
            " saturday_cents, sunday_cents, evening_from, evening_to, eves_are_holidays, free_by_law, task_types,"
            " no_show_allowed, hold_lapse_hours, late_entry_days, created_by)"
            " VALUES ($1, 'apu', $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, 'test')",
            self.organiser_id, starts_on, rules.step, *(values.get(band) for band in BANDS),
            *(rules.evening or (None, None)), rules.eves_are_holidays, rules.free_by_law, sorted(rules.task_types),
            rules.no_show_allowed, rules.hold_lapse_hours, rules.late_entry_days,
        )  # fmt: skip

    async def write_prices(self, conn: Connection, provider: str, starts_on: date, prices: Mapping[str, int]) -> None:
        await conn.execute(
            "INSERT INTO price_lists (price_list_id, organiser_id, provider_id, programme, starts_on, weekday_cents,"
            " evening_cents, saturday_cents, sunday_cents, created_by)"
            " VALUES ($1, $2, $3, 'apu', $4, $5, $6, $7, $8, 'test')"
            " ON CONFLICT ON CONSTRAINT price_lists_one_a_day DO UPDATE SET weekday_cents = excluded.weekday_cents,"
            " evening_cents = excluded.evening_cents, saturday_cents = excluded.saturday_cents,"
            " sunday_cents = excluded.sunday_cents",
            uuid7(), self.organiser_id, self.providers[provider], starts_on, *(prices[band] for band in BANDS),
        )  # fmt: skip

    async def add_voucher(self, conn: Connection, voucher: Voucher) -> Card:
        """The voucher as granted, with the first of its caps; later ones come by `add_cap`."""
        card = Card(self, uuid7(), uuid7(), uuid4().hex)
        visits, minutes = voucher.caps[0][1:] if voucher.caps else (None, None)
        await conn.execute(
            "INSERT INTO decisions (organiser_id, decision_id, decision_ref, programme, status, client_ref, granted,"
            " valid_from, valid_to, fingerprint, created_by)"
            " VALUES ($1, $2, $3, 'apu', 'confirmed', 'c', $4, $5, $6, '', 'test')",
            self.organiser_id, card.voucher_id, card.voucher_id.hex, voucher.granted, voucher.valid_from,
            voucher.valid_to,
        )  # fmt: skip
        await conn.execute(
            "INSERT INTO vouchers (organiser_id, voucher_id, decision_id, programme, unit, code_id, granted, available,"
            " valid_from, valid_to, weekly_visits, weekly_minutes)"
            " VALUES ($1, $2, $2, 'apu', $3, $4, $5, $5, $6, $7, $8, $9)",
            self.organiser_id, card.voucher_id, self.programme.unit, card.code_id, voucher.granted,
            voucher.valid_from, voucher.valid_to, visits, minutes,
        )  # fmt: skip
        await conn.execute(
            "INSERT INTO codes (organiser_id, code_id, voucher_id, sealed, sealed_key, last_four)"
            " VALUES ($1, $2, $3, '', 'k', '0000')",
            self.organiser_id, card.code_id, card.voucher_id,
        )  # fmt: skip
        await conn.execute(
            "INSERT INTO voucher_codes (code_index, index_key, organiser_id, voucher_id, code_id)"
            " VALUES ($1, 'k', $2, $3, $4)",
            index_of(card.code), self.organiser_id, card.voucher_id, card.code_id,
        )  # fmt: skip
        return card


@dataclass(frozen=True)
class Answer:
    outcome: str
    body: dict[str, Any]
    text: str
    replayed: bool


@dataclass(frozen=True)
class Card:
    """A voucher in the database, as a provider meets it: by its code."""

    book: Book
    voucher_id: UUID
    code_id: UUID
    code: str

    def order(
        self, ask: Ask, *, new_id: UUID, key: str, parts: Sequence[Part] | None, without_day: bool = False
    ) -> ChargeOrder:
        rules = self.book.programme
        version = max(starts_on for starts_on, _ in rules.versions if starts_on <= ask.day)
        return ChargeOrder(
            provider_id=self.book.providers[ask.provider],
            credential_id=self.book.credentials[ask.provider],
            key=key,
            fingerprint=hashlib.sha256(repr((self.code, ask)).encode()).digest(),
            previous_fingerprint=None,
            language="fi",
            code_index=index_of(self.code),
            previous_code_index=None,
            new_id=new_id,
            amount=ask.amount,
            service_date=None if without_day else ask.day,
            starts_at=ask.starts_at,
            ends_at=ask.ends_at,
            segment_bands=None if parts is None else [band for band, _ in parts],
            segment_amounts=None if parts is None else [amount for _, amount in parts],
            rules_from=None if parts is None else version,
            visit_type="no_show" if ask.visit_type == "no_show" else "visit",
            task_type=ask.task_type,
            worker=ask.worker,
            reference=ask.reference,
            partial=ask.partial,
            duplicate_ok=ask.duplicate_ok,
        )

    async def debit(self, conn: Connection, order: ChargeOrder) -> Answer:
        return read(await conn.fetchrow("SELECT * FROM debit($1, $2, $3)", order.as_row(), HOLIDAYS, EVES))

    async def hold(self, conn: Connection, order: ChargeOrder) -> Answer:
        return read(await conn.fetchrow("SELECT * FROM hold_visit($1, $2, $3)", order.as_row(), HOLIDAYS, EVES))

    async def capture(self, conn: Connection, order: ChargeOrder, hold: UUID) -> Answer:
        return read(
            await conn.fetchrow("SELECT * FROM capture_hold($1, $2, $3, $4)", order.as_row(), hold, HOLIDAYS, EVES)
        )

    async def void(self, conn: Connection, provider: str, key: str, hold: UUID) -> Answer:
        return read(
            await conn.fetchrow(
                "SELECT * FROM void_hold($1, $2, $3, $4, NULL, 'fi', $5, 'moved')",
                self.book.providers[provider], self.book.credentials[provider], key, hold.bytes, hold,
            )
        )  # fmt: skip

    async def reverse(
        self, conn: Connection, provider: str, key: str, entry: UUID, debit: UUID, amount: int | None
    ) -> Answer:
        return read(
            await conn.fetchrow(
                "SELECT * FROM reverse_debit($1, $2, $3, $4, NULL, 'fi', $5, $6, $7, 'wrong')",
                self.book.providers[provider], self.book.credentials[provider], key,
                repr((debit, amount)).encode(), entry, debit, amount,
            )
        )  # fmt: skip

    async def validate(self, conn: Connection, order: ChargeOrder) -> tuple[str, dict[str, Any]]:
        row = await conn.fetchrow("SELECT * FROM validate_code($1, $2, $3)", order.as_row(), HOLIDAYS, EVES)
        assert row is not None
        return row["outcome"], row["details"]

    async def state(self, conn: Connection) -> dict[str, Any]:
        return dict(await conn.fetchrow(STATE, self.book.organiser_id, self.voucher_id) or {})

    async def debits(self, conn: Connection) -> dict[str, tuple[int, ...]]:
        rows = await conn.fetch(LEFT_OF_DEBITS, self.book.organiser_id, self.voucher_id)
        return {row["id"]: tuple(row)[1:] for row in rows}


def index_of(code: str) -> bytes:
    return hashlib.sha256(code.encode()).digest()


def read(row: Any) -> Answer:
    return Answer(row["outcome"], json.loads(row["answer"] or "{}"), row["answer"], bool(row["replayed"]))


async def set_clock(conn: Connection, moment: datetime) -> None:
    await conn.execute("SELECT set_config('clock.now', $1, false)", moment.isoformat())


def helsinki_day(moment: datetime) -> date:
    return moment.astimezone(HELSINKI).date()
