"""A family whose voucher is changed through the API, and what its rows say then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from service.sandbox.sample import COUNTY
from service.vouchers.decisions import helsinki_day
from tests.families import PROVIDER, Family, family
from tests.installations import Installation

DAY = timedelta(days=1)


def today() -> date:
    return helsinki_day(datetime.now(UTC))


def this_monday() -> date:
    return today() - today().weekday() * DAY


@dataclass
class Changed:
    """One voucher, with what its caseworker and a provider do to it."""

    here: Installation
    family: Family

    @property
    def voucher_id(self) -> UUID:
        return self.family.voucher_id

    async def ask(self, action: str, **body: Any) -> tuple[int, dict[str, Any]]:
        """A caseworker's call: status and answer."""
        language = body.pop("language", "en")
        path = f"/v1/vouchers/{self.voucher_id}/{action}"
        answer = await self.here.call(COUNTY, "POST", path, {"reason": "so decided"} | body, language=language)
        return answer.status, await answer.json()

    async def change(self, **body: Any) -> dict[str, Any]:
        """A later decision, which must be accepted."""
        for name, value in body.items():
            if isinstance(value, date):
                body[name] = str(value)
        status, answer = await self.ask("change", **({"decision_ref": f"KH-{uuid4().hex[:10]}"} | body))
        assert status == 200, answer
        return answer

    async def refused(self, **body: Any) -> str:
        for name, value in body.items():
            if isinstance(value, date):
                body[name] = str(value)
        status, answer = await self.ask("change", **({"decision_ref": f"KH-{uuid4().hex[:10]}"} | body))
        assert status >= 400, answer
        return str(answer["code"])

    async def charge(self, amount: int, day: date | None = None) -> str:
        """A provider's debit: ok, or the code of the refusal."""
        key = uuid4().hex
        body = {"code": await self.code(), "amount": amount, "service_date": str(day or today()), "reference": key}
        answer = await self.here.call(PROVIDER, "POST", "/v1/debits", body, key=key)
        return "ok" if answer.status == 201 else str((await answer.json())["code"])

    async def hold(self, amount: int, day: date) -> str:
        key = uuid4().hex
        body = {"code": await self.code(), "amount": amount, "service_date": str(day), "reference": key}
        answer = await self.here.call(PROVIDER, "POST", "/v1/holds", body, key=key)
        assert answer.status == 201, await answer.text()
        return str((await answer.json())["hold_id"])

    async def code(self) -> str:
        row = await self.row()
        if row["state"] in ("cancelled", "closed"):  # nobody is told such a code any more; its holder still has it
            return self.last_code
        self.last_code = await self.here.code_of(str(self.voucher_id))
        return self.last_code

    async def row(self) -> dict[str, Any]:
        async with self.here.resources.pool.acquire() as conn:
            return dict(await conn.fetchrow("SELECT * FROM vouchers WHERE voucher_id = $1", self.voucher_id))

    async def view(self) -> dict[str, Any]:
        answer = await self.here.call(COUNTY, "GET", f"/v1/vouchers/{self.voucher_id}")
        assert answer.status == 200, await answer.text()
        return dict(await answer.json())

    async def rows(self, statement: str) -> Sequence[dict[str, Any]]:
        """$1 is the voucher."""
        async with self.here.resources.pool.acquire() as conn:
            return [dict(row) for row in await conn.fetch(statement, self.voucher_id)]

    async def ends(self, days_ago: int) -> None:
        """Its last day was that many days ago, or is to come; it began a good while before."""
        await self.family.change(
            "UPDATE vouchers SET valid_from = helsinki_today() - 200, valid_to = helsinki_today() - $2::int"
            " WHERE voucher_id = $1",
            days_ago,
        )


async def changed(here: Installation, **decision: Any) -> Changed:
    """Twelve hours, twice a week, from today on."""
    made = Changed(here, await family(here, **({"weekly": {"visits": 2}} | decision)))
    await made.code()
    return made


async def assert_money_adds_up(here: Installation) -> None:
    """I1, to the end: over every voucher, from what was granted to what went back to the budget."""
    async with here.resources.pool.acquire() as conn:
        wrong = await conn.fetch("""
            SELECT v.voucher_id, v.granted, d.granted AS issued, v.available, v.held, v.debited, v.expired, v.cancelled
              FROM vouchers v JOIN decisions d USING (organiser_id, decision_id)
              LEFT JOIN LATERAL (
                   SELECT COALESCE(sum(c.amount) FILTER (WHERE c.kind = 'raised'), 0) AS raised,
                          COALESCE(sum(c.amount) FILTER (WHERE c.kind = 'lowered'), 0) AS lowered,
                          COALESCE(sum(c.amount) FILTER (WHERE c.kind = 'expired'), 0) AS expired,
                          COALESCE(sum(c.amount) FILTER (WHERE c.kind = 'cancelled'), 0) AS cancelled
                     FROM value_changes c WHERE c.voucher_id = v.voucher_id) c ON true
             WHERE v.granted <> d.granted + c.raised - c.lowered OR v.expired <> c.expired OR v.cancelled <> c.cancelled
                OR v.granted <> v.available + v.held + v.debited + v.expired + v.cancelled
                OR v.debited <> (SELECT COALESCE(sum(e.amount), 0) FROM entries e WHERE e.voucher_id = v.voucher_id)
                OR v.held <> (SELECT COALESCE(sum(h.amount), 0) FROM holds h
                               WHERE h.voucher_id = v.voucher_id AND h.state = 'held')
                OR (v.state = 'closed' AND (v.available <> 0 OR v.held <> 0))""")
    assert [dict(row) for row in wrong] == []
