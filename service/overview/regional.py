"""The region's table, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from service.money import Unit
from service.overview import charts
from service.overview.charts import Series
from service.overview.disclosure import RegionLine
from service.overview.model import Period, week_name
from service.overview.operations import ProgrammeName, RegionOverview
from service.overview.words import Column, Shown, Table, Words, programme_name


def region_table(region: RegionOverview, known: Mapping[str, ProgrammeName], words: Words) -> Table:
    """What the region comes to, by block and programme. What may not be told is a dash."""
    _ = words.gettext
    oldest_first = list(reversed(region.blocks))
    of_all = [lines[0] for _period, lines in oldest_first]
    series = [
        Series(_("New decisions"), [line.decisions for line in of_all]),
        Series(_("Visits"), [line.visits for line in of_all]),
    ]
    return Table(
        "region",
        _("The region by quarter"),
        _(
            "All organisers of the region together, in whole weeks: 1–13, 14–26, 27–39 and 40 to the end of the"
            " year. Told four weeks after the last of them, as known then, and never changed after that. A figure"
            " is left out (–) where it would say something about one organiser: when fewer than three have a part"
            " in it, when one of them is most of it, or when there are too few families. Other figures are then"
            " left out with it, so that it cannot be worked out."
        ),
        [
            Column("weeks", _("Weeks"), False),
            Column("programme", _("Programme"), False),
            Column("decisions", _("New decisions")),
            Column("granted", _("Granted by them")),
            Column("visits", _("Visits")),
            Column("used", _("Used")),
            Column("median_s", _("To the code, median")),
            Column("percent_95_s", _("95 % are faster")),
            Column("arrived_percent", _("Arrived within 14 days")),
        ],
        [
            [
                words.text(_block(period), f"{week_name(period.first)}/{week_name(period.last)}"),
                *_region_row(line, known, words),
            ]
            for period, lines in region.blocks
            for line in lines
        ],
        partial(
            charts.bars,
            "region",
            _("The region by quarter"),
            [_block(period) for period, _lines in oldest_first],
            series,
            show=words.count,
            stacked=False,
        ),
    )


def _block(period: Period) -> str:
    first, last = period.first.isocalendar(), period.last.isocalendar()
    return f"{first.week}–{last.week}/{first.year}"


def _region_row(line: RegionLine, known: Mapping[str, ProgrammeName], words: Words) -> Sequence[Shown]:
    name = programme_name(known, line.programme) if line.programme is not None else words.gettext("All programmes")
    unit = line.unit or Unit.VISITS.value
    return [
        words.text(name, line.programme or "all"),
        words.number(line.decisions),
        words.amount(line.granted, unit),
        words.number(line.visits),
        words.amount(line.used, unit),
        words.seconds(line.median_s),
        words.seconds(line.slowest_s),
        words.percent(line.arrived_percent),
    ]
