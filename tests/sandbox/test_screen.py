"""How the story is drawn: readable where there is neither colour nor a wide terminal."""

from __future__ import annotations

import io

import pytest
import qrcode
import zxingcpp
from PIL import Image
from rich.console import Console

from service.channels.rendering import qr_png
from service.sandbox.screen import Screen, draw_qr

TEXT = (
    "Palveluseteli 4827 0315 9268. Kotipalvelu 12 t, 2 krt/vko, 31.3. asti."
    " Näytä koodi tuottajalle. Tuottajat: kuusiranta.example/ps. Apua 014 555 0101"
)


def drawn_phone(body: str) -> str:
    output = io.StringIO()
    screen = Screen(Console(file=output, width=80))
    screen.phone(sender="+358457300100", body=body, facts=["parts  1"])
    return output.getvalue()


def test_a_phone_shows_every_word_of_the_text_and_its_sender() -> None:
    display = [line.split("│")[2].strip() for line in drawn_phone(TEXT).splitlines() if line.count("│") == 4]
    assert " ".join(display) == f"✉ +358457300100  {TEXT}"


def test_where_there_is_no_terminal_there_are_no_escape_sequences() -> None:
    assert "\x1b" not in drawn_phone(TEXT)


def test_square_brackets_in_a_text_are_shown_as_they_are() -> None:
    assert "[bold]hei[/bold]" in drawn_phone("[bold]hei[/bold]")


@pytest.mark.parametrize("text", ["x", "http://127.0.0.1:20333/p#482703159268", "y" * 300])
def test_a_drawn_qr_code_is_the_one_in_the_picture(text: str) -> None:
    lines = draw_qr(qr_png(text))
    rows = [half for line in lines for half in _halves(line)]
    picture = Image.new("L", (len(rows[0]), len(rows)))
    picture.putdata([0 if dark else 255 for row in rows for dark in row])
    (found,) = zxingcpp.read_barcodes(picture.resize((picture.width * 8, picture.height * 8), Image.Resampling.NEAREST))
    assert found.text == text


def test_a_picture_of_another_module_size_is_drawn_the_same() -> None:
    pictures = []
    for box_size in (1, 7):
        code = qrcode.QRCode(box_size=box_size, border=4)
        code.add_data("482703159268")
        file = io.BytesIO()
        code.make_image().save(file)
        pictures.append(draw_qr(file.getvalue()))
    assert pictures[0] == pictures[1]


def test_an_empty_picture_is_no_error() -> None:
    file = io.BytesIO()
    Image.new("L", (5, 5), 255).save(file, "PNG")
    assert draw_qr(file.getvalue()) == [" "]


def _halves(line: str) -> tuple[list[bool], list[bool]]:
    return [each in "▀█" for each in line], [each in "▄█" for each in line]
