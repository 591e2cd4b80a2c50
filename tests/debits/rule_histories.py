"""Short histories of one voucher, each made to tell one rule apart from a likely mistake in it.

They are played as random ones are, by the same machine against the same rule book in Python, and looked at after each
step. Random histories see most of the faults, too, but not within the time of any one run: what is known of a fault
belongs into a history of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from tests.debits.rule_model import HELSINKI, Calendar, Programme, Rules, Voucher
from tests.debits.rule_worlds import EVES, HOLIDAYS
from tests.debits.test_rule_machine import RuleMachine

TODAY = date(2026, 11, 18)  # a Wednesday
LONG_AGO = date(2000, 1, 1)
HOME_HELP = Rules(step=15, values={"weekday": 3350, "evening": 4475, "saturday": 4601, "sunday": 5580})
DEAR = {"weekday": 4001, "evening": 4475, "saturday": 5001, "sunday": 6000}
CHEAP = {"weekday": 2999, "evening": 2999, "saturday": 2999, "sunday": 2999}
Step = tuple[str, Mapping[str, Any]]
_HOUR = {
    "provider": "apu", "days": 0, "size": 4, "odd": 0, "hour": None, "length": 60, "visit_type": "visit",
    "task_type": None, "partial": False, "duplicate_ok": False, "worker": None,
}  # fmt: skip


@dataclass(frozen=True)
class History:
    """`name` says what is wrong with the `fault`: in a function of the database, one text in place of another.
    `answers`: the outcome of each of the provider's requests as it should be, repeated ones left out."""

    name: str
    fault: tuple[str, str, str]
    steps: tuple[Step, ...]
    answers: tuple[str, ...] = ("ok",)
    today: date = TODAY
    granted: int = 720
    valid_to: date | None = None  # a week from today
    caps: tuple[int | None, int | None] = (None, None)
    rules: Mapping[str, Any] = field(default_factory=dict)
    prices: tuple[tuple[date, Mapping[str, int]], ...] = ()

    def begin(self) -> tuple[Voucher, datetime]:
        programme = Programme(
            "minutes",
            ((LONG_AGO, replace(HOME_HELP, **self.rules)),),
            {"apu": self.prices, "koti": ()},
            Calendar(frozenset(HOLIDAYS), frozenset(EVES)),
        )
        ends, week = self.valid_to or self.today + timedelta(days=7), timedelta(days=14)
        voucher = Voucher(programme, self.granted, self.today - week, ends, [(date.min, *self.caps)])
        return voucher, datetime.combine(self.today, time(12), HELSINKI).astimezone(UTC)

    def play(self, machine: RuleMachine) -> None:
        try:
            machine.begin(self.begin())
            for step, about in self.steps:
                getattr(machine, step)(**about)
                machine.the_books_balance()
                machine.every_debit_is_as_the_rules_left_it()
            assert tuple(answer.outcome for _, answer in machine.requests) == self.answers
        finally:
            machine.teardown()


def asked(**about: Any) -> dict[str, Any]:
    """One hour today by `apu`, without times, unless something else is told; `size` in quarters of an hour."""
    return {"drawn": _HOUR | about}


def debit(**about: Any) -> Step:
    return "debit", asked(**about)


def hold(**about: Any) -> Step:
    return "hold", asked(**about)


def capture(**about: Any) -> Step:
    """The first hold, with another amount if one is told; as it was booked otherwise."""
    return "capture", asked(**about) | {"pick": int("size" in about), "as_it_is": True}


def reverse(sevenths: int | None = None, **about: Any) -> Step:
    """The first debit, or so much of it."""
    return "reverse", {"pick": 0, "sevenths": sevenths, "odd": 0} | about


def caps_from(days: int, visits: int) -> Step:
    return "change_caps", {"days": days, "caps": (visits, None)}


VOID: Step = ("void", {"pick": 1, "provider": "apu"})
CLOSE: Step = ("close_the_books", {"pick": 0})
NEXT_DAY: Step = ("let_time_pass", {"hours": 24})
SUSPEND: Step = ("suspend_or_resume", {"pick": 0})
SETTLE: Step = ("settle", {"pick": 0})
REPEAT: Step = ("repeat", {"pick": 0})


def cancel_from(days: int) -> Step:
    return "cancel", {"days": days, "pick": 0}


