"""What a form must bring to be taken for ours."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from service.crypto import BlindIndex
from service.guessing.forms import is_from_here, is_token, make_token

NOW = datetime(2026, 11, 21, 23, 59, tzinfo=UTC)
OLD, NEW = ("old", b"o" * 32), ("new", b"n" * 32)


def test_a_token_is_good_for_its_key_for_an_hour_at_least_and_not_for_ever() -> None:
    index, key_id = BlindIndex((OLD,)), uuid4()
    token = make_token(index, key_id, NOW)
    assert is_token(index, key_id, NOW, token)
    assert is_token(index, key_id, NOW + timedelta(hours=1), token)
    assert not is_token(index, key_id, NOW + timedelta(hours=2), token)
    assert not is_token(index, key_id, NOW - timedelta(hours=1), token), "nor before it was made"
    assert not is_token(index, uuid4(), NOW, token)


@pytest.mark.parametrize("token", ["", "00", "zz", "0" * 64, "ä", "\0"])
def test_what_we_did_not_make_is_no_token(token: str) -> None:
    assert not is_token(BlindIndex((OLD,)), uuid4(), NOW, token)


def test_a_token_holds_while_index_keys_rotate() -> None:
    key_id = uuid4()
    token = make_token(BlindIndex((OLD, NEW)), key_id, NOW)
    assert is_token(BlindIndex((NEW, OLD)), key_id, NOW, token)
    assert not is_token(BlindIndex((NEW,)), key_id, NOW, token)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Sec-Fetch-Site": "same-origin", "Origin": "https://seteli.test"}, True),
        ({"Origin": "https://seteli.test"}, True),
        ({"Origin": "http://127.0.0.1:8000"}, True),
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site", "Origin": "https://seteli.test"}, False),
        ({"Sec-Fetch-Site": "none"}, False),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.test"}, False),
        ({"Origin": "https://evil.test"}, False),
        ({"Origin": "https://seteli.test.evil.test"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": ""}, False),
    ],
    ids=str,
)
def test_a_form_comes_from_our_own_page_or_not_at_all(headers: dict[str, str], expected: bool) -> None:
    assert is_from_here(headers, public_url="https://seteli.test", host="127.0.0.1:8000") is expected
