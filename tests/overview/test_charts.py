"""Pictures that a strict policy lets through, readable without colour, with nothing, one point and huge values."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest

from service.overview import charts
from service.overview.charts import Picture, Series, ticks_to


def drawn(picture: Picture | None) -> ET.Element:
    assert picture is not None
    assert not re.search(r"<style|style=|<script|<!--|xlink", picture.svg)
    return ET.fromstring(picture.svg)


def names(root: ET.Element, tag: str) -> list[ET.Element]:
    return [each for each in root.iter() if str(each.tag).endswith(f"}}{tag}")]


@pytest.mark.parametrize("values", [[], [0, 0], [None, None]])
def test_nothing_is_no_picture(values: list[float | None]) -> None:
    places = [str(number) for number in range(len(values))]
    for draw in (charts.bars, charts.lines, charts.rows):
        assert draw("x", "Nothing", places, [Series("a", values)], show=str) is None


def test_one_point_is_drawn_where_it_is() -> None:
    for draw in (charts.bars, charts.lines, charts.rows):
        root = drawn(draw("x", "One", ["40"], [Series("a", [7])], show=str))
        assert "40" in [text.text for text in names(root, "text")]
    assert len(names(drawn(charts.lines("x", "One", ["40"], [Series("a", [7])], show=str)), "circle")) == 1


def test_a_long_label_is_written_in_two_lines_each_in_its_own_place() -> None:
    places = ["Short", "The number is a landline or a service number: those take no text messages"]
    root = drawn(charts.rows("x", "Long", places, [Series("a", [7, 8])], show=str))
    lines = ["The number is a landline or a", "service number: those take …"]
    assert [text.text for text in names(root, "tspan")] == lines
    assert "Short" in [text.text for text in names(root, "text")]


def test_what_is_missing_breaks_the_line_and_is_no_zero() -> None:
    root = drawn(charts.lines("x", "Gap", ["1", "2", "3", "4"], [Series("a", [5, None, 6, 7])], show=str))
    assert len(names(root, "circle")) == 3


@pytest.mark.parametrize("top", [1, 3, 4, 5, 9, 10, 11, 99, 101, 1_999, 20_001, 10**9 + 1, 10**12])
def test_ticks_are_few_whole_and_reach_the_top(top: int) -> None:
    ticks = ticks_to(top)
    assert ticks[0] == 0
    assert ticks[-1] >= top
    assert ticks[-2] < top
    assert 2 <= len(ticks) <= 6
    assert all(isinstance(tick, int) for tick in ticks)


@pytest.mark.parametrize(
    ("top", "ticks"),
    [
        (9, [0, 2, 4, 6, 8, 10]),
        (719, [0, 300, 600, 900]),
        (7201, [0, 1800, 3600, 5400, 7200, 9000]),
        (90_000, [0, 43_200, 86_400, 129_600]),
    ],
)
def test_seconds_have_ticks_that_are_round_on_a_clock(top: int, ticks: list[int]) -> None:
    assert ticks_to(top, seconds=True) == ticks


def test_huge_values_stay_within_the_picture() -> None:
    root = drawn(charts.bars("x", "Huge", ["1", "2"], [Series("a", [10**12, 1]), Series("b", [10**12, 0])], show=str))
    boxes = [box for box in names(root, "rect") if "reactive" in box.get("class", "")]
    assert len(boxes) == 4
    assert all(float(box.get("y", "0")) >= 0 for box in boxes)


def test_series_differ_by_pattern_and_dash_and_the_legend_shows_which() -> None:
    picture = charts.bars("x", "Two", ["1"], [Series("a", [1]), Series("b", [2])], show=str)
    fills = {box.get("fill") for box in names(drawn(picture), "rect") if "reactive" in box.get("class", "")}
    assert fills == {"url(#picture-x-0)", "url(#picture-x-1)"}
    assert picture is not None
    assert [(f"picture-x-{number}" in swatch, name) for number, (swatch, name) in enumerate(picture.legend)] == [
        (True, "a"),
        (True, "b"),
    ]
    lines = charts.lines("y", "Two", ["1", "2"], [Series("a", [1, 2]), Series("b", [2, 3])], show=str)
    dashes = {
        path.get("stroke-dasharray") for path in names(drawn(lines), "path") if "reactive" in path.get("class", "")
    }
    assert dashes == {None, "7 4"}


def test_a_name_is_text_whatever_it_says() -> None:
    evil = '"><script>alert(1)</script>&'
    picture = charts.bars("x", evil, [evil, "2"], [Series(evil, [1, 2])], show=lambda value: f"{value}{evil}")
    root = drawn(picture)
    assert root.get("aria-label") == evil
    assert root.get("role") == "img"


def test_many_weeks_have_few_labels() -> None:
    weeks = [str(number) for number in range(1, 54)]
    root = drawn(charts.bars("x", "Year", weeks, [Series("a", [1.0] * 53)], show=str))
    assert 5 <= len([text for text in names(root, "text") if text.text in weeks[7:]]) <= 8