HISTORIES = (
    History(
        "late entry ends a day early",
        ("check_charge", "WHEN p_today > LEAST(", "WHEN p_today >= LEAST("),
        (("run_the_schedules", {}), debit(days=-5)),
        rules={"late_entry_days": 5},
        valid_to=TODAY - timedelta(days=5),
    ),
    History(
        "one visit a week less",
        ("check_charge", "c.used_visits + c.visits > c", "c.used_visits + c.visits >= c"),
        (debit(),),
        caps=(1, None),
    ),
    History(
        "holds have no place in the week",
        ("week_use", "h.state = 'held'", "h.state = 'none'"),
        (hold(), debit(size=2)),
        ("ok", "weekly_visits_used"),
        caps=(1, None),
    ),
    History(
        "the week begins on Sunday",
        ("week_use", "date_trunc('week', p_day)", "date_trunc('week', p_day + 1)"),
        (debit(), debit(days=-3)),
        ("ok", "ok"),
        caps=(1, None),
    ),
    History(
        "parts in no steps",
        ("takes", "p_room / p_step * p_step", "p_room"),
        (debit(size=8, partial=True),),
        granted=100,
    ),
    History(
        "cents of a part rounded down",
        ("reverse_debit", "(v_done.amount + v_amount) + d.amount)", "(v_done.amount + v_amount))"),
        (debit(size=3), reverse(3)),
        ("ok", "ok"),
    ),
    History(
        "what was held is lost",
        ("free_hold", "available = v.available + v_hold.amount", "expired = v.expired + v_hold.amount"),
        (hold(), VOID),
        ("ok", "ok"),
    ),
    History("Friday is Saturday", ("tariff_band", "= 6 THEN", "= 5 THEN"), (debit(days=-4),)),
    History(
        "holidays are weekdays",
        ("tariff_band", "p_day = ANY(p_holidays)", "false"),
        (debit(),),
        today=date(2026, 12, 25),
    ),
    History(
        "a changed cap is no next day",
        ("next_allowed_date", "c.starts_on > p_day", "false"),
        (caps_from(2, 3), debit(), debit(size=2)),
        ("ok", "weekly_visits_used"),
        caps=(1, None),
    ),
    History(
        "the oldest price list",
        ("prices_on", "ORDER BY l.starts_on DESC", "ORDER BY l.starts_on"),
        (debit(),),
        prices=((LONG_AGO, CHEAP), (TODAY - timedelta(days=5), DEAR)),
    ),
    History(
        "the oldest cap",
        ("caps_on", "ORDER BY c.starts_on DESC", "ORDER BY c.starts_on"),
        (caps_from(-9, 1), caps_from(-8, 2), debit(), debit(size=2)),
        ("ok", "ok"),
    ),
    History(
        "a capture is asked about what was charged after its hold",
        ("is_double", "o.starts_at IS NOT DISTINCT FROM h.starts_at", "false"),
        (hold(hour=time(8), size=None), debit(hour=time(8), size=None, duplicate_ok=True), capture()),
        ("ok", "ok", "ok"),
    ),
    History(
        "a capture with times is its hold's duplicate",
        ("is_double", "k.hold_id IS DISTINCT FROM h.hold_id", "true"),
        (hold(), ("capture", asked(hour=time(8), size=None) | {"pick": 0, "as_it_is": False})),
        ("ok", "ok"),
    ),
    History(
        "a hold is charged as what is left of it",
        ("capture_hold", "o.partial := true", "o.partial := false"),
        (hold(size=8, partial=True), capture()),
        ("ok", "ok"),
        granted=60,
    ),
    History(
        "a capture takes more than was held",
        ("check_charge", "WHEN c.asked > h.amount", "WHEN c.asked > h.amount + 1000"),
        (hold(), capture(size=5)),
        ("ok", "capture_above_hold"),
    ),
    History(
        "lapsed holds are captured",
        ("capture_hold", "OR v_hold.lapses_at <= now()", ""),
        (hold(), NEXT_DAY, capture()),
        ("ok", "hold_ended"),
        rules={"hold_lapse_hours": 1},
    ),
    History(
        "what is settled is taken back",
        ("reverse_debit", "s.entry_id = d.entry_id", "false"),
        (debit(), SETTLE, reverse()),
        ("ok", "debit_settled"),
    ),
    History(
        "a visit comes back with the first part",
        ("reverse_debit", "WHEN v_amount = v_left THEN -1", "WHEN v_amount > 0 THEN -1"),
        (debit(), reverse(4)),
        ("ok", "ok"),
    ),
    History(
        "a closed voucher gets its value back",
        ("reverse_debit", "v.state <> 'closed'", "true"),
        (debit(), CLOSE, reverse()),
        ("ok", "ok"),
    ),
    History("a replay is another debit", ("claim_request", "IF NOT FOUND THEN", "IF false THEN"), (debit(), REPEAT)),
    History(
        "the family pays nothing",
        ("price_of", "(2 * v_total + p_per)", "(2 * v_paid + p_per)"),
        (debit(),),
        prices=((LONG_AGO, DEAR),),
    ),
    History(
        "the voucher pays more than the price",
        ("price_of", "LEAST(v_price, v_value)", "v_value"),
        (debit(),),
        prices=((LONG_AGO, CHEAP),),
    ),
    History(
        "a capture costs what is asked today",
        ("check_charge", "IF h.hold_id IS NULL THEN", "IF true THEN"),
        (hold(), ("ask_other_prices", {"provider": "apu", "days": -1, "prices": DEAR}), capture()),
        ("ok", "ok"),
    ),
    History(
        "a hold is captured again",
        ("capture_hold", "v_hold.state <> 'held' OR", "false OR"),
        (hold(), capture(), capture()),
        ("ok", "ok", "hold_ended"),
    ),
    History(
        "a hold is dropped again",
        ("free_hold", "k.hold_id = p_hold AND k.state = 'held'", "k.hold_id = p_hold"),
        (hold(), VOID, VOID),
        ("ok", "ok", "hold_ended"),
    ),
    History(
        "another provider's hold is captured",
        ("capture_hold", "k.provider_id = o.provider_id AND k.hold_id", "k.hold_id"),
        (hold(), ("capture", asked(provider="koti", days=4) | {"pick": 0, "as_it_is": False})),
        ("ok", "hold_not_found"),
    ),
    History(
        "more is taken back than is left",
        ("reverse_debit", "WHEN v_amount > v_left", "WHEN v_amount > d.amount"),
        (debit(), reverse(4), reverse(11)),
        ("ok", "ok", "reversal_above_debit"),
    ),
    History(
        "another provider's debit is taken back",
        ("reverse_debit", "e.provider_id = p_provider AND e.entry_id", "e.entry_id"),
        (debit(), reverse(pick=9)),
        ("ok", "debit_not_found"),
    ),
    History(
        "what was cancelled while suspended is open",
        ("check_charge", "OR v.late_entry_stopped", ""),
        (SUSPEND, cancel_from(1), debit()),
        ("voucher_suspended",),
    ),
    History(
        "visits that are alike are not asked about",
        ("is_double", "e.kind = 'debit'", "false"),
        (debit(), debit()),
        ("ok", "possible_duplicate"),
    ),
    History(
        "as many hours as were charged with times are another visit",
        ("is_double", "(o.starts_at IS NULL OR e.starts_at IS NULL)", "o.starts_at IS NULL AND e.starts_at IS NULL"),
        (debit(hour=time(8), size=None), debit()),
        ("ok", "possible_duplicate"),
    ),
    History(
        "times of as much as was charged by hours are another visit",
        ("is_double", "(SELECT sum(s) FROM unnest(o.segment_amounts) s)", "1"),
        (
            debit(size=8, partial=True),
            ("decide_later", {"granted": 8, "longer": None}),
            debit(hour=time(8), length=120, size=None, partial=True),
        ),
        ("ok", "possible_duplicate"),
        granted=90,
    ),
    History(
        "as many hours as are held with times are another visit",
        ("is_double", "(o.starts_at IS NULL OR k.starts_at IS NULL)", "o.starts_at IS NULL AND k.starts_at IS NULL"),
        (hold(hour=time(8), size=None), debit()),
        ("ok", "possible_duplicate"),
    ),
    History(
        "the same is another visit when less of it can be taken",
        ("is_double", "v_asked IN (e.asked, e.amount)", "false"),
        (debit(partial=True), debit(partial=True)),
        ("ok", "possible_duplicate"),
        granted=90,
    ),
    History(
        "the same is another visit when more of it can be taken",
        ("is_double", "v_asked IN (e.asked, e.amount)", "v_asked = e.amount"),
        (debit(size=8, partial=True), ("decide_later", {"granted": 8, "longer": None}), debit(size=8, partial=True)),
        ("ok", "possible_duplicate"),
        granted=90,
    ),
    History(
        "what is held is another visit when less of it can be taken",
        ("is_double", "v_asked IN (k.asked, k.amount)", "false"),
        (hold(partial=True), debit(partial=True)),
        ("ok", "possible_duplicate"),
        granted=90,
    ),
    History(
        "a full week does not tell that the visit is charged",
        ("check_charge", "'weekly_visits_used', 'weekly_minutes_used', 'insufficient_value'", "'insufficient_value'"),
        (debit(), debit()),
        ("ok", "weekly_visits_used"),
        caps=(1, None),
    ),
    History(
        "too little value does not tell that the visit is charged",
        ("check_charge", "'weekly_minutes_used', 'insufficient_value')", "'weekly_minutes_used')"),
        (debit(size=8, partial=True), debit(size=8, partial=True)),
        ("ok", "insufficient_value"),
        granted=90,
    ),
    History(
        "the question comes before a full week",
        (
            "check_charge",
            "WHEN v_needs_room AND c.used_visits",
            "WHEN is_double(v, o, c.amount, p_service_date, h) THEN 'possible_duplicate'"
            " WHEN v_needs_room AND c.used_visits",
        ),
        (debit(), debit()),
        ("ok", "weekly_visits_used"),
        caps=(1, None),
    ),
    History(
        "what a cancelled voucher leaves has expired",
        ("close_vouchers", "CASE WHEN u.cancelled_from IS NULL THEN v_left", "CASE WHEN true THEN v_left"),
        (cancel_from(0), CLOSE),
        (),
    ),
    History(
        "a lowering takes what is used",
        ("apply_version", "GREATEST(d.granted,", "LEAST(d.granted,"),
        (debit(size=6), ("decide_later", {"granted": -4, "longer": None})),
        granted=120,
    ),
)
