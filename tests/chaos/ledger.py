"""What the callers know: what they asked for, and what they were answered. The judge compares the world with it."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]


@dataclass
class Charge:
    """One debit or reversal under one Idempotency-Key, and its first answer."""

    path: str
    key: str
    body: Json
    status: int
    content: bytes
    answer: Json

    @property
    def is_debit(self) -> bool:
        return self.path == "/v1/debits"


@dataclass
class Family:
    """A decision that was answered 2xx, and everything asked of it since."""

    fault: str
    decision: Json
    voucher_id: str
    message_ids: list[str]
    code: str | None = None
    charges: list[Charge] = field(default_factory=list)
    questions: int = 0  # texts that asked for the balance
    stopped_at: float | None = None  # when a STOP had been taken

    @property
    def debits(self) -> list[Charge]:
        """Those that were answered 201."""
        return [charge for charge in self.charges if charge.is_debit and charge.status == 201]

    @property
    def reversals(self) -> list[Charge]:
        return [charge for charge in self.charges if not charge.is_debit and charge.status == 201]

    @property
    def phone(self) -> str | None:
        phone: str | None = self.decision["beneficiary"].get("phone")
        return phone

    @property
    def email(self) -> str | None:
        email: str | None = self.decision["beneficiary"].get("email")
        return email


@dataclass
class Ledger:
    families: list[Family] = field(default_factory=list)
    by_fault: defaultdict[str, list[Family]] = field(default_factory=lambda: defaultdict(list))
    surprises: list[tuple[str, str]] = field(default_factory=list)  # (fault, what no caller should have seen)
    tried_again: Counter[str] = field(default_factory=Counter)  # by fault: calls that got no answer the first time

    def add(self, family: Family) -> None:
        self.families.append(family)
        self.by_fault[family.fault].append(family)
