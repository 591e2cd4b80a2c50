"""An organiser's pictures and tables, in words: one Table for each figure, and exactly what it counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import cast

from service.attention.words import words_for
from service.money import Unit
from service.overview import charts
from service.overview.charts import Series
from service.overview.model import Period, Told, total
from service.overview.operations import Overview
from service.overview.words import Column, Gettext, Shown, Table, Words, programme_name, programme_unit
from service.problems import format_day
from service.vouchers.decisions import helsinki_day
from service.web.pages import N_

VISIT_SERIES_MAX = 5


def tables_of(overview: Overview, period: Period, words: Words) -> Sequence[Table]:
    """All of them with their pictures, in the order of the page. For a thread: it takes some 100 ms."""
    return [make(overview, period, words).drawn() for make in TABLES.values()]


def _decisions(overview: Overview, period: Period, words: Words) -> Table:
    _, weeks = words.gettext, overview.figures.decisions()
    new, later = total(week.new for week in weeks), total(week.later for week in weeks)
    series = [
        Series(_("New decisions"), [_drawn(week.new) for week in weeks]),
        Series(_("Renewals and changes"), [_drawn(week.later) for week in weeks]),
    ]
    return Table(
        "decisions",
        _("Decisions per week"),
        _(
            "New decisions, and later ones about a voucher that is there (renewals, other values or weekly"
            " limits), by the week in which they were entered. What was imported counts like what was typed."
        ),
        [
            Column("week", _("Week"), False),
            Column("new", _("New decisions")),
            Column("later", _("Renewals and changes")),
        ],
        [[words.week(week.week), words.number(week.new), words.number(week.later)] for week in weeks],
        partial(charts.bars, "decisions", _("Decisions per week"), _numbers(period), series, show=words.count),
        sums=[
            (_("New decisions"), words.at_least(new, words.count)),
            (_("Renewals and changes"), words.at_least(later, words.count)),
        ],
    )


def _minutes(overview: Overview, period: Period, words: Words) -> Table:
    _, weeks, whole = words.gettext, overview.figures.minutes(), overview.figures.minutes_of_all()
    series = [
        Series(_("Median"), [_drawn(week.median_s) for week in weeks]),
        Series(_("95 % are faster"), [_drawn(week.slowest_s) for week in weeks]),
    ]
    return Table(
        "minutes",
        _("From the decision to the code"),
        _(
            "The time from the moment a decision was entered until its code first arrived, by whichever channel,"
            " by the week of the decision. A text message has arrived when the phone confirms it, an e-mail when"
            " the mail server takes it and it does not come back. Half of the codes arrived within the median, 95"
            " of 100 within the second figure, which needs 20 codes. Codes that have not arrived are not in it;"
            " they are counted beside it."
        ),
        [
            Column("week", _("Week"), False),
            Column("median_s", _("Median")),
            Column("percent_95_s", _("95 % are faster")),
        ],
        [[words.week(week.week), words.seconds(week.median_s), words.seconds(week.slowest_s)] for week in weeks],
        partial(
            charts.lines,
            "minutes",
            _("From the decision to the code"),
            _numbers(period),
            series,
            show=lambda value: words.duration(round(value)),
        ),
        sums=[
            (_("Median"), words.seconds(whole.median_s).text),
            (_("95 % are faster"), words.seconds(whole.slowest_s).text),
            (_("Not arrived"), words.number(overview.figures.waiting()).text),
        ],
    )


def _channels(overview: Overview, _period: Period, words: Words) -> Table:
    _, shares = words.gettext, overview.figures.channels()
    names = {"sms": _("Text message"), "email": _("E-mail")}
    series = [
        Series(_("Arrived"), [share.arrived for share in shares]),
        Series(_("Under way"), [share.under_way for share in shares]),
        Series(_("Did not arrive"), [share.failed for share in shares]),
    ]
    return Table(
        "channels",
        _("Delivered, by channel"),
        _(
            "Of all messages that carry the codes of this period's decisions, by the channel that they were sent"
            " by. A message that failed by text and was sent by e-mail instead is two: one that did not arrive,"
            " and one that came by the other channel. Shares are rounded down; where a part is about too few"
            " families, the largest is at least as large as shown, and where that would tell of them, no share is"
            " shown."
        ),
        [
            Column("channel", _("Channel"), False),
            Column("arrived_percent", _("Arrived")),
            Column("under_way_percent", _("Under way")),
            Column("failed_percent", _("Did not arrive")),
            Column("as_other_percent", _("Of what arrived: as the other channel")),
        ],
        [
            [
                words.text(names[share.channel], share.channel),
                words.percent(share.arrived),
                words.percent(share.under_way),
                words.percent(share.failed),
                words.percent(share.as_other),
            ]
            for share in shares
        ],
        partial(
            charts.rows,
            "channels",
            _("Delivered, by channel"),
            [names[share.channel] for share in shares],
            series,
            show=lambda value: words.percent(round(value)).text,
            top=100,
        ),
    )


def _value(overview: Overview, _period: Period, words: Words) -> Table:
    _, values, known = words.gettext, overview.figures.value(overview.expiring), overview.programmes
    columns = {
        "granted": _("Granted"),
        "used": _("Used"),
        "returned": _("Back to the budget"),
        "expiring": _("Ends within four weeks"),
    }
    rows = []
    series: dict[str, list[float | None]] = {key: [] for key in ("used", "returned", "expiring")}
    for value in values:
        unit = programme_unit(known, value.programme)
        told = [value.granted, value.used, value.returned, value.expiring]
        rows.append(
            [
                words.text(programme_name(known, value.programme)),
                *(words.amount(each, unit) for each in told),
                words.amount(value.paid_cents, Unit.CENTS.value),
                words.text(_(UNITS[unit]), unit),
            ]
        )
        for key in series:
            part = getattr(value, key)
            is_told = isinstance(part, int) and isinstance(value.granted, int) and value.granted > 0
            series[key].append(max(0, round(100 * part / value.granted)) if is_told else None)
    return Table(
        "value",
        _("Value granted, used and ending"),
        _(
            "Granted: by new decisions of the period, with what later ones added or took away. Used: visits of"
            " the period's days, less what was taken back; the sum in euros is what you pay for them. Back to the"
            " budget: left over when vouchers were closed or cancelled in the period. Ends within four weeks: what"
            " can still be used today on vouchers whose last day is within 28 days; it is of today, whatever the"
            " period. The picture compares each with what was granted."
        ),
        [
            Column("programme", _("Programme"), False),
            *(Column(key, label) for key, label in columns.items()),
            Column("paid_cents", _("You pay for what was used")),
            Column("unit", _("Counted in"), False),
        ],
        rows,
        partial(
            charts.rows,
            "value",
            _("Value in percent of what was granted"),
            [programme_name(known, value.programme) for value in values],
            [Series(columns[key], parts) for key, parts in series.items()],
            show=lambda value: words.percent(round(value)).text,
            stacked=False,
        ),
    )


def _visits(overview: Overview, period: Period, words: Words) -> Table:
    _, visits, known = words.gettext, overview.figures.visits(), overview.programmes
    by_size = sorted(visits, key=lambda programme: -total(visits[programme]).number)
    series = [
        Series(programme_name(known, each), [_drawn(told) for told in visits[each]])
        for each in by_size[:VISIT_SERIES_MAX]
    ]
    if rest := by_size[VISIT_SERIES_MAX:]:
        together = [sum(cast(float, _drawn(visits[each][at]) or 0) for each in rest) for at in range(len(period.weeks))]
        series.append(Series(_("Other programmes"), together))
    return Table(
        "visits",
        _("Visits, by programme"),
        _(
            "Visits that were charged, by the week of the visit itself and not of its entry. A visit that was"
            " taken back as a whole is not counted; one of which a part was taken back is. Visits to a family that"
            " was not at home are not counted. Visits of the last weeks may still be entered."
        ),
        [Column("week", _("Week"), False), *(Column(each, programme_name(known, each)) for each in visits)],
        [
            [words.week(week), *(words.number(counts[at]) for counts in visits.values())]
            for at, week in enumerate(period.weeks)
        ],
        partial(charts.bars, "visits", _("Visits, by programme"), _numbers(period), series, show=words.count),
        sums=[(programme_name(known, each), words.at_least(total(visits[each]), words.count)) for each in by_size],
    )


def _first_use(overview: Overview, _period: Period, words: Words) -> Table:
    _, bands, median = words.gettext, overview.figures.first_use(), overview.figures.median_days()
    labels = [_band(_, band.first_day, band.last_day) for band in bands]
    few = Shown(_("too few"), "few")
    return Table(
        "first_use",
        _("From the decision to the first visit"),
        _(
            "Days between the day of a decision and the day of its first visit that was not taken back; a visit"
            " of an earlier day counts as the same day. All new decisions of the period are in it, so those of the"
            " last weeks have had little time. Shares are rounded down; where a part is about too few families,"
            " the largest is at least as large as shown, and where that would tell of them, no share is shown."
        ),
        [Column("days", _("Days"), False), Column("percent", _("Share of the decisions"))],
        [
            [
                words.text(label, _band_key(band.first_day, band.last_day)),
                words.percent(band.percent) if band.percent is not None else few,
            ]
            for label, band in zip(labels, bands, strict=True)
        ],
        partial(
            charts.rows,
            "first_use",
            _("From the decision to the first visit"),
            labels,
            [Series(_("Share of the decisions"), [band.percent for band in bands])],
            show=lambda value: words.percent(round(value)).text,
        ),
        sums=[(_("Median of those that are used"), _days(words, median))],
    )


def _attention(overview: Overview, _period: Period, words: Words) -> Table:
    _, items = words.gettext, overview.attention
    return Table(
        "attention",
        _("What needs a person"),
        _(
            "What is open on the list now, whatever the period. It is the list of work that stands open to you,"
            " so nothing of it is left out here."
        ),
        [
            Column("reason", _("Reason"), False),
            Column("items", _("Still open")),
            Column("oldest", _("Open since"), False),
        ],
        [
            [
                words.text(words_for(each.reason, words.language).sentence, each.reason),
                Shown(words.count(each.items), str(each.items)),
                words.text(
                    format_day(helsinki_day(each.oldest), words.language), helsinki_day(each.oldest).isoformat()
                ),
            ]
            for each in items
        ],
        partial(
            charts.rows,
            "attention",
            _("What needs a person"),
            [words_for(each.reason, words.language).sentence for each in items],
            [Series(_("Still open"), [each.items for each in items])],
            show=words.count,
        ),
        sums=[(_("Still open"), words.count(sum(each.items for each in items)))],
    )


TABLES: Mapping[str, Callable[[Overview, Period, Words], Table]] = {
    "decisions": _decisions,
    "minutes": _minutes,
    "channels": _channels,
    "value": _value,
    "visits": _visits,
    "first_use": _first_use,
    "attention": _attention,
}
UNITS: Mapping[str, str] = {
    "cents": N_("euros"),
    "minutes": N_("hours"),
    "visits": N_("visits"),
    "sessions": N_("sessions"),
}


def _drawn(told: Told) -> float | None:
    return told if isinstance(told, int) else None


def _numbers(period: Period) -> Sequence[str]:
    return [str(week.isocalendar().week) for week in period.weeks]


def _days(words: Words, median: Told) -> str:
    if not isinstance(median, int):
        return words.seconds(median).text
    return words.gettext("%(num)s d", num=median)


def _band(_: Gettext, first: int | None, last: int | None) -> str:
    if first is None:
        return _("not used yet")
    if last is None:
        return _("%(first)s days or more", first=first)
    return _("the same day") if last == 0 else _("%(first)s–%(last)s days", first=first, last=last)


def _band_key(first: int | None, last: int | None) -> str:
    if first is None:
        return "unused"
    return f"{first}+" if last is None else f"{first}-{last}"
