"""Which passwords are taken: long ones, however they are made; not those that are tried first."""

from __future__ import annotations

import pytest

from service.errors import SeteliError
from service.people import passwords
from service.people.model import delay_s
from service.people.passwords import check_password

ABOUT = ("Aino Käki", "aino.kaki@kuusiranta.example")


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery staple",
        "neljä sanaa riittää hyvin",
        "x7#kQ!m2Lp9z",
        "kissa istuu katolla",
        "ЖурналСинийДом",
    ],
)
def test_a_long_password_is_taken_without_rules_on_its_letters(password: str) -> None:
    check_password(password, about=ABOUT)


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("short", "password_too_short"),
        ("elevenchars", "password_too_short"),
        ("a" * 300, "password_too_long"),
        ("aaaaaaaaaaaaaa", "password_common"),
        ("salasana1234", "password_common"),
        ("Password2026!", "password_common"),
        ("qwertyuiop123", "password_common"),
        ("123456789012345", "password_common"),
        ("AinoKäki2026!", "password_common"),
        ("aino.kaki@kuusiranta", "password_common"),
        ("abababababab", "password_common"),
    ],
)
def test_a_password_that_is_tried_first_is_refused(password: str, code: str) -> None:
    with pytest.raises(SeteliError) as refused:
        check_password(password, about=ABOUT)
    assert refused.value.code == code
    assert password not in str(refused.value.details)


def test_wrong_tries_wait_longer_and_longer_but_never_for_ever() -> None:
    delays = [delay_s(failures, 5) for failures in range(1, 40)]
    assert delays[:4] == [0, 0, 0, 0]
    assert delays[4:7] == [30, 60, 120]
    assert delays == sorted(delays)
    assert max(delays) == 3600


def test_an_address_that_nobody_has_costs_what_a_known_one_does(real_hashes: None) -> None:
    assert not passwords._HASHER.check_needs_rehash(passwords._NOBODYS), "write out one with today's parameters"
    assert passwords._HASHER.verify(passwords._NOBODYS, "nobody has this password")
