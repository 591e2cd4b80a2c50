"""What families read: one SMS whatever the values, whole mails, and no gaps."""

import io
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
import zxingcpp
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Picture

from service.channels.gateway import Image
from service.channels.rendering import TemplateFault, Templates, qr_png
from service.channels.sms_text import measure

LANGUAGES = ("fi", "sv", "en")
TEMPLATES = Templates()

FIELDS = {
    "programme": "Kotipalvelu",
    "amount": "12 t",
    "weekly": "2 krt/vko",
    "valid_to": "31.3.",
    "organiser": "Esimerkin hyvinvointialue",
    "help_phone": "014 266 3501",
    "directory": "eka.fi/ps",
    "code": "4827 0315 9268",
    "code_digits": "482703159268",
}
MAIL_FIELDS = FIELDS | {"link": "https://seteli.test/f/x"}


@pytest.mark.parametrize("language", LANGUAGES)
@given(data=st.data())
@settings(max_examples=60)
def test_every_text_is_one_sms_and_says_everything(language: str, data: st.DataObject) -> None:
    letters = "abcXYZåäöÅÄÖ -0"
    sizes = {"programme": 26, "amount": 10, "weekly": 10, "valid_to": 10, "directory": 30, "help_phone": 16}
    fields = FIELDS | {
        name: data.draw(st.text(letters, min_size=1, max_size=size).map(lambda t: t.strip() or "x"))
        for name, size in sizes.items()
    }
    text = TEMPLATES.render_sms("voucher", language, fields)
    assert measure(text).parts == 1
    assert "\n" not in text
    for name, value in fields.items():
        if name not in ("organiser", "code_digits"):
            assert value in text, name


def test_the_usual_text_reads_as_agreed() -> None:
    assert TEMPLATES.render_sms("voucher", "fi", FIELDS) == (
        "Palveluseteli 4827 0315 9268. Kotipalvelu 12 t, 2 krt/vko, 31.3. asti. "
        "Näytä koodi tuottajalle. Tuottajat: eka.fi/ps. Apua 014 266 3501"
    )
    assert TEMPLATES.render_sms("voucher", "sv", FIELDS | {"programme": "Hemservice", "weekly": ""}) == (
        "Servicesedel 4827 0315 9268. Hemservice 12 t, till 31.3. "
        "Visa koden för producenten. Producenter: eka.fi/ps. Hjälp 014 266 3501"
    )


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("missing", sorted(FIELDS.keys() - {"code_digits", "organiser"}))
def test_a_missing_field_is_an_error_and_not_a_gap(language: str, missing: str) -> None:
    fields = {name: value for name, value in FIELDS.items() if name != missing}
    with pytest.raises(TemplateFault) as fault:
        TEMPLATES.render_sms("voucher", language, fields)
    assert missing in str(fault.value)
    assert FIELDS["code"] not in str(fault.value)
    with pytest.raises(TemplateFault):
        TEMPLATES.render_email("voucher", language, fields)


def test_a_missing_template_is_an_error() -> None:
    with pytest.raises(TemplateFault):
        TEMPLATES.render_sms("voucher", "xx", FIELDS)


def test_a_mail_without_a_subject_line_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "kind").mkdir()
    (tmp_path / "kind" / "fi.email.txt").write_text("Hei!\n")
    with pytest.raises(TemplateFault):
        Templates(tmp_path).render_email("kind", "fi", {})


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_mail_says_everything_in_text_and_in_html(language: str) -> None:
    mail = TEMPLATES.render_email("voucher", language, MAIL_FIELDS)
    html = _Reader()
    html.feed(mail.html)
    assert mail.subject
    assert FIELDS["code"] not in mail.subject
    for name, value in MAIL_FIELDS.items():
        if name != "code_digits":
            assert value in mail.text, name
            assert value in html.words, name
    assert not mail.text.startswith("Subject")
    assert ("html", {"lang": language, "dir": "ltr"}) in html.tags
    pictures = [attributes for tag, attributes in html.tags if tag == "img"]
    assert [picture["src"] for picture in pictures] == ["cid:qr"]
    assert all(picture["alt"] for picture in pictures)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_mail_loads_nothing_from_outside(language: str) -> None:
    mail = TEMPLATES.render_email("voucher", language, MAIL_FIELDS, images=(Image("qr", "image/png", b""),))
    assert re.findall(r'src="(?!cid:)', mail.html) == []
    assert not re.search(r"<link|<script|@import|url\(", mail.html)


def test_values_are_escaped_in_html_and_plain_in_text() -> None:
    mail = TEMPLATES.render_email("voucher", "fi", MAIL_FIELDS | {"programme": "Apu & <tuki>"})
    assert "Apu & <tuki>" in mail.text
    assert "Apu &amp; &lt;tuki&gt;" in mail.html


def test_a_subject_is_one_line_whatever_the_values(tmp_path: Path) -> None:
    (tmp_path / "kind").mkdir()
    (tmp_path / "kind" / "fi.email.txt").write_text("Subject: Hei {{ name }}\nteksti\n")
    (tmp_path / "layout.email.html").write_text("<title>{{ title }}</title>{{ content }}")
    mail = Templates(tmp_path).render_email("kind", "fi", {"name": "a\r b"})
    assert mail.subject == "Hei a b"


@given(st.text("0123456789", min_size=12, max_size=16))
@settings(max_examples=20, deadline=None)
def test_a_phone_reads_from_the_picture_what_was_put_in(digits: str) -> None:
    text = f"https://palveluseteli.hyvinvointialue.example/provider#{digits}"
    picture = Picture.open(io.BytesIO(qr_png(text)))
    assert [found.text for found in zxingcpp.read_barcodes(picture)] == [text]
    assert picture.width == picture.height >= 200
