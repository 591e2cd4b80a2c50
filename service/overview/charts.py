"""Pictures as SVG, drawn by pygal and made fit for our pages: without style and script, which a strict policy refuses.

What pygal has in a style sheet of its own is in `seteli.css`, in the page's colours, light, dark and with high
contrast. Series differ by pattern, dash and mark, never by colour alone. The table beside a picture is its text.
"""

from __future__ import annotations

import itertools
import math
import sys
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

import pygal
from markupsafe import Markup
from pygal.style import Style

SVG = "http://www.w3.org/2000/svg"
WIDTH, HEIGHT, ROW_HEIGHT = 420, 260, 34
FONT_SIZE = 13
LABELS_MAX = 7
LABEL_LENGTH = 30
PATTERNS = 6
_STYLE = Style(label_font_size=FONT_SIZE, major_label_font_size=FONT_SIZE, font_family="sans-serif")
_TILES = (
    None,  # plain
    "M-2 2 2 -2M0 8 8 0M6 10 10 6",
    "M2 2h2v2h-2zM6 6h2v2h-2z",
    "M0 4H8M4 0V8",
    "M-2 6 2 10M0 0 8 8M6 -2 10 2",
    "M0 2H8M0 6H8",
)
"""What is drawn in a tile of 8 × 8 of each series' pattern."""
_UNWANTED = frozenset({"style", "script", "defs", "title", "desc"})
_UNWANTED_GROUPS = frozenset({"tooltip-overlay", "text-overlay", "titles"})
_CLOCK_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 43_200)
_DASHES = ("", "7 4", "2 3")

ET.register_namespace("", SVG)
# Pygal hangs a finder of its own maps into every later import of the process, in a way that Python 3.12 gave up.
sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, pygal.PluginImportFixer)]


@dataclass(frozen=True, slots=True)
class Series:
    """None: there is nothing to draw in this place."""

    name: str
    values: Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Picture:
    """An image, and the names of its series in the order of their patterns."""

    svg: Markup
    legend: Sequence[tuple[Markup, str]]


def bars(
    name: str,
    label: str,
    places: Sequence[str],
    series: Sequence[Series],
    *,
    show: Callable[[float], str],
    stacked: bool = True,
) -> Picture | None:
    """Upright, one for each place, of series on top of each other or side by side. None: nothing to draw."""
    top = _highest(series, stacked=stacked)
    if not top:
        return None
    kind = pygal.StackedBar if stacked else pygal.Bar
    return _draw(kind(**_settings(top, show)), name, label, _thinned(places), series)


def lines(
    name: str, label: str, places: Sequence[str], series: Sequence[Series], *, show: Callable[[float], str]
) -> Picture | None:
    """A line of seconds for each series, broken where there is nothing. None: nothing to draw."""
    top = _highest(series, stacked=False)
    if not top:
        return None
    chart = pygal.Line(**_settings(top, show, seconds=True), allow_interruptions=True, dots_size=3.5)
    return _draw(chart, name, label, _thinned(places), series)


def rows(
    name: str,
    label: str,
    places: Sequence[str],
    series: Sequence[Series],
    *,
    show: Callable[[float], str],
    top: float | None = None,
    stacked: bool = True,
) -> Picture | None:
    """Lying, for places with long names, the first one uppermost. None: nothing to draw."""
    drawn = _highest(series, stacked=stacked)
    if not drawn:
        return None
    height = 60 + ROW_HEIGHT * len(places) * (1 if stacked else max(1, len(series) - 1))
    kind = pygal.HorizontalStackedBar if stacked else pygal.HorizontalBar
    chart = kind(**_settings(top or drawn, show) | {"height": height})
    upwards = [Series(each.name, list(reversed(each.values))) for each in series]
    labels = [_in_lines(each) for each in reversed(places)]
    # Pygal leaves as much room as the longest label needs, so it is told the longest line of each.
    return _draw(chart, name, label, [max(each, key=len) for each in labels], upwards, labels=labels)


def _highest(series: Sequence[Series], *, stacked: bool) -> float:
    columns = zip(*(each.values for each in series), strict=True)
    sums = [(sum if stacked else max)([value or 0 for value in column]) for column in columns]
    return max(sums, default=0)


def _settings(top: float, show: Callable[[float], str], *, seconds: bool = False) -> dict[str, object]:
    ticks = ticks_to(top, seconds=seconds)
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "style": _STYLE,
        "js": [],
        "show_legend": False,
        "margin": 8,
        "margin_right": 24,
        "truncate_label": -1,
        "range": (0, ticks[-1]),
        "y_labels": [{"label": show(tick), "value": tick} for tick in ticks],
    }


