"""The shape of a key: what was never made is refused before the database."""

from __future__ import annotations

import re
import secrets
import zlib

from hypothesis import given
from hypothesis import strategies as st

from service.providers import keys

KEY = keys.make_key(secrets.randbelow)


def test_a_key_is_a_prefix_then_32_random_and_6_checking_characters() -> None:
    assert re.fullmatch(r"stl_live_[0-9A-Za-z]{38}", KEY)
    assert keys.looks_like_key(KEY)
    assert keys.hint(KEY) == KEY[-4:]
    assert len({keys.make_key(secrets.randbelow) for _ in range(1000)}) == 1000


def test_the_checksum_is_the_crc32_of_what_precedes_it_in_base62() -> None:
    key = keys.make_key(lambda _: 0)
    value = 0
    for character in key[-6:]:
        value = value * 62 + keys.ALPHABET.index(character)
    assert value == zlib.crc32(key[:-6].encode())


@given(st.integers(0, len(KEY) - 1), st.characters())
def test_one_changed_character_is_no_key(at: int, character: str) -> None:
    changed = KEY[:at] + character + KEY[at + 1 :]
    assert keys.looks_like_key(changed) == (changed == KEY)


@given(st.text())
def test_what_people_write_is_no_key(text: str) -> None:
    assert not keys.looks_like_key(text)
    assert not keys.looks_like_key(KEY + text) or not text
    assert not keys.looks_like_key("stl_live_" + text)


def test_the_hash_is_sha256_and_differs_by_key() -> None:
    assert len(keys.hash_key(KEY)) == 32
    assert keys.hash_key(KEY) != keys.hash_key(keys.make_key(secrets.randbelow))
