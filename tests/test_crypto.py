"""Blind indexes: what is stored under them today must be found by them tomorrow."""

from __future__ import annotations

import hmac

import pytest

from service.crypto import BlindIndex, KeyMissing, SealBroken, Sealer

NEW, OLD = b"n" * 32, b"o" * 32


def test_an_index_is_the_plain_hmac_of_purpose_and_text() -> None:
    index = BlindIndex((("2", NEW), ("1", OLD)))
    for _ in range(2):  # the keyed state is copied, not used up
        assert index.current("code", "482703159268") == hmac.digest(NEW, b"code\x00482703159268", "sha256")
        assert index.previous("code", "482703159268") == hmac.digest(OLD, b"code\x00482703159268", "sha256")
    assert index.matches(hmac.digest(OLD, b"sms\x00+358", "sha256"), "sms", "+358")


def test_a_value_whose_key_is_missing_tells_the_keys_id_and_a_broken_one_does_not() -> None:
    sealed = Sealer((("2", NEW), ("1", OLD))).seal("4827", b"row")
    with pytest.raises(KeyMissing, match="under key 2, which ENCRYPTION_KEYS lacks"):
        Sealer((("1", OLD),)).open(sealed, b"row")
    for broken in (b"", b"\x02\xff\xff" + sealed[2:], sealed[:-1], sealed[:5]):
        with pytest.raises(SealBroken) as refusal:
            Sealer((("2", NEW),)).open(broken, b"row")
        assert not isinstance(refusal.value, KeyMissing)
