"""What a provider may tell of itself, and what a search's address may hold: no server, no database."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.directory.model import DESCRIPTION_MAX, Profile, ProfileUnfit, check_profile, what_differs
from service.directory.search import Place, Search, address, read_cursor, read_search, write_cursor

TOLD = Profile(
    {"fi": "Autamme.", "en": ""},
    areas=("Kuusiranta", "Järvi-Leppälahti", "Uusikaupunki (saaristo)", "Kuusiranta"),
    hours={"evening": "17:00-24:00", "weekday": ""},
    languages=("sv", "fi", "fse"),
    phone="+358 14 555 0101",
    email="Info@Öljy.example",
    web="https://Öljy.example/perheet/?a=1",
    takes_new=False,
)


def test_a_profile_is_kept_in_one_form() -> None:
    kept = check_profile(TOLD)
    assert kept == Profile(
        {"fi": "Autamme."},
        areas=("Kuusiranta", "Järvi-Leppälahti", "Uusikaupunki (saaristo)"),
        hours={"weekday": "", "evening": "17:00-24:00"},
        languages=("fi", "sv", "fse"),
        phone="+358 14 555 0101",
        email="Info@xn--ljy-rna.example",
        web="https://xn--ljy-rna.example/perheet?a=1",
        takes_new=False,
    )
    assert check_profile(kept) == kept
    assert what_differs(kept, replace(kept, phone=None, takes_new=True)) == ["phone", "takes_new"]
    empty = Profile({"sv": ""}, areas=(), hours={}, languages=(), phone="", email="", web="")
    assert check_profile(empty) == Profile({})


@pytest.mark.parametrize(
    "web",
    [
        "http://apu.example",
        "javascript:alert(1)",
        "https://user:secret@apu.example",
        "https://apu.example:8443/",
        'https://apu.example/"onmouseover="alert(1)',
        "https://apu.example/<script>",
        "https://apu.example/a b",
        "https://127.0.0.1/",
        "https://localhost/",
        "https://apu.example\\@evil.example",
        "https://[::1]/",
        "https:///",
        "data:text/html,x",
        "https://apu.example/" + "x" * 200,
        "https://apu.example/\u202eexample",
    ],
)
def test_a_web_address_leads_to_a_named_host_by_https_and_nowhere_else(web: str) -> None:
    with pytest.raises(ProfileUnfit) as refused:
        check_profile(Profile({}, web=web))
    assert refused.value.details == {"field": "web"}


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"descriptions": {"de": "x"}}, "description_de"),
        ({"descriptions": {"fi": "x" * (DESCRIPTION_MAX + 1)}}, "description_fi"),
        ({"descriptions": {"sv": "a\u202eb"}}, "description_sv"),
        ({"descriptions": {"en": "Call 131052-308T"}}, "description_en"),
        ({"areas": ("<b>",)}, "areas"),
        ({"areas": ("",)}, "areas"),
        ({"areas": ("x" * 41,)}, "areas"),
        ({"areas": tuple(f"Kunta{'a' * n}" for n in range(61))}, "areas"),
        ({"hours": {"night": ""}}, "hours"),
        ({"hours": {"weekday": "16:00-08:00"}}, "hours"),
        ({"hours": {"weekday": "08:60-09:00"}}, "hours"),
        ({"hours": {"weekday": "08:00-24:01"}}, "hours"),
        ({"hours": {"weekday": "8-16"}}, "hours"),
        ({"languages": ("xx",)}, "languages"),
        ({"phone": "call me"}, "phone"),
        ({"phone": "014"}, "phone"),
        ({"phone": "014 555 0101\n"}, "phone"),
        ({"email": "nobody"}, "email"),
    ],
)
def test_what_is_not_as_it_must_be_is_named(changed: dict[str, object], field: str) -> None:
    with pytest.raises(ProfileUnfit) as refused:
        check_profile(replace(TOLD, **changed))  # type: ignore[arg-type]
    assert refused.value.details == {"field": field}


def test_a_description_is_shown_in_another_language_rather_than_not_at_all() -> None:
    told = Profile({"sv": "Vi hjälper.", "en": "We help."})
    assert told.description_in("en") == ("en", "We help.")
    assert told.description_in("fi") == ("sv", "Vi hjälper.")
    assert Profile({}).description_in("fi") is None


@given(st.dictionaries(st.sampled_from(["name", "area", "when", "language", "new", "sort", "x"]), st.text()))
def test_a_search_is_read_from_anything_and_read_the_same_from_its_own_address(query: dict[str, str]) -> None:
    search = read_search(query)
    assert read_search(search.query) == search
    assert len(search.name) <= 60


def test_an_address_has_what_is_not_as_usual() -> None:
    search = read_search({"name": "  Apu   &  Co ", "when": "evening", "sort": "price", "language": "klingon"})
    assert search == Search(name="Apu & Co", when="evening", sort="price")
    assert address("/directory", organiser="a", **search.query) == (
        "/directory?organiser=a&name=Apu+%26+Co&when=evening&sort=price"
    )
    assert address("/directory", organiser="") == "/directory"
    assert not Search(sort="name").is_narrowed
    assert Search(takes_new=True).is_narrowed


def test_a_cursor_comes_back_as_it_went() -> None:
    place = Place(0, 3600, "yritys }}| oy", "9000101-4")
    assert read_cursor(write_cursor(place)) == place


@given(st.one_of(st.text(), st.recursive(st.none() | st.integers() | st.text(), st.lists), st.just("[[[[")))
def test_no_text_that_is_no_cursor_is_taken_for_one(content: object) -> None:
    texts = [str(content), base64.urlsafe_b64encode(json.dumps(content).encode()).decode()]
    assert [read_cursor(text) for text in texts] == [None, None]
    for told in ([2**70, 0, "", ""], [0, 0, "\0", "x"], [0, 0, "\ud800", "x"], [0, 0, 0, 0], ["0", 0, "", ""]):
        assert read_cursor(base64.urlsafe_b64encode(json.dumps(told).encode()).decode()) is None