def ticks_to(top: float, *, seconds: bool = False) -> Sequence[int]:
    """Round whole numbers from 0 to at least `top`, in at most five steps of 1, 2 or 5 of some size.

    `seconds`: they are, and round is what is round on a clock.
    """
    decimal = (factor * 10**power for power in itertools.count() for factor in (1, 2, 5))
    steps = itertools.chain(_CLOCK_STEPS_S, (86_400 * each for each in decimal)) if seconds else decimal
    step = next(each for each in steps if top / each <= 5)
    return [step * number for number in range(max(1, math.ceil(top / step)) + 1)]


def _thinned(places: Sequence[str]) -> Sequence[str]:
    """Every so many of the labels, for as many as there is room."""
    every = -(-len(places) // LABELS_MAX)
    return [place if number % every == 0 else "" for number, place in enumerate(places)]


def _in_lines(text: str) -> Sequence[str]:
    """A long label in two lines, and the rest of it left out: the table beside the picture has it whole."""
    return textwrap.wrap(text, LABEL_LENGTH, max_lines=2, placeholder=" …") or [""]


def _draw(
    chart: pygal.graph.graph.Graph,
    name: str,
    label: str,
    places: Sequence[str],
    series: Sequence[Series],
    *,
    labels: Sequence[Sequence[str]] = (),
) -> Picture:
    """`labels` are those of the places in lines, for a chart that lies."""
    chart.x_labels = list(places)
    for each in series:
        chart.add(each.name, list(each.values))
    prefix, is_line = f"picture-{name}", isinstance(chart, pygal.Line)
    root = _cleaned(chart.render_tree())
    root.set("role", "img")
    root.set("aria-label", label)
    root.set("class", "picture")
    _write_labels(root, labels)
    root.insert(0, _patterns(prefix, range(len(series))))
    for number in range(len(series)):
        for group in root.iter():
            if _local(group) == "g" and f"serie-{number}" in group.get("class", "").split():
                _mark(group, prefix, number)
    return Picture(
        _markup(root), [(_swatch(prefix, number, is_line=is_line), each.name) for number, each in enumerate(series)]
    )


def _cleaned(root: ET.Element) -> ET.Element:
    """Without pygal's style sheet, script, comments, tooltips and ids."""
    for parent in list(root.iter()):
        parent.attrib.pop("id", None)
        parent.attrib.pop("style", None)
        for child in list(parent):
            if _local(child) in _UNWANTED or _UNWANTED_GROUPS & set(child.get("class", "").split()):
                parent.remove(child)
    return root


def _write_labels(root: ET.Element, labels: Sequence[Sequence[str]]) -> None:
    """Those of two lines above and below where pygal has put one."""
    axes = (each for each in root.iter() if _local(each) == "g" and each.get("class", "").startswith("axis y"))
    texts = [each for axis in axes for each in axis.iter() if _local(each) == "text"]
    for text, lines in zip(texts, labels, strict=False):
        if len(lines) == 2:
            text.text = None
            for line, down in zip(lines, ("-0.55em", "1.1em"), strict=True):
                ET.SubElement(
                    text, text.tag.removesuffix("text") + "tspan", {"x": text.get("x", "0"), "dy": down}
                ).text = line


def _local(element: ET.Element) -> str:
    """A tag without its namespace; comments have none, and are unwanted."""
    return element.tag.split("}")[-1] if isinstance(element.tag, str) else "script"


def _mark(group: ET.Element, prefix: str, number: int) -> None:
    for shape in group.iter():
        local = _local(shape)
        if local == "rect":
            shape.set("fill", f"url(#{prefix}-{number % PATTERNS})")
        elif local == "path" and (dash := _DASHES[number % len(_DASHES)]):
            shape.set("stroke-dasharray", dash)


def _patterns(prefix: str, numbers: Sequence[int]) -> ET.Element:
    defs = ET.Element("defs")
    for number in numbers[:PATTERNS]:
        tile = ET.SubElement(
            defs,
            "pattern",
            {"id": f"{prefix}-{number}", "width": "8", "height": "8", "patternUnits": "userSpaceOnUse"},
        )
        ET.SubElement(tile, "rect", {"width": "8", "height": "8", "class": f"ground-{number}"})
        if (drawn := _TILES[number]) is not None:
            ET.SubElement(tile, "path", {"d": drawn, "class": f"drawn-{number}"})
    return defs


def _swatch(prefix: str, number: int, *, is_line: bool) -> Markup:
    """A sample of a series, for the legend."""
    sample = ET.Element("svg", {"class": "swatch", "viewBox": "0 0 24 16", "aria-hidden": "true"})
    if is_line:
        line = ET.SubElement(sample, "path", {"d": "M0 8H24", "class": f"line-{number}"})
        line.set("stroke-dasharray", _DASHES[number % len(_DASHES)])
    else:
        box = {"x": "1", "y": "1", "width": "22", "height": "14"}
        ET.SubElement(sample, "rect", {**box, "fill": f"url(#{prefix}-{number % PATTERNS})"})
    return _markup(sample)


def _markup(root: ET.Element) -> Markup:
    return Markup(ET.tostring(root, encoding="unicode"))  # noqa: S704 - an XML writer has escaped it
