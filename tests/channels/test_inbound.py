from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.channels.inbound import (
    GUESSES_PER_DAY,
    Effect,
    History,
    is_automatic,
    read_intent,
    read_language,
    read_sender,
    reason_for_silence,
)
from service.channels.languages import KEYWORDS, fold_keyword
from service.channels.operations import Incoming, Inquiry, Reception, Replied, inbound, standing, take_text
from service.db import Connection, Pool, close_pool, open_pool, transaction
from service.errors import RequestInFlight
from tests.channels.post_office import KEYS, Office

PHONE = "+358401234567"

ANSWERS_PER_DAY = 10

# What a text asks for


@pytest.mark.parametrize(
    ("text", "intent"),
    [
        ("SALDO", "balance"),
        ("saldo", "balance"),
        (" Saldo?", "balance"),
        ("saldo kiitos 🙏", "balance"),
        ("🙂 Saldo", "balance"),
        ("SALDO 4827 0315 9268", "balance"),
        ('"saldo"', "balance"),
        ("Uudelleen.", "resend"),
        ("uudelleen koodi pls", "resend"),
        ("ещё раз", "resend"),
        ("Mar kale!", "resend"),
        ("mar", "unknown"),
        ("APUA!!!", "help"),
        ("hjalp", "help"),
        ("hjälp", "help"),
        ("hja\u0308lp", "help"),
        ("EI", "dispute"),
        ("ei!", "dispute"),
        ("Ei, ei ollut käyntiä", "dispute"),
        ("EI\nei ollut käyntiä", "dispute"),
        ("Nej. Det var inget besök", "dispute"),
        ("لا، لم تكن هناك زيارة", "dispute"),
        ("EI EI EI", "dispute"),
        ("Ei toimi koodi", "unknown"),
        ("No problem", "unknown"),
        ("Ei kiitos", "unknown"),
        ("stop", "stop"),
        ("STOPP", "stop"),
        ("Seis!", "stop"),
        ("STOP STOP", "stop"),
        ("Seis heti", "unknown"),
        ("Cancel my visit tomorrow please", "unknown"),
        ("Stop, it is not me", "unknown"),
        ("End of the week is fine", "unknown"),
        ("Start of visits?", "unknown"),
        ("Стоп", "stop"),
        ("start", "start"),
        ("رصيد", "balance"),
        ("\u200fرصيد", "balance"),
        ("", "unknown"),
        ("   ", "unknown"),
        ("👍", "unknown"),
        ("Kiitos, saldo?", "unknown"),
        ("saldoa", "unknown"),
        ("eilen", "unknown"),
        ("4827 0315 9268", "unknown"),
    ],
)
def test_the_first_word_decides_unless_it_must_stand_alone(text: str, intent: str) -> None:
    assert read_intent(text) == intent


@given(
    word=st.sampled_from(
        [(word, intent) for words in KEYWORDS.values() for intent, all_ in words.items() for word in all_]
    ),
    before=st.text(st.sampled_from(" .,!?-–\n\t*'\"🙂❤️"), max_size=4),
    after=st.text(max_size=40),
    upper=st.booleans(),
)
def test_every_word_of_every_language_is_understood_however_it_is_typed(
    word: tuple[str, str], before: str, after: str, upper: bool
) -> None:
    typed = word[0].upper() if upper else word[0].lower()
    after = "" if word[1] in ("stop", "start") else after
    first = fold_keyword(f"{before}{typed} {after}").split()
    # Another two-word entry may begin like this one.
    assert read_intent(f"{before}{typed} .{after}") == word[1] or " ".join(first[:2]) != fold_keyword(word[0])


@given(st.text(max_size=2000))
def test_no_text_is_too_strange_to_be_read(text: str) -> None:
    read_intent(text)
    is_automatic(text)
    assert read_language(text) in KEYWORDS


def test_the_language_is_that_of_the_word_and_else_finnish() -> None:
    assert [read_language(text) for text in ("BALANCE", "saldo", "Ещё раз", "رصيد", "???")] == [
        *("en", "fi", "ru", "ar", "fi"),
    ]


