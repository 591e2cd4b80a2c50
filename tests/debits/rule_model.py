"""The rule book in plain Python, written from the rules and not from the SQL: what random histories are judged by.

It does everything the slow and obvious way: a visit is priced minute by minute, the next allowed day looked for day
by day, and no balance is kept: what is available is what was granted less what is held, charged and given back. It can
share no mistake with the functions of the database but one of understanding.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction
from math import floor
from zoneinfo import ZoneInfo

HELSINKI = ZoneInfo("Europe/Helsinki")
BANDS = ("weekday", "evening", "saturday", "sunday")
Part = tuple[str, int]  # a tariff band, and how much of a visit falls into it


@dataclass(frozen=True)
class Calendar:
    holidays: frozenset[date] = frozenset()
    eves: frozenset[date] = frozenset()


@dataclass(frozen=True)
class Rules:
    """One version of a programme's rules. `values`: what an hour, a visit or a session is worth in each band."""

    step: int = 1
    values: Mapping[str, int] | None = None
    evening: tuple[time, time] | None = None
    eves_are_holidays: bool = False
    free_by_law: bool = False
    task_types: frozenset[str] = frozenset()
    no_show_allowed: bool = False
    hold_lapse_hours: int = 72
    late_entry_days: int = 30


@dataclass(frozen=True)
class Programme:
    unit: str
    versions: tuple[tuple[date, Rules], ...]
    prices: Mapping[str, tuple[tuple[date, Mapping[str, int]], ...]] = field(default_factory=dict)
    calendar: Calendar = Calendar()

    def rules_on(self, day: date) -> Rules:
        return max((version for version in self.versions if version[0] <= day), key=lambda version: version[0])[1]

    def prices_on(self, provider: str, day: date) -> Mapping[str, int] | None:
        """What the provider asks by a price list of its own."""
        begun = [version for version in self.prices.get(provider, ()) if version[0] <= day]
        return max(begun, key=lambda version: version[0])[1] if begun else None


@dataclass(frozen=True)
class Ask:
    """What a provider wants to charge. Times are whole: their end has been moved to the step already."""

    provider: str
    day: date
    amount: int | None = None
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    visit_type: str = "visit"
    task_type: str | None = None
    partial: bool = False
    duplicate_ok: bool = False
    worker: str | None = None
    reference: str | None = None
    texted: bool = False  # by the worker

    @property
    def told(self) -> tuple[str | None, ...]:
        """What tells a visit without times from another one that is as long."""
        return self.task_type, self.worker, self.reference


@dataclass(frozen=True)
class Verdict:
    """`refusal` None: it is charged. `pays` and `own` in cents: the voucher and the family; None: not known."""

    refusal: str | None
    asked: int | None = None
    amount: int = 0
    visits: int = 0
    minutes: int = 0
    pays: int | None = None
    own: int | None = None
    parts: tuple[Part, ...] | None = None  # of what was asked, where there were times
    next_allowed: date | None = None
    used: tuple[int, int] = (0, 0)
    similar: bool = False  # one like it is charged or held already, which a refusal of something else tells, too


@dataclass
class Debit:
    ask: Ask
    entered_at: datetime
    asked: int
    amount: int
    visits: int
    minutes: int
    pays: int | None
    own: int | None
    settled: bool = False
    reversed_amount: int = 0
    counts_visits: bool = False
    counts_minutes: bool = False

    @property
    def provider(self) -> str:
        return self.ask.provider

    @property
    def day(self) -> date:
        return self.ask.day

    @property
    def left(self) -> int:
        return self.amount - self.reversed_amount

    def visits_left(self) -> int:
        return self.left if self.counts_visits else int(self.left > 0)

    def minutes_left(self) -> int:
        return self.left if self.counts_minutes else self.minutes * (self.left > 0)

    def cents_left(self, cents: int | None) -> int | None:
        """What has not gone back of `cents`: in proportion, rounded once and half up from the whole, to nothing."""
        return None if cents is None else cents - half_up(Fraction(cents * self.reversed_amount, self.amount))


@dataclass
class Hold:
    ask: Ask
    asked: int
    amount: int
    visits: int
    minutes: int
    parts: tuple[Part, ...] | None
    prices: Mapping[str, int] | None  # the provider's own of that moment; None: it asked what the voucher is worth
    lapses_at: datetime
    state: str = "held"


