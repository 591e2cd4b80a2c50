"""Every template of every kind in every language: its fields, its parts, its direction, and that it is there."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping

import pytest
from jinja2 import Environment, meta

from service.channels.gateway import EmailContent
from service.channels.kinds import (
    KINDS,
    NEUTRAL,
    PROGRAMME_NAME_MAX,
    REPLY_WORDS,
)
from service.channels.languages import MESSAGE_LANGUAGES, SERVED, reply_word
from service.channels.previews import longest_values, typical_values
from service.channels.rendering import FOLDER, PLAIN_MAIL, Templates, fits, in_reading_order, shorten
from service.channels.sms_text import Encoding, measure

RECEIVING, ONE_WAY = Templates(can_receive=True), Templates(can_receive=False)
GSM_LANGUAGES = ("fi", "sv", "en", "so", "et")
FILES = sorted(path for path in FOLDER.glob("*/*") if path.is_file())
RIGHT_TO_LEFT = [language for language in MESSAGE_LANGUAGES if SERVED[language].direction == "rtl"]


def variants(language: str) -> Iterator[tuple[str, bool]]:
    """Each kind that families get as a text in this language, and whether neutral; a loop of a test, not a thousand
    tests: see docs/tests.md.
    """
    for kind, about in KINDS.items():
        if about.has_sms and language in about.languages:
            yield from ((kind, neutral) for neutral in ([False, True] if about.has_neutral else [False]))


def cases(kind: str, language: str, *, neutral: bool) -> Iterator[tuple[Templates, Mapping[str, str], bool]]:
    """Usual and longest values, and the longest in letters beyond GSM-7; the last says whether GSM-7 would do."""
    longest = longest_values(kind, language)
    foreign = {"programme": "Õ" * PROGRAMME_NAME_MAX, "provider": "Š" * 80}
    beyond = {name: foreign.get(name, value) for name, value in longest.items()}
    no_cap = {name: "" if name == "weekly" else value for name, value in longest.items()}
    extra = {NEUTRAL: "yes"} if neutral else {}
    for templates in (RECEIVING, ONE_WAY):
        for values in (typical_values(kind, language), longest, no_cap):
            yield templates, {**values, **extra}, True
        yield templates, {**beyond, **extra}, beyond == longest


@pytest.mark.parametrize("language", MESSAGE_LANGUAGES)
def test_a_text_fits_its_parts_with_the_longest_values_and_loses_no_letter(language: str) -> None:
    for kind, neutral in variants(language):
        for templates, values, gsm in cases(kind, language, neutral=neutral):
            text = templates.render_sms(kind, language, values)
            size = measure(text)
            shown = f"{kind}, neutral: {neutral}, {size}: {text}"
            assert fits(text), shown
            assert size.parts <= 2, shown
            if language in GSM_LANGUAGES and gsm:
                assert (size.encoding, size.parts) == (Encoding.GSM_7, 1), shown
            assert text == unicodedata.normalize("NFC", text.strip()), shown
            assert not re.search(r"  |\{|�|\.\.(?!\d{4}:)", text), shown


@pytest.mark.parametrize("language", MESSAGE_LANGUAGES)
def test_a_usual_text_says_all_that_its_kind_is_about(language: str) -> None:
    for kind, neutral in variants(language):
        values = typical_values(kind, language)
        text = RECEIVING.render_sms(kind, language, {**values, **({NEUTRAL: "yes"} if neutral else {})})
        for name in told_in(kind, neutral=neutral):
            shown = values[name].rstrip(".").replace("\u00a0", " ")
            assert shown in text.replace("\u00a0", " "), (kind, neutral, name)


def told_in(kind: str, *, neutral: bool) -> tuple[str, ...]:
    """The fields whose values a text of this kind must show."""
    told = {
        "voucher": ("code", "amount", "weekly", "valid_to", "help_phone"),
        "debit_receipt": ("amount", "service_date", "left", "help_phone"),
        "debit_receipts_day": ("count", "amount", "left", "day", "help_phone", "last_four"),
        "reminder_unused": ("left", "valid_to", "help_phone"),
        "reminder_expiring": ("left", "valid_to", "help_phone", "last_four"),
        "reply_balance": ("lines", "help_phone"),
        "reply_dispute": ("amount", "service_date", "help_phone"),
        "reply_charge_done": ("last_four", "amount", "service_date", "family_pays", "left"),
        "reply_charge_question": ("last_four", "amount", "service_date", "family_pays", "number"),
        "reply_charge_refused": ("last_four", "reason", "next_step"),
    }.get(kind, ("help_phone",))
    named = () if neutral else tuple({"programme", "provider", "directory"} & KINDS[kind].fields)
    if kind == "reminder_expiring" and not neutral:
        told = tuple(name for name in told if name != "last_four")
    return (*told, *named)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_its_texts_in_every_language(kind: str) -> None:
    assert RECEIVING.languages_of(kind) == set(KINDS[kind].languages if KINDS[kind].has_sms else ())
    for language in KINDS[kind].languages:
        expected = {"sms.txt"} if KINDS[kind].has_sms else set()
        if KINDS[kind].has_email:
            expected.add("email.txt")
        if KINDS[kind].has_neutral:
            expected |= {f"neutral.{ending}" for ending in tuple(expected)}
        found = {path.name.removeprefix(f"{language}.") for path in (FOLDER / kind).glob(f"{language}.*")}
        assert found == expected
    assert RECEIVING.languages_of("nothing") == frozenset()


def test_there_is_no_template_of_an_unknown_kind_or_language() -> None:
    assert {path.parent.name for path in FILES} == {*KINDS, PLAIN_MAIL}
    assert {path.name.split(".")[0] for path in FILES} == set(MESSAGE_LANGUAGES)


def test_a_template_says_whether_it_was_reviewed_and_names_only_fields_of_its_kind() -> None:
    environment = Environment(autoescape=True)
    environment.filters["shorten"] = str
    for path in FILES:
        source = path.read_text("utf-8")
        assert re.match(r"\{# reviewed by a native speaker: (no|yes, .+) #\}\n", source), path
        assert source == unicodedata.normalize("NFC", source), path
        kind = path.parent.name
        known = {"text"} if kind == PLAIN_MAIL else KINDS[kind].all_fields | REPLY_WORDS.keys()
        named = meta.find_undeclared_variables(environment.parse(source))
        assert named <= known | {"picture"}, path
        if ".neutral." in path.name:
            assert not named & {"programme", "provider", "directory"}, path
        if path.name.endswith("email.txt"):
            assert not re.search(r"[<>&]", words(source)), f"the words of a mail are also its HTML: {path}"


def test_no_wording_in_a_gsm_language_has_a_letter_that_would_halve_its_room() -> None:
    for path in FILES:
        if path.name.endswith("sms.txt") and path.name.split(".")[0] in GSM_LANGUAGES:
            assert measure(words(path.read_text("utf-8"))).encoding is Encoding.GSM_7, path


def words(source: str) -> str:
    """A template without what Jinja takes out."""
    return re.sub(r"\{[{%#].*?[}%#]\}", "", source)


SERVICE_WORDS = re.compile(
    r"palveluseteli|servicesedel|voucher|bálvalusseaddel|ваучер|قسيمة|قسيمت|foojar|osak", re.IGNORECASE
)


@pytest.mark.parametrize("language", MESSAGE_LANGUAGES)
def test_a_neutral_message_names_neither_the_service_nor_who_provides_it(language: str) -> None:
    for kind in (kind for kind in KINDS if KINDS[kind].has_neutral):
        values = typical_values(kind, language)
        neutral = {**values, NEUTRAL: "yes"}
        mail = RECEIVING.render_email(kind, language, neutral)
        for said in (RECEIVING.render_sms(kind, language, neutral), mail.subject, mail.text, mail.html):
            for name in ("programme", "provider", "directory"):
                assert values.get(name, "\0") not in said, kind
            assert not SERVICE_WORDS.search(said), (kind, said)
        plain = RECEIVING.render_sms(kind, language, values)
        assert values.get("programme", values.get("provider", "")).replace(" ", "") in plain.replace(" ", ""), kind


@pytest.mark.parametrize("language", MESSAGE_LANGUAGES)
def test_a_mail_is_in_its_language_and_direction_and_loads_nothing(language: str) -> None:
    for kind in (kind for kind in KINDS if language in KINDS[kind].languages):
        assert_mail(kind, language)


def assert_mail(kind: str, language: str) -> None:
    values = typical_values(kind, language)
    mail = RECEIVING.render_email(kind, language, values)
    direction = SERVED[language].direction
    assert mail.html.count(f'lang="{language}" dir="{direction}"') == 2, kind
    assert not re.search(r'<link|<script|@import|url\(|src="(?!cid:)', mail.html), kind
    assert mail.subject, kind
    assert values.get("code", "\0") not in mail.subject, kind
    for name in ("help_phone", "code", "directory"):
        if name in values and KINDS[kind].has_email:
            assert re.search(rf'<\w+ [^>]*dir="ltr"[^>]*>{re.escape(values[name])}<', mail.html), (kind, name)
    assert "\n\n\n" not in mail.text, kind
    assert_balanced(kind, mail)


def assert_balanced(kind: str, mail: EmailContent) -> None:
    for tag in ("p", "strong", "bdi", "a", "ol", "li", "h1", "h2", "main", "html", "body"):
        assert len(re.findall(rf"<{tag}[ >]", mail.html)) == mail.html.count(f"</{tag}>"), (kind, tag)


@pytest.mark.parametrize("language", RIGHT_TO_LEFT)
def test_numbers_keep_their_order_in_right_to_left_plain_text(language: str) -> None:
    for kind, neutral in variants(language):
        values = {**typical_values(kind, language), "help_phone": "+358 14 555 010"}
        values |= {NEUTRAL: "yes"} if neutral else {}
        for text in (RECEIVING.render_sms(kind, language, values), RECEIVING.render_email(kind, language, values).text):
            assert not re.search(r"\d \d", text), f"a space between digits swaps them in a right-to-left line: {text}"
            assert not re.search(r"(?<!\u200e)\+\d", text), kind
            assert not re.search(r"[٠-٩۰-۹]", text), f"digits as on the provider's keypad: {text}"
            if kind == "voucher":
                assert "4827\u00a00315\u00a09268" in text


@pytest.mark.parametrize("language", RIGHT_TO_LEFT)
def test_a_right_to_left_text_does_not_begin_with_a_latin_letter(language: str) -> None:
    """A phone takes the direction of a paragraph from its first letter (UAX #9, P2)."""
    for kind, neutral in variants(language):
        for templates, values, _ in cases(kind, language, neutral=neutral):
            named = {**values, **({"programme": "Lapsiperheiden kotipalvelu"} if "programme" in values else {})}
            text, mail = templates.render_sms(kind, language, named), templates.render_email(kind, language, named).text
            for line in f"{text}\n{mail}".split("\n"):
                strong = [c for c in line if unicodedata.bidirectional(c) in ("L", "R", "AL") and c != "\u200e"]
                begins_well = not strong or unicodedata.bidirectional(strong[0]) == "AL"
                assert begins_well or line == values.get("organiser"), (kind, line)


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("4827 0315 9268", "4827\u00a00315\u00a09268"),
        ("+358 14 555", "\u200e+358\u00a014\u00a0555"),
        ("014-555 0101", "\u200e014-555\u00a00101"),
        ("-2.50 يورو", "\u200e-2.50 يورو"),
        ("31/3/2028", "31/3/2028"),
        ("12 ساعة و30 دقيقة", "12 ساعة و30 دقيقة"),
    ],
)
def test_only_what_would_change_places_is_marked(value: str, kept: str) -> None:
    assert in_reading_order({"x": value}, "ar") == {"x": kept}
    assert in_reading_order({"x": value}, "ru") == {"x": value}


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Apu Oy", "Apu Oy"),
        ("Perhepalvelut ja Kotiapu Käpylintu Oy", "Perhepalvelut ja Kotiapu."),
        ("Perhepalvelut & Kotiapu Käpylintu", "Perhepalvelut & Kotiapu."),
        ("Ä" * 31, "Ä" * 29 + "."),
        ("Ä" * 30, "Ä" * 30),
    ],
)
def test_a_long_name_is_cut_after_a_whole_word(name: str, shown: str) -> None:
    assert shorten(name) == shown


