"""Random values that prove something by being known, and what is kept of them. Pure but for the randomness."""

from __future__ import annotations

import hashlib
import re
import secrets

TOKEN_BYTES = 32
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")
# No 0, O, 1, I, L: they are read off paper.
_ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
_GROUPS, _GROUP_SIGNS = 4, 4


def make_token() -> str:
    """256 random bits, fit for a cookie or an address."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def looks_like_token(text: str) -> bool:
    return _TOKEN.fullmatch(text) is not None


def hash_token(token: str) -> bytes:
    """What is stored: nothing can be tried out against the digest of 256 random bits."""
    return hashlib.sha256(token.encode()).digest()


def make_recovery_code() -> str:
    """`7KQ4-XW2M-…`: some 79 random bits, easy to read off paper."""
    return "-".join("".join(secrets.choice(_ALPHABET) for _ in range(_GROUP_SIGNS)) for _ in range(_GROUPS))


def plain_recovery_code(typed: str) -> str:
    """As it is hashed, from what was typed: small letters, spaces and dashes do not matter."""
    return re.sub(r"[\s-]", "", typed).upper()
