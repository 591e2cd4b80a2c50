"""A small world to charge in: one region with two organisers, providers, and vouchers as plain rows."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import date, timedelta
from uuid import UUID

from uuid_utils.compat import uuid4, uuid7

from service.db import Connection
from service.debits.model import ChargeOrder
from service.idempotency import Claim


def index_of(code: str) -> bytes:
    return hashlib.sha256(code.encode()).digest()


@dataclass
class World:
    region_id: UUID = field(default_factory=uuid7)
    organiser_id: UUID = field(default_factory=uuid7)
    other_organiser_id: UUID = field(default_factory=uuid7)
    provider_id: UUID = field(default_factory=uuid7)
    stranger_id: UUID = field(default_factory=uuid7)
    credential_id: UUID = field(default_factory=uuid7)

    async def build(self, conn: Connection) -> World:
        await conn.execute(
            "INSERT INTO regions VALUES ($1, $2, 'Seutu')", self.region_id, f"r{self.region_id.hex[-12:]}"
        )
        for organiser in (self.organiser_id, self.other_organiser_id):
            await conn.execute(
                "INSERT INTO organisers (organiser_id, slug, name, region_id, help_phone, directory_address)"
                " VALUES ($1, $2, 'Kunta', $3, '014 000', 'x.fi/ps')",
                organiser,
                f"o{organiser.hex[-12:]}",
                self.region_id,
            )
            await conn.execute(
                "INSERT INTO programmes (organiser_id, programme, names, unit) VALUES ($1, 'home-help', $2, 'minutes')",
                organiser,
                {"fi": "Kotipalvelu", "sv": "Hemservice", "en": "Home help"},
            )
            await conn.execute(
                "INSERT INTO programme_rules (organiser_id, programme, starts_on, step, created_by)"
                " VALUES ($1, 'home-help', '2000-01-01', 15, 'test')",
                organiser,
            )
        for number, provider in enumerate((self.provider_id, self.stranger_id)):
            await conn.execute(
                "INSERT INTO providers (provider_id, business_id, name) VALUES ($1, $2, 'Apu Oy')",
                provider,
                f"{provider.hex[-8:]}-{number}",
            )
        await conn.execute(
            "INSERT INTO approvals (approval_id, provider_id, region_id, programme, valid_from)"
            " VALUES ($1, $2, $3, 'home-help', '2020-01-01')",
            uuid7(),
            self.provider_id,
            self.region_id,
        )
        return self

    async def add_voucher(
        self,
        conn: Connection,
        *,
        granted: int,
        state: str = "issued",
        valid_from: date | None = None,
        valid_to: date | None = None,
        cancelled_from: date | None = None,
        organiser_id: UUID | None = None,
    ) -> Voucher:
        today = await conn.fetchval("SELECT helsinki_today()")
        valid_from = valid_from or today - timedelta(days=60)
        valid_to = valid_to or today + timedelta(days=60)
        organiser = organiser_id or self.organiser_id
        voucher, decision, code_id = uuid7(), uuid7(), uuid7()
        code = uuid4().hex
        await conn.execute(
            "INSERT INTO decisions (organiser_id, decision_id, decision_ref, programme, status, client_ref, granted,"
            " valid_from, valid_to, fingerprint, created_by)"
            " VALUES ($1, $2, $3, 'home-help', 'provisional', 'c', $4, $5, $6, '', 'test')",
            organiser,
            decision,
            decision.hex,
            granted,
            valid_from,
            valid_to,
        )
        await conn.execute(
            "INSERT INTO vouchers (organiser_id, voucher_id, decision_id, programme, unit, code_id, state,"
            " granted, available, valid_from, valid_to, cancelled_from)"
            " VALUES ($1, $2, $3, 'home-help', 'minutes', $4, $5, $6, $6, $7, $8, $9)",
            organiser,
            voucher,
            decision,
            code_id,
            state,
            granted,
            valid_from,
            valid_to,
            cancelled_from,
        )
        await add_code(conn, organiser, voucher, code_id, code)
        return Voucher(organiser, voucher, code_id, code)

    def claim(self, key: str, *, provider_id: UUID | None = None) -> Claim:
        return Claim(provider_id or self.provider_id, key, key.encode(), None, "fi")

    def order(
        self,
        voucher: Voucher | str,
        amount: int,
        *,
        key: str | None = None,
        provider_id: UUID | None = None,
        credential_id: UUID | None = None,
        service_date: date | None = None,
        reference: str | None = None,
    ) -> ChargeOrder:
        """A visit with a reference of its own, unless one is told: visits that are alike are asked about."""
        code = voucher if isinstance(voucher, str) else voucher.code
        key = key or uuid4().hex
        reference = reference or f"visit {key}"
        fingerprint = hashlib.sha256(f"{code} {amount} {service_date} {reference}".encode()).digest()
        return ChargeOrder(
            provider_id=provider_id or self.provider_id,
            credential_id=credential_id or self.credential_id,
            key=key,
            fingerprint=fingerprint,
            previous_fingerprint=None,
            code_index=index_of(code),
            previous_code_index=None,
            new_id=uuid7(),
            amount=amount,
            service_date=service_date,
            reference=reference,
            language="fi",
        )


@dataclass(frozen=True)
class Voucher:
    organiser_id: UUID
    voucher_id: UUID
    code_id: UUID
    code: str

    async def values(self, conn: Connection) -> dict[str, int]:
        row = await conn.fetchrow(
            "SELECT granted, available, held, debited, expired, cancelled,"
            " (SELECT coalesce(sum(amount), 0)::bigint FROM entries e"
            "  WHERE e.organiser_id = v.organiser_id AND e.voucher_id = v.voucher_id) AS entries"
            " FROM vouchers v WHERE organiser_id = $1 AND voucher_id = $2",
            self.organiser_id,
            self.voucher_id,
        )
        assert row is not None
        return dict(row)


async def add_code(conn: Connection, organiser_id: UUID, voucher_id: UUID, code_id: UUID, code: str) -> None:
    await conn.execute(
        "INSERT INTO codes (organiser_id, code_id, voucher_id, sealed, sealed_key, last_four)"
        " VALUES ($1, $2, $3, '', 'k', $4)",
        organiser_id,
        code_id,
        voucher_id,
        code[-4:],
    )
    await conn.execute(
        "INSERT INTO voucher_codes (code_index, index_key, organiser_id, voucher_id, code_id)"
        " VALUES ($1, 'k', $2, $3, $4)",
        index_of(code),
        organiser_id,
        voucher_id,
        code_id,
    )