def test_reply_words_are_offered_only_where_families_can_answer() -> None:
    for language in MESSAGE_LANGUAGES:
        values = typical_values("debit_receipt", language)
        word = reply_word(language, "dispute")
        assert re.search(rf"\b{word}\b", RECEIVING.render_sms("debit_receipt", language, values))
        assert not re.search(rf"\b{word}\b", ONE_WAY.render_sms("debit_receipt", language, values))


def test_what_the_caller_says_of_the_reply_words_goes_first() -> None:
    values = {**typical_values("debit_receipt", "fi"), "dispute_word": ""}
    assert "vastaa" not in RECEIVING.render_sms("debit_receipt", "fi", values)


def test_the_balance_word_goes_first_when_the_text_would_need_a_second_part() -> None:
    values = typical_values("voucher", "fi") | {"directory": "eka.fi/ps", "help_phone": "014 266 3501"}
    text = RECEIVING.render_sms("voucher", "fi", values)
    assert text == (
        "Palveluseteli 4827 0315 9268. Kotipalvelu 12 t, 2 krt/vko, 31.3. asti. Näytä koodi tuottajalle. "
        "Tuottajat: eka.fi/ps. Saldo: vastaa SALDO. Apua 014 266 3501"
    )
    longer = RECEIVING.render_sms("voucher", "fi", values | {"directory": "kuusiranta.example/ps"})
    assert "SALDO" not in longer
    assert "Näytä koodi tuottajalle" in longer
    assert measure(longer).parts == 1
