"""Blind indexes: what is stored under them today must be found by them tomorrow."""

from __future__ import annotations

import hmac

from service.crypto import BlindIndex

NEW, OLD = b"n" * 32, b"o" * 32


def test_an_index_is_the_plain_hmac_of_purpose_and_text() -> None:
    index = BlindIndex((("2", NEW), ("1", OLD)))
    for _ in range(2):  # the keyed state is copied, not used up
        assert index.current("code", "482703159268") == hmac.digest(NEW, b"code\x00482703159268", "sha256")
        assert index.previous("code", "482703159268") == hmac.digest(OLD, b"code\x00482703159268", "sha256")
    assert index.matches(hmac.digest(OLD, b"sms\x00+358", "sha256"), "sms", "+358")
