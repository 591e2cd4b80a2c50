"""Looking at templates on the command line, without a database or settings."""

from __future__ import annotations

import re

import pytest
from typer.testing import CliRunner

from service.channels.commands.template import describe, template_app
from service.channels.kinds import KINDS
from service.channels.sms_text import measure


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(template_app, ["preview", *arguments], env={"COLUMNS": "100"})
    return result.exit_code, result.output


# In all languages they are rendered by test_message_templates.py, without a command each time.
@pytest.mark.parametrize("language", ["fi", "ar"])
def test_every_kind_can_be_looked_at(language: str) -> None:
    for kind in (kind for kind in KINDS if language in KINDS[kind].languages):
        if KINDS[kind].has_sms:
            status, shown = run(kind, language)
            assert status == 0
            assert len(re.findall(r", \d+ left", shown)) == 2
        assert run(kind, language, "--channel", "email")[0] == 0


def test_a_preview_shows_the_text_its_encoding_and_its_parts() -> None:
    status, shown = run("voucher", "ar")
    assert status == 0
    assert "UCS-2 · 2 parts" in shown
    assert "Arabic" in shown
    _, shown = run("voucher", "fi")
    assert "GSM-7 · 1 part ·" in shown
    assert "Palveluseteli" in shown


def test_the_neutral_variant_and_a_sender_that_cannot_receive_can_be_looked_at() -> None:
    _, shown = run("voucher", "fi", "--neutral")
    assert "Palveluseteli" not in shown
    assert "vastaa EI" in run("debit_receipt", "fi")[1]
    assert "vastaa EI" not in run("debit_receipt", "fi", "--one-way")[1]


@pytest.mark.parametrize(
    "arguments", [("nothing", "fi"), ("voucher", "de"), ("reply_help", "fi", "--neutral"), ("reply_charge_done", "ar")]
)
def test_what_there_is_not_is_told_as_a_sentence(arguments: tuple[str, ...]) -> None:
    status, shown = run(*arguments)
    assert status == 2
    assert "Traceback" not in shown


def test_the_room_left_counts_the_parts_that_there_are() -> None:
    assert describe(measure("a" * 156)) == "GSM-7 · 1 part · 156 of 160 septets, 4 left"
    assert describe(measure("a" * 161)) == "GSM-7 · 2 parts · 161 of 306 septets, 145 left"
    assert describe(measure("ж" * 71)) == "UCS-2 · 2 parts · 71 of 134 units, 63 left"