def half_up(exact: Fraction) -> int:
    return floor(exact + Fraction(1, 2))


def week_of(day: date) -> tuple[int, int]:
    return day.isocalendar()[:2]


def band_of_day(day: date, rules: Rules, calendar: Calendar) -> str:
    if day.isoweekday() == 7 or day in calendar.holidays or (rules.eves_are_holidays and day in calendar.eves):
        return "sunday"
    return "saturday" if day.isoweekday() == 6 else "weekday"


def band_at(moment: datetime, rules: Rules, calendar: Calendar) -> str:
    local = moment.astimezone(HELSINKI)
    band = band_of_day(local.date(), rules, calendar)
    if band == "weekday" and rules.evening is not None:
        begins, ends = rules.evening
        clock = local.time()
        if begins <= clock < ends or (ends < begins and (clock >= begins or clock < ends)):
            return "evening"
    return band


def minutes_between(starts_at: datetime, ends_at: datetime) -> int:
    """Elapsed, whatever the clocks on the wall did."""
    return int((ends_at.astimezone(UTC) - starts_at.astimezone(UTC)).total_seconds()) // 60


def parts_by_minute(starts_at: datetime, ends_at: datetime, rules: Rules, calendar: Calendar) -> tuple[Part, ...]:
    parts: list[list[object]] = []
    for minute in range(minutes_between(starts_at, ends_at)):
        band = band_at(starts_at.astimezone(UTC) + timedelta(minutes=minute), rules, calendar)
        if parts and parts[-1][0] == band:
            parts[-1][1] += 1  # type: ignore[operator]
        else:
            parts.append([band, 1])
    return tuple((str(band), int(str(amount))) for band, amount in parts)


def first_of(parts: Iterable[Part], amount: int) -> tuple[Part, ...]:
    """As much of a visit as `amount`, from its beginning on."""
    taken: list[Part] = []
    for band, part in parts:
        taken.append((band, min(part, amount)))
        amount -= taken[-1][1]
    return tuple(part for part in taken if part[1] > 0)


