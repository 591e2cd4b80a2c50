"""Blind indexes and sealed values: what lets us look up and resend a code that the database cannot read.

An index is HMAC-SHA256(key, purpose ‖ NUL ‖ text): equal texts give equal indexes, and without the key nothing can be
tried out against it. A sealed value is `key id length ‖ key id ‖ nonce ‖ AES-256-GCM ciphertext`, bound to a context
(the row it belongs to) so that it cannot be moved to another row unnoticed. Keys live in the settings, never in the
database; every key has an id, the first of a ring writes and all of them read, which is what rotation needs.
NIST SP 800-38D allows 2³² random nonces a key: rotate long before.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from service.settings import Keyring, is_key_id

NONCE_BYTES = 12


class SealBroken(Exception):
    """A sealed value was altered, moved to another row, or its key is not in the ring."""

    def __str__(self) -> str:
        return "A sealed value was altered, or moved to another row: nothing was done with it."


class KeyMissing(SealBroken):
    """A value is sealed under `key_id`, and the ring of this process has no such key."""

    def __init__(self, key_id: str) -> None:
        super().__init__(key_id)
        self.key_id = key_id

    def __str__(self) -> str:
        return f"Something is sealed under key {self.key_id}, which ENCRYPTION_KEYS lacks: add it behind the others."


class BlindIndex:
    """Keyed look-up values for codes and contacts. `purpose` keeps equal texts of different kinds apart."""

    def __init__(self, keys: Keyring) -> None:
        # Keyed once and copied for every text: looking the algorithm up and hashing the key costs more than the text.
        self._keys = tuple((key_id, HMAC(key, SHA256())) for key_id, key in keys)

    @property
    def key_id(self) -> str:
        """The id of the key that writes."""
        return self._keys[0][0]

    def knows(self, key_id: str) -> bool:
        """Whether what was made under this key can still be recognised."""
        return any(key_id == known for known, _ in self._keys)

    def current(self, purpose: str, text: str) -> bytes:
        """The 32-byte index under the newest key: what is written."""
        return self._digest(self._keys[0][1], purpose, text)

    def previous(self, purpose: str, text: str) -> bytes | None:
        """The index under the key before it, while a rotation is under way: what may still be found."""
        return self._digest(self._keys[1][1], purpose, text) if len(self._keys) > 1 else None

    def all(self, purpose: str, text: str) -> list[bytes]:
        """What a row may be found by: the newest index, then the one before it while keys rotate."""
        current, previous = self.current(purpose, text), self.previous(purpose, text)
        return [current] if previous is None else [current, previous]

    def matches(self, index: bytes, purpose: str, text: str) -> bool:
        """True when `index` was made from this text under any key of the ring."""
        return any(hmac.compare_digest(index, self._digest(key, purpose, text)) for _, key in self._keys)

    @staticmethod
    def _digest(key: HMAC, purpose: str, text: str) -> bytes:
        keyed = key.copy()
        keyed.update(f"{purpose}\0{text}".encode())
        return keyed.finalize()


class Sealer:
    """AES-256-GCM with key ids."""

    def __init__(self, keys: Keyring) -> None:
        self._current_id = keys[0][0]
        self._prefix = len(self._current_id).to_bytes(1, "big") + self._current_id.encode()
        self._ciphers = {key_id: AESGCM(key) for key_id, key in keys}
        self._current = self._ciphers[self._current_id]

    @property
    def key_id(self) -> str:
        """The id of the key that writes."""
        return self._current_id

    def seal(self, text: str, context: bytes) -> bytes:
        """Encrypt under the newest key. `context` is not stored; the same must be given to open it."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return self._prefix + nonce + self._current.encrypt(nonce, text.encode(), context)

    def is_current(self, sealed: bytes) -> bool:
        """True when the newest key sealed this; False is work for a rotation."""
        return sealed.startswith(self._prefix)

    def open(self, sealed: bytes, context: bytes) -> str:
        """Decrypt what any key of the ring has sealed. Raises SealBroken, and KeyMissing, which is one."""
        end = 1 + sealed[0] if sealed else 0
        key_id = sealed[1:end].decode("ascii", "replace")
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise KeyMissing(key_id) if is_key_id(key_id) else SealBroken
        nonce, ciphertext = sealed[end : end + NONCE_BYTES], sealed[end + NONCE_BYTES :]
        try:
            return cipher.decrypt(nonce, ciphertext, context).decode()
        except (InvalidTag, ValueError):
            raise SealBroken from None


@dataclass(frozen=True)
class Keys:
    """Both kinds of keys, as every operation that touches codes or contacts takes them."""

    sealer: Sealer
    index: BlindIndex

    @classmethod
    def from_keyrings(cls, *, encryption: Keyring, index: Keyring) -> Keys:
        return cls(sealer=Sealer(encryption), index=BlindIndex(index))