@pytest.mark.parametrize(
    ("sender", "phone"),
    [
        (PHONE, PHONE),
        ("Kela", None),
        ("18123", None),
        ("+1", None),
        ("", None),
        ("+358142663501", None),  # a landline
        ("+12125550100", None),  # a country that is not served
        ("0401234567", None),
        ("whatsapp:+358401234567", None),
        ("+358401234567\n", None),
    ],
)
def test_only_a_mobile_of_a_country_served_is_answered(sender: str, phone: str | None) -> None:
    assert read_sender(sender, ("FI",)) == phone


@pytest.mark.parametrize(
    "text",
    [
        "Out of Office: I am back on Monday",
        "AUTOMATIC REPLY",
        "Automaattinen vastaus: olen lomalla",
        "Hei! En ole paikalla.",
        "Jag kör just nu",
        "I'm driving, will get back to you",
    ],
)
def test_a_machine_that_says_so_is_not_answered(text: str) -> None:
    assert is_automatic(text)
    assert reason_for_silence("unknown", History(), looks_automatic=True, answers_per_day=9) is Effect.AUTOMATIC


@pytest.mark.parametrize("text", ["SALDO", "EI", "olen kotona", "Ajan bussilla, SALDO?", "office"])
def test_a_family_is_not_taken_for_a_machine(text: str) -> None:
    assert not is_automatic(text)


@pytest.mark.parametrize(
    ("intent", "history", "silence"),
    [
        ("balance", History(), None),
        ("balance", History(answers_today=ANSWERS_PER_DAY - 1), None),
        ("balance", History(answers_today=ANSWERS_PER_DAY), Effect.OVER_LIMIT),
        ("unknown", History(guesses_today=GUESSES_PER_DAY), Effect.OVER_LIMIT),
        ("balance", History(guesses_today=GUESSES_PER_DAY), None),
        ("balance", History(repeats=2), None),
        ("balance", History(repeats=3), Effect.REPEATED),
        ("unknown", History(is_echo=True), Effect.ECHO),
    ],
)
def test_when_it_is_better_not_to_answer(intent: str, history: History, silence: Effect | None) -> None:
    assert reason_for_silence(intent, history, looks_automatic=False, answers_per_day=ANSWERS_PER_DAY) is silence  # type: ignore[arg-type]


# Taking a text in


@dataclass
class Desk:
    """Answers every inquiry, and remembers it."""

    office: Office
    asked: list[Inquiry] = field(default_factory=list)
    effect: Effect = Effect.ANSWERED

    async def reply(self, _conn: Connection, inquiry: Inquiry) -> Replied:
        self.asked.append(inquiry)
        return Replied(self.effect, (uuid4(),))

    async def text(self, body: str, *, sender: str = PHONE, reference: str | None = None) -> tuple[UUID, ...]:
        incoming = Incoming("twilio", reference or f"SM{uuid4().hex}", sender, body)
        return await take_text(self.office.pool, KEYS, Reception(self.reply, ("FI",), ANSWERS_PER_DAY), incoming)

    async def effects(self) -> list[str]:
        rows = await self.office.pool.fetch("SELECT effect FROM inbound_texts ORDER BY received_at")
        return [row["effect"] for row in rows]

    async def is_suppressed(self) -> bool:
        async with transaction(self.office.pool) as conn:
            return bool(await standing(conn, KEYS, [("sms", PHONE)]))


@pytest.fixture
def desk(pool: Pool) -> Desk:
    return Desk(Office(pool))


async def test_a_text_that_the_gateway_brings_again_does_nothing(desk: Desk) -> None:
    assert len(await desk.text("saldo", reference="SM1")) == 1
    assert await desk.text("saldo", reference="SM1") == ()
    assert len(desk.asked) == 1


async def test_the_same_text_brought_by_many_at_once_is_answered_once(desk: Desk) -> None:
    await asyncio.gather(*(desk.text("saldo", reference="SM1") for _ in range(12)))
    assert len(desk.asked) == 1


