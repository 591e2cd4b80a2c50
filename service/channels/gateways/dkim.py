"""DKIM signatures (RFC 6376), rsa-sha256, both canonicalisations relaxed. Pure but for `read_signing_key`.

Written over `cryptography`, which is here anyway and signs in 0.3 ms: dkimpy, the library there is, does the
arithmetic in Python, 10 ms of a 2048-bit key in which the event loop stands still, and has no types. Tests let it
verify what is signed here.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

KEY_MIN_BITS = 1024  # RFC 8301: less must not be used; 2048 is what to make

# Named once more than they occur, From above all: a second one cannot be put in front of a signed mail.
_SIGNED = ("From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type", "Auto-Submitted")
_OVERSIGNED = ("From", "To", "Subject", "Date", "Message-ID", "Reply-To", "Content-Type")
_FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:((?:[^\r\n]*\r\n[ \t])*[^\r\n]*)\r\n")
_WIDE = 72


class SigningKeyUnusable(ValueError):
    """The DKIM key file cannot be read, or holds no RSA key of at least 1024 bits without a password."""


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs for one domain; its public key is at `<selector>._domainkey.<domain>`."""

    domain: str
    selector: str
    key: RSAPrivateKey

    def __call__(self, mail: bytes, now: datetime) -> bytes:
        """The DKIM-Signature header of a mail with CRLF line ends, with its own line end."""
        head, _, body = mail.partition(b"\r\n\r\n")
        fields = _fields(head + b"\r\n")
        names = _names({name.lower() for name, _ in fields})
        digest = base64.b64encode(hashlib.sha256(_relaxed_body(body)).digest()).decode()
        unsigned = _header(
            f"v=1; a=rsa-sha256; c=relaxed/relaxed; d={self.domain}; s={self.selector}; t={int(now.timestamp())};",
            f"h={':'.join(names)};",
            f"bh={digest};",
            "b=",
        )
        signed = _signed_fields(fields, names) + _relaxed_field(b"DKIM-Signature", unsigned.encode())
        signature = base64.b64encode(self.key.sign(signed, PKCS1v15(), SHA256())).decode()
        folded = "\r\n\t".join(signature[at : at + _WIDE] for at in range(0, len(signature), _WIDE))
        return f"DKIM-Signature:{unsigned}{folded}\r\n".encode()


def read_signing_key(path: str) -> RSAPrivateKey:
    """An RSA key from a PEM file (PKCS#1 or PKCS#8). Raises SigningKeyUnusable, which never repeats its content."""
    try:
        key = load_pem_private_key(Path(path).read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise SigningKeyUnusable(f"cannot be read as a PEM key without a password ({type(error).__name__})") from None
    if not isinstance(key, RSAPrivateKey) or key.key_size < KEY_MIN_BITS:
        raise SigningKeyUnusable(f"is no RSA key of at least {KEY_MIN_BITS} bits")
    return key


def _header(*tags: str) -> str:
    return " " + "\r\n\t".join(tags)


def _names(present: set[bytes]) -> list[str]:
    return [name for name in _SIGNED if name.lower().encode() in present] + list(_OVERSIGNED)


def _fields(head: bytes) -> list[tuple[bytes, bytes]]:
    return [(match[1], match[2]) for match in _FIELD.finditer(head)]


def _signed_fields(fields: list[tuple[bytes, bytes]], names: list[str]) -> bytes:
    """The named fields, each name taking the lowest one left; a name without a field stands for its absence."""
    left = list(fields)
    found: list[bytes] = []
    for name in names:
        for place in range(len(left) - 1, -1, -1):
            if left[place][0].lower() == name.lower().encode():
                found.append(_relaxed_field(*left.pop(place)) + b"\r\n")
                break
    return b"".join(found)


def _relaxed_field(name: bytes, value: bytes) -> bytes:
    unfolded = re.sub(rb"[ \t]+", b" ", value.replace(b"\r\n", b""))
    return name.lower() + b":" + unfolded.strip()


def _relaxed_body(body: bytes) -> bytes:
    lines = [re.sub(rb"[ \t]+", b" ", line).rstrip(b" ") for line in body.split(b"\r\n")]
    while lines and not lines[-1]:
        lines.pop()
    return b"".join(line + b"\r\n" for line in lines)
