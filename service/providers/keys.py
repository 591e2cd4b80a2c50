"""The shape of an API key: `stl_live_` + 32 random base62 characters + 6 of checksum. Pure.

The prefix lets a scanner find a key that was committed or pasted somewhere; the checksum lets the edge refuse a typo
or an invention without asking the database. Neither is a defence against guessing: the 190 random bits are.
Only the SHA-256 is stored. A slow hash would add nothing to a secret that no one can enumerate.
"""

from __future__ import annotations

import hashlib
import string
import zlib
from collections.abc import Callable

PREFIX = "stl_live_"
RANDOM_LENGTH = 32
CHECKSUM_LENGTH = 6
HINT_LENGTH = 4
ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_LENGTH = len(PREFIX) + RANDOM_LENGTH + CHECKSUM_LENGTH
_ALLOWED = frozenset(ALPHABET)


def make_key(random_below: Callable[[int], int]) -> str:
    """A new key; `random_below(n)` gives an unpredictable integer of 0…n-1 (`secrets.randbelow`)."""
    body = PREFIX + "".join(ALPHABET[random_below(len(ALPHABET))] for _ in range(RANDOM_LENGTH))
    return body + _checksum(body)


def looks_like_key(text: str) -> bool:
    """True for what `make_key` could have made: prefix, alphabet, length and checksum. Needs no database."""
    if len(text) != _LENGTH or not text.startswith(PREFIX) or not _ALLOWED.issuperset(text[len(PREFIX) :]):
        return False
    return _checksum(text[:-CHECKSUM_LENGTH]) == text[-CHECKSUM_LENGTH:]


def hash_key(key: str) -> bytes:
    """What is stored, and looked up: SHA-256, 32 bytes."""
    return hashlib.sha256(key.encode()).digest()


def hint(key: str) -> str:
    """The last four characters: enough to tell two keys of one owner apart, worth nothing to a thief."""
    return key[-HINT_LENGTH:]


def _checksum(body: str) -> str:
    rest = zlib.crc32(body.encode())
    digits = ""
    for _ in range(CHECKSUM_LENGTH):
        rest, digit = divmod(rest, len(ALPHABET))
        digits = ALPHABET[digit] + digits
    return digits
