"""Phone numbers and addresses as people type them."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.channels import contacts
from service.channels.contacts import EmailInvalid, PhoneNotMobile, hint_email, hint_phone, parse_email, parse_mobile

FINLAND = ("FI",)


@pytest.mark.parametrize(
    "text",
    ["0401234567", "040 123 4567", "+358 40 1234567", "00358401234567", "(040) 123-4567", "+358 (0)40 1234567",
     "040\u00a0123\u202f4567", " 040-1234567 ", "040.123.4567", "040–1234567"],
)  # fmt: skip
def test_a_finnish_mobile_is_read_however_it_is_written(text: str) -> None:
    assert parse_mobile(text, FINLAND) == "+358401234567"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not_a_number"),
        ("040", "not_a_number"),
        ("04O1234567", "not_a_number"),
        ("0401234567 ext. 5", "not_a_number"),
        ("tel:+358401234567", "not_a_number"),
        ("+358401234567\x00", "not_a_number"),
        ("040123456\n7", "not_a_number"),
        ("٠٤٠١٢٣٤٥٦٧", "not_a_number"),
        ("9" * 500, "not_a_number"),
        ("+" * 30, "not_a_number"),
        ("0491234567", "not_a_number"),
        ("09 1234567", "not_mobile"),
        ("018 12345", "country_not_served"),  # Åland is a region of its own
        ("010 123456", "not_mobile"),
        ("0600 12345", "not_mobile"),
        ("0800 123456", "not_mobile"),
        ("+46 70 123 45 67", "country_not_served"),
    ],
)
def test_what_cannot_get_a_text_is_refused_with_its_reason(text: str, reason: str) -> None:
    with pytest.raises(PhoneNotMobile) as refusal:
        parse_mobile(text, FINLAND)
    assert refusal.value.details == {"reason": reason}
    assert not text or text not in repr(refusal.value)


@pytest.mark.parametrize("prefix", ["040", "041", "042", "043", "044", "045", "046", "0457", "050"])
def test_every_finnish_mobile_prefix_is_accepted(prefix: str) -> None:
    assert parse_mobile(f"{prefix}1234567"[:11], FINLAND).startswith(f"+358{prefix[1:]}")


def test_a_country_on_the_list_is_served() -> None:
    assert parse_mobile("+46 70 123 45 67", ("FI", "SE")) == "+46701234567"
    assert parse_mobile("070-123 45 67", ("SE", "FI")) == "+46701234567"


@given(
    prefix=st.sampled_from(["+358", "00358", "0", "", "+3580", "00", "358"]),
    number=st.one_of(
        st.text("0123456789", min_size=0, max_size=12),
        st.tuples(
            st.sampled_from(["4", "5", "40", "45", "457", "50", "46", "47", "49"]), st.text("0123456789", max_size=9)
        ).map("".join),
    ),
    separators=st.lists(st.tuples(st.integers(0, 14), st.sampled_from(" -")), max_size=4),
    countries=st.sampled_from([("FI",), ("FI", "SE"), ("SE", "FI"), ("SE",)]),
)
@example(prefix="0", number="401234", separators=[], countries=FINLAND)
@example(prefix="0", number="4012345678", separators=[], countries=FINLAND)
def test_the_fast_path_answers_as_phonenumbers_does(
    prefix: str, number: str, separators: list[tuple[int, str]], countries: tuple[str, ...]
) -> None:
    text = prefix + number
    for place, separator in separators:
        text = text[:place] + separator + text[place:]

    def outcome(parse: object) -> object:
        try:
            return parse(text.strip(), countries)  # type: ignore[operator]
        except PhoneNotMobile as refusal:
            return refusal.details

    assert outcome(parse_mobile) == outcome(contacts._parse_any)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("maija@example.fi", "maija@example.fi"),
        (" Maija.Meikalainen+seteli@Example.FI ", "Maija.Meikalainen+seteli@example.fi"),
        ("maija@äiti.fi", "maija@xn--iti-pla.fi"),
        ("o'brien@a-b.example", "o'brien@a-b.example"),
        ("a" * 64 + "@example.fi", "a" * 64 + "@example.fi"),
    ],
)
def test_an_address_is_read(text: str, address: str) -> None:
    assert parse_email(text) == address
    assert parse_email(address) == address


@pytest.mark.parametrize(
    "text",
    ["", "maija", "@example.fi", "maija@", "maija@localhost", "maija@@example.fi", "a@b@example.fi", ".a@example.fi",
     "a.@example.fi", "a..b@example.fi", "maija@example..fi", "maija@.fi", "maija@example.fi.", "maija@-a.fi",
     "maija@exa mple.fi", "ma ija@example.fi", "maija@example.fi\r\nBcc: x@example.fi", "maija@example.fi\n",
     "ma\x00ija@example.fi", "maija@exam\x00ple.fi", "mäijä@example.fi", "maija@127.0.0.1", "maija@[127.0.0.1]",
     '"a b"@example.fi', "<maija@example.fi>", "Maija <maija@example.fi>", "a" * 65 + "@example.fi",
     "a@" + "b" * 64 + ".fi", "a@" + "b." * 130 + "fi", "maija@example.123", "a,b@example.fi", "maija@exa_mple.fi"],
)  # fmt: skip
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(EmailInvalid) as refusal:
        parse_email(text)
    assert refusal.value.details == {}


@given(st.text(max_size=300))
def test_whatever_is_accepted_is_safe_in_a_mail_header(text: str) -> None:
    try:
        address = parse_email(text)
    except EmailInvalid:
        return
    assert address.isascii()
    assert address.isprintable()
    assert len(address) <= 254
    assert address.count("@") == 1


def test_hints_tell_little() -> None:
    assert hint_phone("+358401234567") == "… 567"
    assert hint_email("maija@example.fi") == "m…@…"
