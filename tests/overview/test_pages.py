"""The overview as its people see it: figures of their own organiser alone, files, and nothing that a policy refuses."""

from __future__ import annotations

import csv
import io
import re
import threading
from datetime import date
from typing import Any

import pytest

from service.money import Unit
from service.overview import charts
from service.overview.model import monday
from service.overview.tables import UNITS
from tests.browsers import sign_in_as
from tests.debits.pages.desks import words_in
from tests.installations import Installation
from tests.overview.towns import NOW, fill

TABLES = ("decisions", "minutes", "channels", "value", "visits", "first_use", "attention")


async def test_the_page_shows_every_figure_and_carries_no_style_and_no_script(here: Installation) -> None:
    await fill(here)
    page = await (await (await sign_in_as(here, "caseworker")).get("/desk/overview")).text()
    assert page.count('<section class="figure"') == len(TABLES)
    assert page.count('role="img"') >= 4
    assert not re.search(r"<style|\sstyle=|<script|xlink|javascript:", page)
    shown = words_in(page)
    assert "New decisions 7" in shown
    assert "Decisions per week" in shown


async def test_another_organisers_decisions_are_not_in_it(here: Installation) -> None:
    await fill(here, "leppalahti", decisions=9)
    shown = words_in(await (await (await sign_in_as(here, "caseworker")).get("/desk/overview")).text())
    assert "New decisions 0" in shown


@pytest.mark.parametrize("language", ["fi", "sv", "en"])
async def test_an_empty_installation_says_that_there_is_nothing(here: Installation, language: str) -> None:
    browser = await sign_in_as(here, "supervisor", language=language)
    answer = await browser.get("/desk/overview?period=2026&programme=kotipalvelu")
    assert answer.status == 200
    assert "nothing" in await answer.text()
    assert (await browser.get("/desk/overview/region")).status == 200


async def test_each_table_is_a_file_of_plain_figures(here: Installation) -> None:
    await fill(here)
    browser = await sign_in_as(here, "organiser_admin")
    for name in TABLES:
        answer = await browser.get(f"/desk/overview/{name}.csv?period=4w")
        assert answer.status == 200, name
        assert answer.headers["Content-Type"].startswith("text/csv")
        assert "attachment" in answer.headers["Content-Disposition"]
        rows = list(csv.reader(io.StringIO(await answer.text())))
        assert len({len(row) for row in rows}) == 1
    rows = list(csv.DictReader(io.StringIO(await (await browser.get("/desk/overview/decisions.csv?period=4w")).text())))
    assert [row["new"] for row in rows] == ["0", "0", "0", "7"]
    assert re.fullmatch(r"\d{4}-W\d\d", rows[0]["week"])
    value = list(csv.DictReader(io.StringIO(await (await browser.get("/desk/overview/value.csv?period=4w")).text())))
    assert (value[0]["granted"], value[0]["used"], value[0]["expiring"], value[0]["unit"]) == (
        "4200",
        "420",
        "4200",
        "minutes",
    )
    assert (await browser.get("/desk/overview/none.csv")).status == 404


async def test_files_draw_no_picture_and_pages_draw_theirs_in_threads(
    here: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What takes longer than a debit is never done in the loop that serves debits."""
    drawn_in: list[bool] = []
    real = charts._draw

    def draw(*args: Any, **kwargs: Any) -> Any:
        drawn_in.append(threading.current_thread() is threading.main_thread())
        return real(*args, **kwargs)

    monkeypatch.setattr(charts, "_draw", draw)
    await fill(here)
    browser = await sign_in_as(here, "caseworker")
    for name in (*TABLES, "region"):
        assert (await browser.get(f"/desk/overview/{name}.csv")).status == 200
    assert drawn_in == []
    for path in ("/desk/overview", "/desk/overview/region"):
        assert (await browser.get(path)).status == 200
    assert len(drawn_in) >= 4
    assert not any(drawn_in)


async def test_nobody_but_an_organisers_people_sees_it(here: Installation) -> None:
    for role in ("worker", "office", "provider_admin"):
        browser = await sign_in_as(here, role)
        for path in (
            "/desk/overview",
            "/desk/overview/region",
            "/desk/overview/decisions.csv",
            "/desk/overview/region.csv",
        ):
            assert (await browser.get(path)).status == 403, (role, path)


async def test_a_region_of_two_has_no_figures(here: Installation) -> None:
    browser = await sign_in_as(here, "caseworker")
    await fill(here)
    await fill(here, "leppalahti", decisions=50)
    async with here.resources.pool.acquire() as conn:  # as if all of it had been half a year ago
        await conn.execute("SET session_replication_role = replica")
        await conn.execute("UPDATE overview_cells SET week = week - 182, of_week = of_week - 182")
        await conn.execute("SET session_replication_role = origin")
    rows = list(csv.DictReader(io.StringIO(await (await browser.get("/desk/overview/region.csv")).text())))
    assert len(rows) == 16
    assert {row["decisions"] for row in rows} == {""}
    assert {row["visits"] for row in rows} == {""}


def test_every_unit_has_its_word() -> None:
    assert set(UNITS) == {unit.value for unit in Unit}
    assert monday(NOW.date()) == date(2026, 11, 23)