@dataclass
class Voucher:
    """One voucher and all that happened to it. `today` and `now` come in with each call."""

    programme: Programme
    granted: int
    valid_from: date
    valid_to: date
    caps: list[tuple[date, int | None, int | None]] = field(default_factory=list)  # from a day on: visits, minutes
    state: str = "issued"
    cancelled_from: date | None = None
    late_entry_stopped: bool = False
    expired: int = 0
    cancelled: int = 0
    debits: dict[str, Debit] = field(default_factory=dict)
    holds: dict[str, Hold] = field(default_factory=dict)

    @property
    def held(self) -> int:
        return sum(hold.amount for hold in self.open_holds())

    @property
    def debited(self) -> int:
        return sum(debit.left for debit in self.debits.values())

    @property
    def available(self) -> int:
        return self.granted - self.held - self.debited - self.expired - self.cancelled

    @property
    def counts_visits(self) -> bool:
        return self.programme.unit in ("visits", "sessions")

    def open_holds(self) -> list[Hold]:
        return [hold for hold in self.holds.values() if hold.state == "held"]

    def caps_on(self, day: date) -> tuple[int | None, int | None]:
        begun = [cap for cap in self.caps if cap[0] <= day]
        return max(begun, key=lambda cap: cap[0])[1:] if begun else (None, None)

    def week_use(self, day: date, without: Hold | None = None) -> tuple[int, int]:
        debits = [d for d in self.debits.values() if week_of(d.day) == week_of(day)]
        holds = [h for h in self.open_holds() if h is not without and week_of(h.ask.day) == week_of(day)]
        visits = sum(d.visits_left() for d in debits) + sum(h.visits for h in holds)
        return visits, sum(d.minutes_left() for d in debits) + sum(h.minutes for h in holds)

    def parts(self, ask: Ask) -> tuple[Part, ...] | None:
        """Where the hours of a visit fall; a visit or session is of the band in which it begins."""
        if ask.starts_at is None or ask.ends_at is None:
            return None
        rules, calendar = self.programme.rules_on(ask.day), self.programme.calendar
        if self.counts_visits:
            return ((band_at(ask.starts_at, rules, calendar), ask.amount or 1),)
        return parts_by_minute(ask.starts_at, ask.ends_at, rules, calendar)

    # What is decided, in the order of precedence.

    def judge(
        self,
        ask: Ask,
        what: str,
        *,
        today: date,
        now: datetime,
        hold: Hold | None = None,
        booked: tuple[Part, ...] | None = None,
    ) -> Verdict:
        """`what`: debit, hold, capture (of `hold`, with the parts that were `booked`) or validate."""
        rules = self.programme.rules_on(ask.day)
        told = self.parts(ask) if booked is None else None
        found = self.work_out(ask, what, rules, told or booked, hold)
        refusal = (
            self.refusal_by_state(ask, what, today, now, rules)
            or self.refusal_by_programme(ask, what, rules, hold)
            or self.refusal_by_amount(rules, found, told, hold, partial=ask.partial)
            or self.refusal_by_week(ask, found, hold)
            or self.refusal_by_value(ask, what, rules, found, hold)
            or ("possible_duplicate" if self.is_double(ask, what, found, hold, now) else None)
        )
        is_certain = refusal in ("weekly_visits_used", "weekly_minutes_used", "insufficient_value")
        similar = is_certain and self.is_double(ask, what, found, hold, now)
        found = replace(found, refusal=refusal, used=self.week_use(ask.day, hold), similar=similar)
        if refusal in ("weekly_visits_used", "weekly_minutes_used"):
            return replace(found, next_allowed=self.next_allowed(ask.day, found, hold))
        return found

    def refusal_by_state(self, ask: Ask, what: str, today: date, now: datetime, rules: Rules) -> str | None:
        if self.state == "closed":
            return "voucher_closed"
        if self.state == "suspended" or self.late_entry_stopped:
            return "voucher_suspended"
        if self.state == "cancelled" and self.cancelled_from is not None and ask.day >= self.cancelled_from:
            return "voucher_cancelled"
        if ask.day > today and what in ("debit", "capture"):
            return "service_date_in_future"
        if what in ("debit", "capture") and ask.ends_at is not None and ask.ends_at > now + timedelta(minutes=15):
            return "visit_not_over"
        if ask.day < self.valid_from:
            return "voucher_not_yet_valid"
        if ask.day > self.valid_to:
            return "voucher_expired"
        return "late_entry_closed" if today > self.last_day + timedelta(days=rules.late_entry_days) else None

    def refusal_by_programme(self, ask: Ask, what: str, rules: Rules, hold: Hold | None) -> str | None:
        if ask.visit_type == "no_show" and not rules.no_show_allowed:
            return "no_show_not_allowed"
        if rules.task_types and ask.task_type is not None and ask.task_type not in rules.task_types:
            return "task_type_unknown"
        prices = self.prices_for(ask, hold)
        hours_decide = (
            rules.evening is not None
            and rules.values is not None
            and prices is not None
            and (rules.values["evening"] != rules.values["weekday"] or prices["evening"] != prices["weekday"])
            and self.programme.unit != "cents"
            and band_of_day(ask.day, rules, self.programme.calendar) == "weekday"
        )
        is_visit = what != "validate" or ask.amount is not None
        return "times_required" if hours_decide and ask.starts_at is None and is_visit else None

    def refusal_by_amount(
        self, rules: Rules, found: Verdict, told: tuple[Part, ...] | None, hold: Hold | None, *, partial: bool
    ) -> str | None:
        if found.asked is None:
            return "amount_required"
        if hold is not None and found.asked > hold.amount and not partial:
            return "capture_above_hold"
        if self.programme.unit == "minutes" and told is not None and found.asked != total_of(told):
            return "amount_differs_from_times"
        if found.asked <= 0 or found.asked % rules.step:
            return "amount_not_in_steps"
        is_whole = found.amount == found.asked
        return "own_contribution_not_allowed" if rules.free_by_law and is_whole and (found.own or 0) > 0 else None

    def is_double(self, ask: Ask, what: str, found: Verdict, hold: Hold | None, now: datetime) -> bool:
        is_question = what == "validate" and ask.amount is None and ask.starts_at is None
        if ask.duplicate_ok or is_question or (hold is not None and ask.starts_at == hold.ask.starts_at):
            return False
        debits = [debit for debit in self.debits.values() if debit.left > 0]
        others: list[Debit | Hold] = [*debits, *(other for other in self.open_holds() if other is not hold)]
        theirs = [other for other in others if (other.ask.provider, other.ask.day) == (ask.provider, ask.day)]
        if ask.starts_at is not None and any(other.ask.starts_at == ask.starts_at for other in theirs):
            return True
        asked = found.amount if self.programme.unit == "cents" and ask.amount is None else found.asked
        return any(
            None in (ask.starts_at, other.ask.starts_at)
            and (asked in (other.asked, other.amount) or found.amount == other.amount)
            and self.may_be_one(ask, other.ask)
            for other in theirs
            if isinstance(other, Hold) or self.is_fresh(other, ask, now)
        )

    def is_fresh(self, debit: Debit, ask: Ask, now: datetime) -> bool:
        return debit.entered_at > now - timedelta(hours=12) and debit.ask.visit_type == ask.visit_type

    def may_be_one(self, ask: Ask, other: Ask) -> bool:
        """Whether nothing that is told of two visits of one length tells them apart. A text tells no more than who sent
        it, and what the office enters need not name who was there."""
        if ask.texted:
            return not other.texted or ask.worker == other.worker
        return ask.told == other.told or (other.texted and ask.worker in (None, other.worker))

    def refusal_by_week(self, ask: Ask, found: Verdict, hold: Hold | None) -> str | None:
        if hold is not None and found.visits <= hold.visits and found.minutes <= hold.minutes:
            return None  # what is held has its place in the week already
        return over_the_cap(self.caps_on(ask.day), self.week_use(ask.day, hold), found)

    def refusal_by_value(self, ask: Ask, what: str, rules: Rules, found: Verdict, hold: Hold | None) -> str | None:
        assert found.asked is not None
        if found.asked <= self.room(hold):
            return None
        may_be_part = ask.partial and found.amount > 0 and (what == "capture" or not rules.free_by_law)
        return None if may_be_part else "insufficient_value"

    def next_allowed(self, day: date, found: Verdict, hold: Hold | None) -> date | None:
        last = min(self.valid_to, self.cancelled_from - timedelta(days=1)) if self.cancelled_from else self.valid_to
        while (day := day + timedelta(days=1)) <= last:
            if over_the_cap(self.caps_on(day), self.week_use(day, hold), found) is None:
                return day
        return None

    # What is asked and taken, and what it costs.

    def room(self, hold: Hold | None) -> int:
        return hold.amount if hold else self.available

    def work_out(self, ask: Ask, what: str, rules: Rules, parts: tuple[Part, ...] | None, hold: Hold | None) -> Verdict:
        unit, by_hours, prices = self.programme.unit, False, self.prices_for(ask, hold)
        asked = ask.amount
        if asked is None and unit == "minutes" and parts is not None:
            asked = total_of(parts)
        elif asked is None and self.counts_visits:
            asked = 1
        elif asked is None and unit == "cents" and parts is not None and rules.values is not None:
            by_hours, asked = True, half_up(self.worth(ask, prices, parts))
        elif asked is None and what == "validate" and ask.starts_at is None:
            asked = rules.step
        if asked is None:
            return Verdict(None)
        amount = asked
        if ask.partial and asked > self.room(hold) and asked % rules.step == 0:
            amount = self.room(hold) // rules.step * rules.step
        pays, own = self.cost(ask, prices, asked, amount, parts, by_hours=by_hours)
        minutes = minutes_between(ask.starts_at, ask.ends_at) if ask.starts_at and ask.ends_at else 0
        return Verdict(
            None,
            asked=asked,
            amount=amount,
            visits=amount if self.counts_visits else 1,
            minutes=amount if unit == "minutes" else minutes,
            pays=pays,
            own=own,
            parts=parts,
        )

    def prices_for(self, ask: Ask, hold: Hold | None) -> Mapping[str, int] | None:
        """What the provider asks, or asked when it made the hold; without a list of its own, what the voucher is
        worth."""
        own = self.programme.prices_on(ask.provider, ask.day) if hold is None else hold.prices
        return own or self.programme.rules_on(ask.day).values

    def price(self, prices: Mapping[str, int] | None, parts: Iterable[Part]) -> Fraction:
        assert prices is not None
        per = 1 if self.counts_visits else 60
        return Fraction(sum(prices[band] * amount for band, amount in parts), per)

    def worth(self, ask: Ask, prices: Mapping[str, int] | None, parts: Iterable[Part]) -> Fraction:
        """What the voucher pays of it: its value, or the price where that is lower."""
        values = self.programme.rules_on(ask.day).values
        assert prices is not None
        assert values is not None
        per = 1 if self.counts_visits else 60
        return Fraction(sum(min(prices[band], values[band]) * amount for band, amount in parts), per)

    def cost(
        self,
        ask: Ask,
        prices: Mapping[str, int] | None,
        asked: int,
        amount: int,
        parts: tuple[Part, ...] | None,
        *,
        by_hours: bool,
    ) -> tuple[int | None, int | None]:
        """What the voucher and the family pay. The two together are the price of what was asked, to the cent."""
        rules = self.programme.rules_on(ask.day)
        if self.programme.unit == "cents":
            own = half_up(self.price(prices, parts)) - amount if by_hours and parts is not None else None
            return amount, own
        if rules.values is None:
            return None, None
        if parts is None:
            parts = ((band_of_day(ask.day, rules, self.programme.calendar), asked),)
        pays = half_up(self.worth(ask, prices, first_of(parts, amount)))
        return pays, half_up(self.price(prices, parts)) - pays

    # What happens then.

    def debit(self, entry: str, ask: Ask, *, today: date, now: datetime) -> Verdict:
        verdict = self.judge(ask, "debit", today=today, now=now)
        if verdict.refusal is None:
            self.book(entry, ask, verdict, now)
        return verdict

    def book(self, entry: str, ask: Ask, verdict: Verdict, now: datetime) -> None:
        assert verdict.asked is not None
        self.debits[entry] = Debit(
            ask, now, verdict.asked, verdict.amount, verdict.visits, verdict.minutes,
            verdict.pays, verdict.own,
            counts_visits=self.counts_visits, counts_minutes=self.programme.unit == "minutes",
        )  # fmt: skip

    def hold(self, hold_id: str, ask: Ask, *, today: date, now: datetime) -> Verdict:
        verdict = self.judge(ask, "hold", today=today, now=now)
        midnight = datetime.combine(ask.day + timedelta(days=1), time(), HELSINKI)
        hours = timedelta(hours=self.programme.rules_on(ask.day).hold_lapse_hours)
        lapses_at = (ask.ends_at or midnight).astimezone(UTC) + hours
        if verdict.refusal is None and lapses_at <= now:
            verdict = replace(verdict, refusal="hold_too_late")
        if verdict.refusal is None:
            assert verdict.asked is not None
            self.holds[hold_id] = Hold(
                ask, verdict.asked, verdict.amount, verdict.visits, verdict.minutes, verdict.parts,
                self.programme.prices_on(ask.provider, ask.day), lapses_at,
            )  # fmt: skip
        return verdict

    def capture(self, hold_id: str, entry: str, ask: Ask, *, today: date, now: datetime) -> Verdict:
        """`ask` says what was other than booked: its day is the hold's, and times that it does not tell are, too."""
        hold = self.holds.get(hold_id)
        if hold is None or hold.ask.provider != ask.provider:
            return Verdict("hold_not_found")
        if hold.state != "held" or hold.lapses_at <= now:
            return Verdict("hold_ended")
        if ask.starts_at is not None and ask.starts_at.astimezone(HELSINKI).date() != hold.ask.day:
            return Verdict("capture_on_another_day")
        ask = replace(
            ask,
            day=hold.ask.day,
            partial=False,
            task_type=ask.task_type or hold.ask.task_type,
            worker=ask.worker or hold.ask.worker,
            reference=ask.reference or hold.ask.reference,
        )
        parts = None
        if ask.starts_at is None:
            ask, parts = self.as_booked(ask, hold)
        verdict = self.judge(ask, "capture", today=today, now=now, hold=hold, booked=parts)
        if verdict.refusal is None:
            hold.state = "captured"
            self.book(entry, ask, verdict, now)
        return verdict

    def as_booked(self, ask: Ask, hold: Hold) -> tuple[Ask, tuple[Part, ...] | None]:
        """The visit of the hold: as it was promised, or when an amount is told, the beginning of it."""
        ask = replace(ask, starts_at=hold.ask.starts_at, ends_at=hold.ask.ends_at)
        if ask.amount is None:
            return replace(ask, amount=hold.ask.amount, partial=True), hold.parts
        if hold.parts is None or self.programme.unit == "cents":
            return ask, hold.parts
        return ask, first_of(hold.parts, ask.amount)

    def end_hold(self, hold_id: str, provider: str, state: str) -> str:
        hold = self.holds.get(hold_id)
        if hold is None or hold.ask.provider != provider:
            return "hold_not_found"
        if hold.state != "held":
            return "hold_ended"
        hold.state = state
        return "ok"

    def lapse(self, now: datetime) -> int:
        lapsing = [hold for hold in self.open_holds() if hold.lapses_at <= now]
        for hold in lapsing:
            hold.state = "lapsed"
        return len(lapsing)

    def reverse(self, debit_id: str, provider: str, amount: int | None) -> tuple[str, int]:
        """The outcome, and how much went back."""
        debit = self.debits.get(debit_id)
        if debit is None or debit.provider != provider:
            return "debit_not_found", 0
        amount = debit.left if amount is None else amount
        step = self.programme.rules_on(debit.day).step
        if debit.left == 0:
            return "already_reversed", 0
        if debit.settled:
            return "debit_settled", 0
        if amount > debit.left:
            return "reversal_above_debit", 0
        if amount < debit.left and amount % step:
            return "amount_not_in_steps", 0
        debit.reversed_amount += amount
        if self.state == "closed":
            self.give_back(amount)
        return "ok", amount

    def give_back(self, amount: int) -> None:
        """To the budget: as expired, or as cancelled where the voucher was."""
        if self.cancelled_from is None:
            self.expired += amount
        else:
            self.cancelled += amount

    def decide_later(self, granted: int, valid_to: date | None, *, today: date) -> str:
        """Another total from today on, but never less than is used, in whole steps; or a later end."""
        if self.state in ("cancelled", "closed"):
            return "dropped"
        step, used = self.programme.rules_on(today).step, self.granted - self.available
        if granted < self.granted:
            granted = min(self.granted, max(granted, -(-used // step) * step))
        self.granted = granted
        self.valid_to = max(self.valid_to, valid_to or self.valid_to)
        if self.state == "expired" and self.valid_to >= today:
            self.state = "issued"
        return "applied"

    def cancel(self, from_day: date) -> None:
        """One that is suspended stays shut, for what was before, too."""
        if self.state != "cancelled":
            self.late_entry_stopped = self.state == "suspended"
        self.state, self.cancelled_from = "cancelled", from_day

    def suspend(self) -> None:
        if self.state == "cancelled":
            self.late_entry_stopped = True
        else:
            self.state = "suspended"

    def resume(self) -> None:
        if self.state == "suspended":
            self.state = "issued"
        self.late_entry_stopped = False

    @property
    def last_day(self) -> date:
        return min(self.valid_to, self.cancelled_from) if self.cancelled_from else self.valid_to

    def expire(self, today: date) -> None:
        if self.state == "issued" and self.last_day < today:
            self.state = "expired"

    def close_if_due(self, today: date) -> None:
        """When the time for late entries is over under every version of the rules in force while it was valid."""
        if self.state == "closed" or today <= self.last_day + timedelta(days=self.late_entry_days()):
            return
        for hold in self.open_holds():
            hold.state = "lapsed"
        self.give_back(self.available)
        self.state = "closed"

    def late_entry_days(self) -> int:
        day, longest = self.valid_from, 0
        while day <= max(self.valid_from, self.last_day):  # cancelled before it began: it still has rules
            longest = max(longest, self.programme.rules_on(day).late_entry_days)
            day += timedelta(days=1)
        return longest


def total_of(parts: Iterable[Part]) -> int:
    return sum(amount for _, amount in parts)


def over_the_cap(caps: tuple[int | None, int | None], used: tuple[int, int], found: Verdict) -> str | None:
    if caps[0] is not None and used[0] + found.visits > caps[0]:
        return "weekly_visits_used"
    return "weekly_minutes_used" if caps[1] is not None and used[1] + found.minutes > caps[1] else None