async def test_the_limit_holds_for_texts_that_come_at_once(desk: Desk) -> None:
    await asyncio.gather(*(desk.text(f"saldo {number}") for number in range(20)))
    assert len(desk.asked) == ANSWERS_PER_DAY
    assert (await desk.effects()).count("over_limit") == 20 - ANSWERS_PER_DAY


async def test_a_number_over_its_limit_is_answered_again_the_next_day(desk: Desk) -> None:
    for number in range(ANSWERS_PER_DAY + 1):
        await desk.text(f"saldo {number}")
    await desk.office.pool.execute("UPDATE inbound_texts SET received_at = received_at - interval '25 hours'")
    await desk.text("saldo")
    assert len(desk.asked) == ANSWERS_PER_DAY + 1


async def test_one_number_does_not_use_up_anothers_answers(desk: Desk) -> None:
    for number in range(ANSWERS_PER_DAY + 1):
        await desk.text(f"saldo {number}")
    await desk.text("saldo", sender="+358401234568")
    assert desk.asked[-1].phone == "+358401234568"


async def test_the_same_words_again_and_again_are_a_machine(desk: Desk) -> None:
    for _ in range(4):
        await desk.text("Kiitos viestistä!")
    assert await desk.effects() == ["answered", "answered", "repeated", "repeated"]


async def test_our_own_text_that_comes_back_is_not_answered(desk: Desk) -> None:
    from service.channels.operations import claim_due

    await desk.office.queue()
    [sending] = await claim_due(desk.office.delivery, limit=1)
    await desk.text(sending.outgoing.content.text)  # type: ignore[union-attr]
    assert await desk.effects() == ["echo"]


async def test_names_and_short_codes_are_not_answered(desk: Desk) -> None:
    for sender in ("Kela", "18123"):
        assert await desk.text("SALDO", sender=sender) == ()
    assert await desk.effects() == ["not_a_phone", "not_a_phone"]


async def test_stop_and_start_count_even_for_a_number_over_its_limit(desk: Desk) -> None:
    for number in range(ANSWERS_PER_DAY + 2):
        await desk.text(f"saldo {number}")
    await desk.text("STOP")
    assert await desk.is_suppressed()
    await desk.text("START")
    assert not await desk.is_suppressed()


async def test_a_start_does_not_bring_back_a_number_that_does_not_work(desk: Desk) -> None:
    from service.channels.operations import suppress

    async with transaction(desk.office.pool) as conn:
        await suppress(conn, KEYS, channel="sms", contact=PHONE, reason="bad_contact")
    await desk.text("START")
    assert await desk.is_suppressed()


async def test_what_is_kept_of_a_text_holds_neither_its_words_nor_its_number(desk: Desk) -> None:
    await desk.text("saldo rakas ystäväni")
    kept = await desk.office.pool.fetchval("SELECT inbound_texts::text FROM inbound_texts")
    for secret in ("rakas", "ystäväni", "401234567", b"401234567".hex(), b"rakas".hex()):
        assert secret not in kept
    assert "rakas" not in repr(Incoming("twilio", "SM1", PHONE, "rakas"))
    assert "401234567" not in repr((Incoming("twilio", "SM1", PHONE, "x"), desk.asked))


async def test_what_came_more_than_a_month_ago_is_forgotten(desk: Desk) -> None:
    await desk.text("saldo")
    await desk.office.pool.execute("UPDATE inbound_texts SET received_at = received_at - interval '31 days'")
    await desk.text("apua", sender="+358401234568")
    assert await desk.office.pool.fetchval("SELECT count(*) FROM inbound_texts") == 1


async def test_an_answer_that_fails_leaves_nothing_behind(desk: Desk) -> None:
    async def fail(_conn: Connection, _inquiry: Inquiry) -> Replied:
        raise RuntimeError

    incoming = Incoming("twilio", "SM1", PHONE, "saldo")
    with pytest.raises(RuntimeError):
        await take_text(desk.office.pool, KEYS, Reception(fail, ("FI",), 1), incoming)
    assert await desk.effects() == []
    assert len(await desk.text("saldo", reference="SM1")) == 1


# Texts of one number that come together


