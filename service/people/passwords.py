"""Passwords: which are taken, and how they are kept. NIST SP 800-63B-4 §3.1.1: length, no rules on characters, a list.

At rest an argon2id hash with the parameters that OWASP's Password Storage Cheat Sheet names first (19 MiB, 2 passes,
1 lane, some 20 ms here), sealed under a key that is not in the database. The parameters are in each hash.
"""

from __future__ import annotations

import asyncio
import re
import unicodedata
from uuid import UUID

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from service.crypto import Keys
from service.people.model import PASSWORD_MAX, PASSWORD_MIN, PasswordCommon, PasswordTooLong, PasswordTooShort

_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
# What is verified where there is nothing to verify, so that an unknown address costs what a known one does.
# Written out, because every process of the service would pay for it at its start.
_NOBODYS = "$argon2id$v=19$m=19456,t=2,p=1$vlJBF8aVYL5J/8EEPDRMoQ$+Ap5Xc+MC1goBg3of5IJJTCG+2TkmJ0+LsiLCODp6EA"
# What people begin with when a password is asked for. Twelve characters leave little else of the usual lists.
_COMMON = (
    *("password", "passwort", "passw0rd", "salasana", "lösenord", "losenord", "letmein", "iloveyou", "welcome"),
    *("tervetuloa", "välkommen", "minä", "rakastan", "sinua", "administrator", "admin", "kayttaja", "käyttäjä", "user"),
    *("qwertyuiop", "qwerty", "asdfghjkl", "asdfgh", "zxcvbnm", "1q2w3e4r5t6y", "1q2w3e4r5t", "1q2w3e4r", "qazwsxedc"),
    *("seteli", "palvelu", "kotipalvelu", "hyvinvointialue", "voucher", "servicesedel", "secret", "salainen", "hemlig"),
    *(
        "kesä",
        "talvi",
        "syksy",
        "kevät",
        "sommar",
        "vinter",
        "summer",
        "winter",
        "autumn",
        "spring",
        "finland",
        "suomi",
    ),
    *(
        "jääkiekko",
        "football",
        "baseball",
        "dragon",
        "monkey",
        "sunshine",
        "princess",
        "superman",
        "batman",
        "starwars",
    ),
)
_SEQUENCES = ("01234567890123456789", "98765432109876543210", "abcdefghijklmnopqrstuvwxyzåäö")
_SEQUENCE_MIN = 4
_OWN_WORD_MIN = 3
_REST_MIN = 6
_DIFFERENT_MIN = 5


def check_password(password: str, *, about: tuple[str, ...]) -> None:
    """`about`: the person's own name and address, which do not count.

    Raises PasswordTooShort, PasswordTooLong, PasswordCommon.
    """
    password = normalise(password)
    if len(password) < PASSWORD_MIN:
        raise PasswordTooShort(min=PASSWORD_MIN)
    if len(password) > PASSWORD_MAX:
        raise PasswordTooLong(max=PASSWORD_MAX)
    own = [word for text in about for word in re.split(r"\W+", text.casefold()) if len(word) >= _OWN_WORD_MIN]
    rest = _without_sequences(password.casefold())
    for word in sorted({*_COMMON, *own}, key=len, reverse=True):
        rest = rest.replace(word, "")
    if len(rest) < _REST_MIN or len(set(rest)) < _DIFFERENT_MIN:
        raise PasswordCommon


def _without_sequences(text: str) -> str:
    for sequence in _SEQUENCES:
        for length in range(len(sequence), _SEQUENCE_MIN - 1, -1):
            for start in range(len(sequence) - length + 1):
                text = text.replace(sequence[start : start + length], "")
    return text


def normalise(password: str) -> str:
    """The same password however a keyboard composes its letters (NFKC, as NIST asks)."""
    return unicodedata.normalize("NFKC", password)


async def seal_password(keys: Keys, person_id: UUID, password: str) -> bytes:
    """Hashes in a thread: the loop goes on meanwhile."""
    hashed = await asyncio.to_thread(_HASHER.hash, normalise(password))
    return keys.sealer.seal(hashed, password_context(person_id))


async def is_password(keys: Keys, person_id: UUID | None, sealed: bytes | None, password: str) -> bool:
    """Whether this is the person's password; takes as long when there is no such person. Raises SealBroken."""
    known = person_id is not None and sealed is not None
    hashed = keys.sealer.open(sealed, password_context(person_id)) if person_id and sealed else _NOBODYS
    matches = await asyncio.to_thread(_matches, hashed, normalise(password[: PASSWORD_MAX + 1]))
    return matches and known


def password_context(person_id: UUID) -> bytes:
    return b"person password" + person_id.bytes


def _matches(hashed: str, password: str) -> bool:
    try:
        return _HASHER.verify(hashed, password)
    except VerifyMismatchError:
        return False
