"""What families are told after a debit, over the real database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from service.channels.model import DEADLINE_S
from service.crypto import SealBroken
from service.db import Connection, Pool, transaction
from service.debits.queries import receipts as queries
from service.debits.receipts import queue_day_receipts
from service.money import Unit, format_amount
from service.quiet_hours import QuietHours
from tests.families import family
from tests.installations import Installation, install, settings_for

HELSINKI = ZoneInfo("Europe/Helsinki")
ALWAYS = QuietHours(0, 0)


@pytest.fixture
async def here(pool: Pool, database_url: str, redis_url: str) -> AsyncIterator[Installation]:
    async with install(settings_for(database_url, redis_url)) as installation:
        yield installation


async def hear(here: Installation, how: str) -> None:
    await here.resources.pool.execute("UPDATE programmes SET receipts = $1", how)


async def make_due(here: Installation) -> None:
    await here.resources.pool.execute("UPDATE entries_to_tell SET tell_at = now()")


def local(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=HELSINKI)


async def test_a_debit_tells_the_family_who_charged_what_and_what_is_left(here: Installation) -> None:
    one = await family(here)
    charged = await one.debit(90, "v1")

    [message] = await one.messages("debit_receipt")
    assert str(message["secret_id"]) == str(message["message_id"]) == charged["debit_id"]
    assert (message["state"], message["priority"], message["channel"]) == ("pending", 8, "sms")
    assert message["fields"] == {"available": "630"}
    [text] = await one.rendered("debit_receipt")
    code = await here.code_of(str(one.voucher_id))
    for part in (format_amount(90, Unit.MINUTES, "fi"), format_amount(630, Unit.MINUTES, "fi"), code[-4:]):
        assert part in text
    assert code not in text


async def test_a_receipt_tells_what_was_left_then_not_what_is_left_when_it_is_sent(here: Installation) -> None:
    one = await family(here)
    for number in range(3):
        await one.debit(60, f"v{number}")
    texts = await one.rendered("debit_receipt")
    assert len(texts) == 3
    for left in (660, 600, 540):
        assert sum(f" {format_amount(left, Unit.MINUTES, 'fi')}." in text for text in texts) == 1


async def test_a_receipt_goes_where_the_family_is_reached_now(here: Installation) -> None:
    one = await family(here, beneficiary={"phone": "040 123 4567", "email": "maija@perhe.fi", "language": "sv"})
    await one.debit(60, "v1")
    [voucher], [receipt] = await one.messages("voucher"), await one.messages("debit_receipt")
    for column in (
        *("channel", "language", "recipient_sealed", "recipient_index", "recipient_hint"),
        *("other_channel", "other_index", "other_hint"),
    ):
        if not column.endswith("sealed"):
            assert receipt[column] == voucher[column], column
    context = b"contact" + one.organiser_id.bytes
    sealer = here.resources.keys.sealer
    assert sealer.open(receipt["recipient_sealed"], context) == "+358401234567"
    assert sealer.open(receipt["other_sealed"], context) == "maija@perhe.fi"
    with pytest.raises(SealBroken):
        sealer.open(receipt["other_sealed"], b"contact" + b"x" * 16)


async def test_a_family_with_e_mail_alone_gets_a_mail(here: Installation) -> None:
    one = await family(here, beneficiary={"email": "maija@perhe.fi", "language": "en"})
    await one.debit(60, "v1")
    [receipt] = await one.messages("debit_receipt")
    assert (receipt["channel"], receipt["other_channel"], receipt["recipient_hint"]) == ("email", None, "m…@…")
    assert receipt["deadline_at"] - receipt["due_at"] == timedelta(seconds=DEADLINE_S["email"])
    [text] = await one.rendered("debit_receipt")
    assert "10 h" in text or "11 h" in text


async def test_the_deadlines_in_the_database_are_those_of_the_model(here: Installation) -> None:
    one = await family(here)
    await one.debit(60, "v1")
    [receipt] = await one.messages("debit_receipt")
    assert receipt["deadline_at"] - receipt["due_at"] == timedelta(seconds=DEADLINE_S["sms"])


async def test_taking_a_debit_back_is_told_in_words_of_its_own(here: Installation) -> None:
    one = await family(here)
    charged = await one.debit(90, "v1")
    await one.reverse(charged["debit_id"], "r1")
    [message] = await one.messages("debit_reversed")
    assert message["fields"] == {"available": "720"}
    [text] = await one.rendered("debit_reversed")
    assert "perui" in text
    assert "1 t 30 min" in text


async def test_a_refused_or_repeated_debit_tells_nothing_more(here: Installation) -> None:
    one = await family(here)
    await one.debit(90, "v1")
    again = await one.debit(90, "v1")
    code = await here.code_of(str(one.voucher_id))
    from tests.families import PROVIDER

    refused = await here.call(PROVIDER, "POST", "/v1/debits", {"code": code, "amount": 9000}, key="v2")
    assert refused.status == 422
    assert [str(m["message_id"]) for m in await one.messages("debit_receipt")] == [again["debit_id"]]


async def test_a_programme_can_turn_receipts_off(here: Installation) -> None:
    await hear(here, "off")
    one = await family(here)
    await one.debit(90, "v1")
    assert await one.messages("debit_receipt") == []
    assert await here.resources.pool.fetchval("SELECT count(*) FROM entries_to_tell") == 0


async def test_no_contact_no_message_and_the_debit_stands(here: Installation) -> None:
    one = await family(here)
    await one.change("UPDATE beneficiaries SET phone_sealed = NULL, phone_index = NULL WHERE voucher_id = $1")
    await one.debit(90, "v1")
    assert await one.messages("debit_receipt") == []


# Once a day


async def day_told(here: Installation) -> int:
    return await queue_day_receipts(here.resources.pool, ALWAYS)


async def test_a_family_that_hears_once_a_day_gets_one_summary_of_all_visits(here: Installation) -> None:
    await hear(here, "daily")
    one = await family(here)
    for number in range(3):
        await one.debit(60, f"v{number}")
    assert await one.messages("debit_receipt") == []
    assert await day_told(here) == 0, "not before the evening"

    await make_due(here)
    assert await day_told(here) == 1
    assert await day_told(here) == 0
    [message] = await one.messages("debit_receipts_day")
    assert message["fields"]["count"] == "3"
    [text] = await one.rendered("debit_receipts_day")
    assert "3 t" in text
    assert "9 t" in text


async def test_summaries_made_at_once_by_many_tell_each_entry_once(here: Installation) -> None:
    await hear(here, "daily")
    families = [await family(here) for _ in range(3)]
    for number, one in enumerate(families):
        await one.debit(60, f"v{number}")
    await make_due(here)
    await asyncio.gather(*(day_told(here) for _ in range(6)))
    await day_told(here)
    for one in families:
        assert len(await one.messages("debit_receipts_day")) == 1


async def test_only_one_process_makes_summaries_at_a_time(here: Installation) -> None:
    await hear(here, "daily")
    one = await family(here)
    await one.debit(60, "v1")
    await make_due(here)
    async with transaction(here.resources.pool) as conn:
        assert await queries.lock_day_receipts(conn)
        assert await day_told(here) == 0
    assert await day_told(here) == 1


async def test_a_visit_entered_after_the_evenings_summary_is_told_the_next_evening(here: Installation) -> None:
    await hear(here, "daily")
    one = await family(here)
    await one.debit(60, "v1")
    await make_due(here)
    await day_told(here)
    await one.debit(60, "v2")
    await make_due(here)  # and this evening's job runs again
    assert await day_told(here) == 0
    await one.change("UPDATE messages SET created_at = created_at - interval '1 day' WHERE subject_id = $1")
    assert await day_told(here) == 1
    assert [m["fields"]["count"] for m in await one.messages("debit_receipts_day")] == ["1", "1"]


async def test_a_summary_made_the_next_morning_does_not_put_off_the_next_evenings(here: Installation) -> None:
    """The worker was down from six till midnight: the summary is late once, not every evening from then on."""
    await hear(here, "daily")
    one = await family(here)
    await one.debit(60, "v1")
    await make_due(here)
    await day_told(here)
    await one.change(
        "UPDATE messages SET created_at = last_summary(now()) - interval '1 minute'"
        " WHERE subject_id = $1 AND kind = 'debit_receipts_day'"
    )
    await one.debit(60, "v2")
    await make_due(here)
    assert await day_told(here) == 1
    assert len(await one.messages("debit_receipts_day")) == 2
    await one.change(
        "UPDATE messages SET created_at = last_summary(now()) + interval '1 second'"
        " WHERE subject_id = $1 AND kind = 'debit_receipts_day'"
    )
    await one.debit(60, "v3")
    await make_due(here)
    assert await day_told(here) == 0, "it is told of, this evening"


async def test_a_summary_made_after_midnight_is_for_the_evening_before(db: Connection) -> None:
    for at, evening in (
        ("2026-06-11T00:30", "2026-06-10T18:00"),
        ("2026-06-11T07:00", "2026-06-10T18:00"),
        ("2026-06-11T17:59:59", "2026-06-10T18:00"),
        ("2026-06-11T18:00", "2026-06-11T18:00"),
        ("2026-10-25T17:00", "2026-10-24T18:00"),  # the clocks go back in between
        ("2027-03-28T17:00", "2027-03-27T18:00"),  # and forward
    ):
        assert await db.fetchval("SELECT last_summary($1)", local(at)) == local(evening), at


async def test_what_was_taken_back_before_anybody_heard_of_it_is_not_told(here: Installation) -> None:
    await hear(here, "daily")
    one = await family(here)
    charged = await one.debit(60, "v1")
    await one.reverse(charged["debit_id"], "r1")
    await make_due(here)
    assert await day_told(here) == 1
    assert await one.messages("debit_receipts_day") == []


async def test_a_debit_told_yesterday_and_taken_back_today_is_told_as_less_than_nothing(here: Installation) -> None:
    await hear(here, "daily")
    one = await family(here)
    charged = await one.debit(60, "v1")
    await make_due(here)
    await day_told(here)
    await one.change("UPDATE messages SET created_at = created_at - interval '1 day' WHERE subject_id = $1")
    await one.reverse(charged["debit_id"], "r1")
    await make_due(here)
    await day_told(here)
    texts = await one.rendered("debit_receipts_day")
    assert any("-1 t" in text for text in texts)


@pytest.mark.parametrize(
    ("entered", "told"),
    [
        ("2026-06-10T09:00", "2026-06-10T18:00"),
        ("2026-06-10T17:59:59", "2026-06-10T18:00"),
        ("2026-06-10T18:00", "2026-06-11T18:00"),
        ("2026-06-10T23:59", "2026-06-11T18:00"),
        ("2026-10-24T19:00", "2026-10-25T18:00"),  # the clocks go back in between
        ("2027-03-27T19:00", "2027-03-28T18:00"),  # and forward
    ],
)
async def test_the_evening_is_six_by_the_clock_in_helsinki(db: Connection, entered: str, told: str) -> None:
    assert await db.fetchval("SELECT next_summary($1)", local(entered)) == local(told)


# Quiet hours


@pytest.mark.parametrize(
    ("at", "allowed", "hours"),
    [
        ("2026-06-10T20:59:59", "2026-06-10T20:59:59", (21, 8)),
        ("2026-06-10T21:00", "2026-06-11T08:00", (21, 8)),
        ("2026-06-11T00:00", "2026-06-11T08:00", (21, 8)),
        ("2026-06-11T07:59:59", "2026-06-11T08:00", (21, 8)),
        ("2026-06-11T08:00", "2026-06-11T08:00", (21, 8)),
        ("2026-12-31T22:00", "2027-01-01T08:00", (21, 8)),
        ("2026-10-24T22:00", "2026-10-25T08:00", (21, 8)),  # the night of 25 hours
        ("2027-03-27T22:00", "2027-03-28T08:00", (21, 8)),  # the night of 23 hours
        ("2026-10-25T02:30", "2026-10-25T08:00", (21, 8)),
        ("2027-03-28T02:30", "2027-03-28T08:00", (21, 8)),
        ("2026-06-10T13:30", "2026-06-10T14:00", (12, 14)),  # a quiet noon
        ("2026-06-10T14:00", "2026-06-10T14:00", (12, 14)),
        ("2026-06-10T23:30", "2026-06-11T00:00", (22, 0)),
        ("2026-06-10T00:30", "2026-06-10T00:30", (22, 0)),
        ("2026-06-10T03:00", "2026-06-10T03:00", (8, 8)),  # none
    ],
)
async def test_quiet_hours_end_by_the_clock_in_helsinki(
    db: Connection, at: str, allowed: str, hours: tuple[int, int]
) -> None:
    assert await db.fetchval("SELECT not_in_quiet_hours($1, $2, $3)", local(at), *hours) == local(allowed)


async def test_the_nights_when_the_clocks_change_are_an_hour_longer_and_shorter(db: Connection) -> None:
    for evening, hours in (("2026-10-24T21:00", 12), ("2027-03-27T21:00", 10), ("2027-03-29T21:00", 11)):
        begins = local(evening).astimezone(UTC)
        ends = await db.fetchval("SELECT not_in_quiet_hours($1, 21, 8)", begins)
        assert ends - begins == timedelta(hours=hours)


async def test_no_moment_that_is_allowed_is_quiet_and_none_is_before_its_time(db: Connection) -> None:
    start = datetime(2026, 10, 24, tzinfo=UTC)
    moments = [start + timedelta(minutes=7 * number) for number in range(600)]
    rows = await db.fetch(
        "SELECT at, not_in_quiet_hours(at, 21, 8) AS allowed FROM unnest($1::timestamptz[]) AS t (at)", moments
    )
    for row in rows:
        assert row["allowed"] >= row["at"]
        assert 8 <= row["allowed"].astimezone(HELSINKI).hour < 21


async def test_quiet_hours_hold_the_receipt_and_never_the_debit_or_the_voucher(
    pool: Pool, database_url: str, redis_url: str
) -> None:
    now = datetime.now(HELSINKI)
    quiet = {"quiet_from": now.hour, "quiet_to": (now.hour + 2) % 24}
    async with install(settings_for(database_url, redis_url, **quiet)) as here:
        one = await family(here)
        await one.debit(60, "v1")
        [receipt] = await one.messages("debit_receipt")
        held = receipt["due_at"].astimezone(HELSINKI)
        assert held > now + timedelta(minutes=59)
        assert (held.hour, held.minute, held.second) == (quiet["quiet_to"], 0, 0)
        [voucher] = await one.messages("voucher")
        assert voucher["due_at"] <= datetime.now(UTC)
