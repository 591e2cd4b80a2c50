"""What is worked out before the rule book is asked: a visit's parts by the rules of its day, and holidays near it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID

from asyncpg import Record
from uuid_utils.compat import uuid7

from service.debits.model import RULES_CHANGED, ChargeOrder, RulesChanging
from service.debits.operations.verdicts import Verdict
from service.debits.tariffs import TariffRules, split_visit
from service.idempotency import Claim
from service.money import Unit
from service.organisers.rules import Rounding
from service.public_holidays import eves_among, holidays_among
from service.vouchers.decisions import helsinki_day

RULES_TRIES = 3


def order_under(claim: Claim, credential_id: UUID) -> ChargeOrder:
    """What a caller may have done once, with nothing told yet: a hold is charged so as it was made, and an order for a
    code names that and the visit."""
    return ChargeOrder(
        provider_id=claim.owner_id,
        credential_id=credential_id,
        key=claim.key,
        fingerprint=claim.fingerprint,
        previous_fingerprint=claim.previous_fingerprint,
        language=claim.language,
        code_index=b"",
        previous_code_index=None,
        new_id=uuid7(),
    )


Terms = Callable[[ChargeOrder], Awaitable[Record | None]]
"""From an order to what its visit's hours are counted by; None when there is nothing to count for."""


async def under_rules(order: ChargeOrder, terms: Terms, act: Callable[[ChargeOrder], Awaitable[Verdict]]) -> Verdict:
    """Do `act` with the order, its times worked out into parts; again when the rules changed in between.

    Raises RulesChanging when they did three times, and what `act` raises.
    """
    for _ in range(RULES_TRIES):
        verdict = await act(order if order.starts_at is None else in_parts(order, await terms(order)))
        if verdict.outcome != RULES_CHANGED:
            return verdict
    raise RulesChanging


def question(provider_id: UUID, language: str) -> Claim:
    """What is only asked is done as often as it is asked."""
    return Claim(owner_id=provider_id, key="", fingerprint=b"", previous_fingerprint=None, language=language)


# What a visit is split by when nobody has its code: so that it takes no less time than another's.
_NOBODYS_RULES = TariffRules(
    unit=Unit.MINUTES,
    step=15,
    rounding=Rounding.UP,
    evening_from=time(18),
    evening_to=time(22),
    eves_are_holidays=False,
)


def in_parts(order: ChargeOrder, terms: Record | None) -> ChargeOrder:
    """The order with its visit split at midnight and where tariff bands meet; as it is when nobody has its code."""
    assert order.starts_at is not None
    assert order.ends_at is not None
    rules = _NOBODYS_RULES if terms is None else _rules_in(terms)
    visit = split_visit(order.starts_at, order.ends_at, rules=rules, visits=order.amount or 1)
    if terms is None:
        return order
    return replace(
        order,
        service_date=visit.service_date,
        segment_bands=visit.bands,
        segment_amounts=visit.amounts,
        rules_from=terms["starts_on"],
    )


def _rules_in(terms: Record) -> TariffRules:
    return TariffRules(
        unit=Unit(terms["unit"]),
        step=terms["step"],
        rounding=Rounding(terms["rounding"]),
        evening_from=terms["evening_from"],
        evening_to=terms["evening_to"],
        eves_are_holidays=terms["eves_are_holidays"],
    )


def calendar_of(orders: Sequence[ChargeOrder], *, days_back: int = 1) -> tuple[Sequence[date], Sequence[date]]:
    """Holidays and eves among the days that the orders may be for; one without a date is for one of the last
    `days_back` days, or for tomorrow if the database's clock is ahead of ours."""
    days = {order.service_date for order in orders if order.service_date is not None}
    if any(order.service_date is None for order in orders):
        today = helsinki_day(datetime.now(UTC))
        days.update(today + timedelta(days=offset) for offset in range(-days_back, 2))
    return holidays_among(days), eves_among(days)


def first_day(order: ChargeOrder) -> date:
    """The day in Finland on which the visit began, which is the one that counts for all of it."""
    assert order.starts_at is not None
    return helsinki_day(order.starts_at)
