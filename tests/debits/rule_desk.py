"""One line of the rule book, and the desk at which it is tried: a voucher of its own, and requests as the web process
makes them, by a clock that the line sets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time
from typing import Any
from uuid import UUID, uuid4

from uuid_utils.compat import uuid7

from service.db import Pool
from service.debits import operations
from service.debits.model import ChargeOrder
from service.debits.operations import Verdict
from service.debits.tariffs import read_visit_times
from service.idempotency import TEXTED_PREFIX, Claim
from service.quiet_hours import USUAL
from tests.debits.rule_model import HELSINKI, Programme, Rules, Voucher
from tests.debits.rule_worlds import Book, Card, index_of

COUNTY = {"weekday": 3350, "evening": 4100, "saturday": 4600, "sunday": 5580}
HOME_HELP = Rules(step=15, values=COUNTY, evening=(time(18), time(22)))
BEGINNING = date(2000, 1, 1)


@dataclass(frozen=True)
class Line:
    """`charged`: the amount, and in cents what the voucher and the family pay. `refused`: the code; the first line of
    each also has what is said of it, and what can be done, in the languages served."""

    rule: str
    case: str
    ask: Mapping[str, Any] = field(default_factory=dict)
    charged: tuple[int, int | None, int | None] | None = None
    refused: str | None = None
    says: tuple[str, str, str] | None = None
    does: str = "debit"
    at: str = "2026-11-18T20:00"
    rules: Mapping[str, Any] = field(default_factory=dict)
    unit: str = "minutes"
    prices: Mapping[str, int] | None = None
    voucher: Mapping[str, Any] = field(default_factory=dict)
    before: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    tells: Mapping[str, Any] = field(default_factory=dict)  # of the answer, or of the refusal's details

    @property
    def name(self) -> str:
        return f"{self.rule}: {self.case}"


class Desk:
    """One line's own organiser, voucher and providers, and the calls as the web process makes them."""

    def __init__(self, pool: Pool, line: Line) -> None:
        self.pool, self.line = pool, line
        self.group = operations.debit_group(pool, USUAL)
        rules = replace(HOME_HELP, **line.rules)
        prices = {"apu": ((BEGINNING, line.prices),)} if line.prices else {}
        self.book = Book(Programme(line.unit, ((BEGINNING, rules),), prices))
        self.last: dict[str, UUID] = {}
        self.card: Card

    async def open(self) -> None:
        told = {"granted": 720, "valid_from": date(2026, 10, 1), "valid_to": date(2026, 12, 31)} | dict(
            self.line.voucher
        )
        voucher = Voucher(
            self.book.programme, told.pop("granted"), told.pop("valid_from"), told.pop("valid_to"),
            [(BEGINNING, *told.pop("caps", (None, None)))],
        )  # fmt: skip
        async with self.pool.acquire() as conn:
            await self.book.write(conn)
            self.card = await self.book.add_voucher(conn, voucher)
        await self.clock(at=self.line.at)
        if told:
            await self.set(**told)

    async def do(self, what: str, ask: Mapping[str, Any]) -> Verdict:
        """One request as a provider makes it; raises what the edge refuses before the database is asked."""
        ask = dict(ask)
        provider, new_id = ask.pop("provider", "apu"), uuid7()
        key = TEXTED_PREFIX * ask.pop("texted", False) + uuid4().hex
        claim = Claim(self.book.providers[provider], key, b"", None, "fi")
        credential_id = self.book.credentials[provider]
        if what == "reverse":
            return await operations.reverse(
                self.pool, claim, credential_id=credential_id, entry_id=new_id, debit_id=self.last["debit"],
                amount=ask.get("amount"),
            )  # fmt: skip
        if what == "void":
            return await operations.void(
                self.pool, claim, credential_id=credential_id, hold_id=self.last["hold"], reason=None
            )
        times = read_visit_times(ask.pop("starts_at", None), ask.pop("ends_at", None)) or (None, None)
        day = ask.pop("service_date", None)
        order = replace(
            operations.order_under(claim, credential_id), **ask, code_index=index_of(self.card.code), new_id=new_id,
            service_date=date.fromisoformat(day) if day else None, starts_at=times[0], ends_at=times[1],
        )  # fmt: skip
        return await self.charge(what, order)

    async def charge(self, what: str, order: ChargeOrder) -> Verdict:
        if what == "capture":
            verdict = await operations.capture(self.pool, order, hold_id=self.last["hold"])
        elif what == "hold":
            verdict = await operations.hold(self.pool, order)
        else:
            verdict = await operations.debit(self.group, self.pool, order)
        if verdict.is_success:
            self.last["hold" if what == "hold" else "debit"] = order.new_id
        return verdict

    async def prepare(self, what: str, about: Mapping[str, Any]) -> None:
        if what in ("debit", "hold", "void", "reverse"):
            verdict = await self.do(what, about)
            assert verdict.is_success, (what, about, verdict)
        else:
            await getattr(self, what.replace("-", "_"))(**about)

    # What others do meanwhile.

    async def clock(self, *, at: str) -> None:
        moment = datetime.fromisoformat(at).replace(tzinfo=HELSINKI)
        await self.pool.execute("UPDATE clock.moment SET at = $1", moment)

    async def set(self, **columns: Any) -> None:
        changes = ", ".join(f"{name} = ${number}" for number, name in enumerate(columns, 2))
        await self.pool.execute(
            f"UPDATE vouchers SET {changes} WHERE voucher_id = $1", self.card.voucher_id, *columns.values()
        )

    async def cap(self, *, starts_on: date, visits: int) -> None:
        await self.pool.execute(
            "INSERT INTO voucher_caps (organiser_id, voucher_id, starts_on, weekly_visits) VALUES ($1, $2, $3, $4)",
            self.book.organiser_id, self.card.voucher_id, starts_on, visits,
        )  # fmt: skip
        await self.set(caps_changed=True)

    async def ask_for(self, *, starts_on: date = BEGINNING, **prices: int) -> None:
        """A price list, or another in place of the one that begins on that day."""
        async with self.pool.acquire() as conn:
            await self.book.write_prices(conn, "apu", starts_on, prices)

    async def renew(self, *, starts_on: date, decision_ref: str, outcome: str = "applied") -> None:
        await self.pool.execute(
            "UPDATE decisions SET decision_ref = 'first' WHERE organiser_id = $1", self.book.organiser_id
        )
        await self.pool.execute(
            "INSERT INTO decision_versions (organiser_id, version_id, voucher_id, decision_ref, starts_on, granted,"
            " sets_visits, sets_minutes, reason, created_by, outcome, ended_at)"
            " VALUES ($1, $2, $3, $4, $5, 720, false, false, 'need', 'test', $6, now())",
            self.book.organiser_id, uuid7(), self.card.voucher_id, decision_ref, starts_on, outcome,
        )  # fmt: skip

    async def settle(self) -> None:
        await self.pool.execute(
            "INSERT INTO settled_entries (organiser_id, entry_id) VALUES ($1, $2)",
            self.book.organiser_id, self.last["debit"],
        )  # fmt: skip

    async def approve(self, **columns: date) -> None:
        for name, value in columns.items():
            await self.pool.execute(
                f"UPDATE approvals SET {name} = $2 WHERE provider_id = $1", self.book.providers["apu"], value
            )

    async def replace_code(self) -> None:
        new_id = uuid7()
        async with self.pool.acquire() as conn:
            await conn.execute("UPDATE codes SET superseded_at = now() WHERE code_id = $1", self.card.code_id)
            await conn.execute(
                "INSERT INTO codes (organiser_id, code_id, voucher_id, sealed, sealed_key, last_four)"
                " VALUES ($1, $2, $3, '', 'k', '0000')",
                self.book.organiser_id, new_id, self.card.voucher_id,
            )  # fmt: skip
        await self.set(code_id=new_id)

    async def miss(self) -> None:
        right, self.card = self.card, replace(self.card, code=uuid4().hex)
        try:
            verdict = await self.do("debit", {"amount": 60})
        finally:
            self.card = right
        assert verdict.outcome == "code_unknown"


CLOCK = """
CREATE SCHEMA clock;
CREATE TABLE clock.moment (at timestamptz NOT NULL);
INSERT INTO clock.moment VALUES (pg_catalog.now());
CREATE FUNCTION clock.now() RETURNS timestamptz LANGUAGE sql STABLE AS 'SELECT at FROM clock.moment';
CREATE FUNCTION clock.clock_timestamp() RETURNS timestamptz LANGUAGE sql STABLE AS 'SELECT at FROM clock.moment';
"""
