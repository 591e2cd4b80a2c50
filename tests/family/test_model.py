"""The link: nobody makes one, nobody changes one, and it ends."""

from __future__ import annotations

import base64
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from service.crypto import Sealer
from service.family.model import (
    CONTEXT,
    FamilyLink,
    FamilyLinkDead,
    group_visits,
    read_link,
    write_link,
)

NOW = datetime(2026, 11, 28, 7, tzinfo=UTC)
OLD, NEW = ("e1", b"e" * 32), ("e2", b"n" * 32)
SEALER = Sealer((OLD,))
LINK = FamilyLink(UUID(int=1), UUID(int=2), NOW + timedelta(days=400))


def refused(text: str, sealer: Sealer = SEALER, now: datetime = NOW) -> bool:
    with pytest.raises(FamilyLinkDead):
        read_link(sealer, text, now)
    return True


def test_a_link_says_what_was_put_in_and_shows_nothing_of_it() -> None:
    text = write_link(SEALER, LINK)
    assert read_link(SEALER, text, NOW) == LINK
    assert write_link(SEALER, LINK) != text
    content = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    assert LINK.code_id.bytes not in content
    assert LINK.organiser_id.bytes not in content


def test_a_link_ends_to_the_second() -> None:
    text = write_link(SEALER, LINK)
    assert read_link(SEALER, text, LINK.expires_at - timedelta(seconds=1)) == LINK
    assert refused(text, now=LINK.expires_at)


def test_not_one_bit_of_a_link_can_be_another() -> None:
    text = write_link(SEALER, LINK)
    content = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    for place in range(len(content)):
        for bit in range(8):
            changed = bytearray(content)
            changed[place] ^= 1 << bit
            assert refused(base64.urlsafe_b64encode(changed).decode().rstrip("="))


def test_no_other_spelling_is_taken_and_no_part() -> None:
    text = write_link(SEALER, LINK)
    signs = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for place, sign in enumerate(text):
        other = signs[(signs.index(sign) + 1) % 64]
        assert refused(text[:place] + other + text[place + 1 :])
        assert refused(text[:place])
    for wrong in (text + "=", text + "A", " " + text, text + "\n", "", "ä", "\0", "A" * 10_000, text + text):
        assert refused(wrong)
    assert all(refused(text[:-1] + sign) for sign in signs if sign != text[-1])


def test_while_keys_rotate_old_links_open_and_without_their_key_they_do_not() -> None:
    before = write_link(SEALER, LINK)
    rotating, after = Sealer((NEW, OLD)), Sealer((NEW,))
    assert read_link(rotating, before, NOW) == LINK
    made = write_link(rotating, LINK)
    assert read_link(after, made, NOW) == LINK
    assert refused(before, after)
    assert refused(made, SEALER)
    assert refused(write_link(Sealer((("e1", b"x" * 32),)), LINK))  # another key that has the same name


def test_what_is_sealed_for_another_purpose_is_no_link() -> None:
    text = write_link(SEALER, LINK)
    content = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    inner = SEALER.open(content, CONTEXT)
    for sealed in (
        SEALER.seal(inner, b"code" + LINK.code_id.bytes),
        SEALER.seal("x", CONTEXT),
        SEALER.seal("", CONTEXT),
    ):
        assert refused(base64.urlsafe_b64encode(sealed).decode().rstrip("="))


def entry(number: int, **changes: Any) -> dict[str, Any]:
    known: dict[str, Any] = {
        "entry_id": UUID(int=number),
        "kind": "debit",
        "reverses": None,
        "amount": 90,
        "service_date": date(2026, 11, 20),
        "starts_at": None,
        "ends_at": None,
        "entered_at": NOW,
        "pays_cents": 6000,
        "own_cents": 500,
        "visit_type": "visit",
        "provider": "Kotiapu",
        "disputed": False,
        "was_disputed": False,
    }
    return known | changes


def test_what_was_taken_back_belongs_to_its_visit() -> None:
    back = {"kind": "reversal", "reverses": UUID(int=1), "amount": -30, "pays_cents": -2000, "own_cents": -100}
    newest, visit = group_visits([entry(2, service_date=date(2026, 11, 21)), entry(1), entry(3, **back)])
    assert newest.debit_id == UUID(int=2)
    assert (visit.amount, visit.taken_back, visit.voucher_pays_cents, visit.family_pays_cents) == (90, 30, 4000, 400)
    assert visit.can_be_disputed(NOW)
    whole = group_visits([entry(1), entry(3, **back | {"amount": -90})])[0]
    assert not whole.can_be_disputed(NOW)


def test_the_page_asks_for_two_weeks_and_once() -> None:
    (visit,) = group_visits([entry(1)])
    assert visit.can_be_disputed(NOW + timedelta(days=14, seconds=-1))
    assert not visit.can_be_disputed(NOW + timedelta(days=14))
    (disputed,) = group_visits([entry(1, was_disputed=True)])
    assert not disputed.can_be_disputed(NOW)