@dataclass
class SlowDesk(Desk):
    """Has its hands full with the first text until it is told to go on; the transaction keeps the number meanwhile."""

    is_busy: asyncio.Event = field(default_factory=asyncio.Event)
    may_go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def reply(self, conn: Connection, inquiry: Inquiry) -> Replied:
        self.is_busy.set()
        await self.may_go_on.wait()
        return await super().reply(conn, inquiry)


@pytest.fixture
def slow_desk(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> SlowDesk:
    monkeypatch.setattr(inbound, "AGAIN_AFTER_S", 0.001)
    return SlowDesk(Office(pool))


@pytest.fixture
def found_taken(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Set when a text has found its number taken by another."""
    found, lock_sender = asyncio.Event(), inbound.queries.lock_sender

    async def lock(conn: Connection, *, sender_index: bytes) -> bool:
        if not await lock_sender(conn, sender_index=sender_index):
            found.set()
            return False
        return True

    monkeypatch.setattr(inbound.queries, "lock_sender", lock)
    return found


async def test_a_text_waits_for_the_one_before_it_and_is_answered(
    slow_desk: SlowDesk, found_taken: asyncio.Event
) -> None:
    first = asyncio.create_task(slow_desk.text("saldo", reference="SM1"))
    await slow_desk.is_busy.wait()
    second = asyncio.create_task(slow_desk.text("apua", reference="SM2"))
    await found_taken.wait()
    assert (await slow_desk.effects(), second.done()) == ([], False)
    slow_desk.may_go_on.set()
    assert [len(ids) for ids in await asyncio.gather(first, second)] == [1, 1]
    assert [asked.intent for asked in slow_desk.asked] == ["balance", "help"]
    assert await slow_desk.effects() == ["answered", "answered"]


async def test_when_patience_ends_a_text_is_refused_whole_and_may_be_brought_again(
    slow_desk: SlowDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = asyncio.create_task(slow_desk.text("saldo", reference="SM1"))
    await slow_desk.is_busy.wait()
    monkeypatch.setattr(inbound, "PATIENCE_S", 0.2)
    with pytest.raises(RequestInFlight):
        await slow_desk.text("STOP", reference="SM2")
    slow_desk.may_go_on.set()
    await first
    assert (await slow_desk.effects(), await slow_desk.is_suppressed()) == (["answered"], False)
    await slow_desk.text("STOP", reference="SM2")
    assert (await slow_desk.effects(), await slow_desk.is_suppressed()) == (["answered", "stopped"], True)


async def test_patience_ends_in_the_middle_of_a_try_and_undoes_it(
    slow_desk: SlowDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gateway has gone by then: it must not be charged after it was told that nothing is."""
    monkeypatch.setattr(inbound, "PATIENCE_S", 0.2)
    async with asyncio.timeout(5):
        with pytest.raises(RequestInFlight):
            await slow_desk.text("saldo", reference="SM1")
    assert slow_desk.is_busy.is_set()
    assert await slow_desk.effects() == []
    slow_desk.may_go_on.set()
    monkeypatch.undo()
    assert len(await slow_desk.text("saldo", reference="SM1")) == 1


async def test_waiting_for_a_connection_is_part_of_the_patience(
    pool: Pool, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbound, "PATIENCE_S", 0.1)
    narrow = await open_pool(database_url, size=1)
    async with narrow.acquire(), asyncio.timeout(5):
        with pytest.raises(RequestInFlight):
            await Desk(Office(narrow)).text("saldo")
    await close_pool(narrow)


async def test_a_commit_is_not_cut_off(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody would know whether it was done."""
    await desk.office.pool.execute(
        "CREATE FUNCTION doze() RETURNS trigger LANGUAGE plpgsql"
        " AS $$ BEGIN PERFORM pg_sleep(1.2); RETURN NULL; END $$;"
        "CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON inbound_texts DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION doze()"
    )
    try:
        monkeypatch.setattr(inbound, "PATIENCE_S", 1.0)
        assert len(await desk.text("saldo")) == 1
    finally:
        await desk.office.pool.execute("DROP TRIGGER slow ON inbound_texts; DROP FUNCTION doze()")
    assert await desk.effects() == ["answered"]
