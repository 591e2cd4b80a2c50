"""Families are reminded once, in time, and a person hears of whom reminding did not help."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from service.db import Connection, Pool, transaction
from service.quiet_hours import QuietHours
from service.vouchers.queries import reminders as queries
from service.vouchers.reminders import EXPIRING, UNUSED, daily_rounds
from tests.families import Family, family
from tests.installations import Installation, install, settings_for

ALWAYS = QuietHours(0, 0)


@pytest.fixture
async def here(pool: Pool, database_url: str, redis_url: str) -> AsyncIterator[Installation]:
    async with install(settings_for(database_url, redis_url)) as installation:
        yield installation


async def run(here: Installation) -> int:
    """The searches of another day, each once."""
    await here.resources.pool.execute("DELETE FROM daily_searches")
    return sum([await search() for search in daily_rounds(here.resources.pool, ALWAYS, from_hour=0)])


async def reminders(one: Family) -> tuple[int, int]:
    return len(await one.messages(UNUSED)), len(await one.messages(EXPIRING))


async def test_a_voucher_never_used_is_reminded_of_after_three_days_and_once(here: Installation) -> None:
    one = await family(here)
    await one.age(2.9)
    assert await run(here) == 0
    await one.age(0.2)
    assert await run(here) == 1
    assert await run(here) == 0
    assert await reminders(one) == (1, 0)
    [message] = await one.messages(UNUSED)
    assert (message["priority"], message["state"], message["fields"]) == (8, "pending", {})


async def test_a_reminder_tells_what_is_left_until_when_and_where_to_go(here: Installation) -> None:
    one = await family(here)
    await one.age(3.5)
    await run(here)
    [text] = await one.rendered(UNUSED)
    assert "12 t" in text
    assert (await here.code_of(str(one.voucher_id))) not in text


async def test_reminders_made_at_once_by_many_are_one(here: Installation) -> None:
    families = [await family(here) for _ in range(3)]
    for one in families:
        await one.age(4)
    await asyncio.gather(*(run(here) for _ in range(8)))
    assert [await reminders(one) for one in families] == [(1, 0)] * 3


async def test_a_clock_put_back_reminds_nobody_twice(here: Installation) -> None:
    one = await family(here)
    await one.age(4)
    await run(here)
    await one.age(-2)
    assert await run(here) == 0
    await one.age(2)
    assert await run(here) == 0
    assert await reminders(one) == (1, 0)


async def test_four_days_after_the_reminder_a_person_is_asked_once(here: Installation) -> None:
    one = await family(here)
    await one.age(3.5)
    await run(here)
    await one.age(3.5)
    assert await run(here) == 0
    assert await one.attention() == []
    await one.age(0.6)
    assert await run(here) == 1
    assert await run(here) == 0
    assert [item["reason"] for item in await one.attention()] == ["never_used"]
    # A caseworker has called: it does not come back.
    await one.change("UPDATE attention SET resolved_at = now(), resolved_by = 'x' WHERE subject_id = $1")
    assert await run(here) == 0


async def test_a_voucher_used_after_its_reminder_needs_nobody(here: Installation) -> None:
    one = await family(here)
    await one.age(3.5)
    await run(here)
    await one.debit(60, "v1")
    await one.age(5)
    assert await run(here) == 0
    assert await one.attention() == []


async def test_a_voucher_that_is_not_valid_yet_is_not_unused(here: Installation) -> None:
    one = await family(here)
    await one.change("UPDATE vouchers SET created_at = now() - interval '20 days' WHERE voucher_id = $1")
    await one.change("UPDATE vouchers SET valid_from = helsinki_today() - 2 WHERE voucher_id = $1")
    assert await run(here) == 0
    await one.change("UPDATE vouchers SET valid_from = helsinki_today() - 3 WHERE voucher_id = $1")
    assert await run(here) == 1


async def test_vouchers_that_were_old_before_the_service_reminded_are_left_alone(here: Installation) -> None:
    one = await family(here)
    await one.age(40)
    assert await run(here) == 0


async def test_value_left_two_weeks_before_the_end_is_reminded_of_once(here: Installation) -> None:
    one = await family(here)
    await one.debit(60, "v1")
    await one.age(30)
    await one.ends_in(15)
    assert await run(here) == 0
    await one.ends_in(14)
    assert await run(here) == 1
    await one.ends_in(3)
    assert await run(here) == 0
    assert await reminders(one) == (0, 1)
    [text] = await one.rendered(EXPIRING)
    assert "11 t" in text


async def test_a_voucher_without_value_or_at_its_end_is_not_reminded_of(here: Installation) -> None:
    spent, ended = await family(here), await family(here)
    for one in (spent, ended):
        await one.debit(60, str(one.voucher_id))
        await one.age(30)
    await spent.ends_in(10)
    await spent.change("UPDATE vouchers SET debited = granted, available = 0 WHERE voucher_id = $1")
    await ended.ends_in(-1)
    assert await run(here) == 0


async def test_a_short_voucher_is_not_reminded_of_on_the_day_it_is_made(here: Installation) -> None:
    one = await family(here)
    await one.ends_in(10)
    assert await run(here) == 0


async def test_two_reminders_do_not_come_together(here: Installation) -> None:
    one = await family(here)
    await one.age(3.5)
    await one.ends_in(10)
    assert await run(here) == 1
    assert await reminders(one) == (1, 0)
    await one.change("UPDATE messages SET created_at = created_at - interval '3 days' WHERE subject_id = $1")
    assert await run(here) == 1
    assert await reminders(one) == (1, 1)


@pytest.mark.parametrize("state", ["suspended", "expired", "cancelled", "closed"])
async def test_a_voucher_that_is_not_open_is_not_reminded_of(here: Installation, state: str) -> None:
    one = await family(here)
    await one.age(4)
    await one.ends_in(10)
    await one.change(
        "UPDATE vouchers SET state = $2, cancelled_from = CASE WHEN $2 = 'cancelled' THEN helsinki_today() END"
        " WHERE voucher_id = $1",
        state,
    )
    assert await run(here) == 0


@pytest.mark.parametrize("state", ["suspended", "closed"])
async def test_a_reminder_is_withdrawn_when_its_voucher_is_not_open_any_more(here: Installation, state: str) -> None:
    one = await family(here)
    await one.age(4)
    await run(here)
    await one.change("UPDATE vouchers SET state = $2 WHERE voucher_id = $1", state)
    assert await one.rendered(UNUSED) == []
    [message] = await one.messages(UNUSED)
    assert (message["state"], message["reason"]) == ("suppressed", "obsolete")


async def test_a_reminder_of_a_voucher_used_in_the_meantime_is_withdrawn(here: Installation) -> None:
    one = await family(here)
    await one.age(4)
    await run(here)
    await one.debit(60, "v1")
    assert await one.rendered(UNUSED) == []


async def test_a_family_known_not_to_have_got_its_text_is_not_reminded_of_it(here: Installation) -> None:
    one = await family(here)
    await one.age(4)
    await one.change(
        "UPDATE messages SET state = 'escalated', reason = 'bad_contact', due_at = NULL WHERE subject_id = $1"
    )
    for tidy in here.resources.delivery.tidying:
        await tidy()
    assert [item["reason"] for item in await one.attention()] == ["bad_contact"]
    assert await run(here) == 0


async def searched_today(here: Installation) -> list[str]:
    return [row[0] for row in await here.resources.pool.fetch("SELECT search FROM daily_searches ORDER BY search")]


async def test_a_search_that_found_nothing_more_rests_until_tomorrow(here: Installation) -> None:
    one, pool = await family(here), here.resources.pool
    searches = daily_rounds(pool, ALWAYS, from_hour=0)
    await one.age(4)
    assert [await search() for search in searches] == [1, 0, 0]
    assert UNUSED not in await searched_today(here), "there may be more than one batch"
    assert [await search() for search in searches] == [0, 0, 0]
    assert await searched_today(here) == ["never_used", EXPIRING, UNUSED]
    other = await family(here)
    await other.age(4)
    assert [await search() for search in searches] == [0, 0, 0]
    await pool.execute("UPDATE daily_searches SET finished_on = finished_on - 1")
    assert [await search() for search in searches] == [1, 0, 0]


async def test_nothing_is_searched_for_before_the_morning(here: Installation) -> None:
    one = await family(here)
    await one.age(4)
    next_hour = datetime.now(ZoneInfo("Europe/Helsinki")).hour + 1
    later = daily_rounds(here.resources.pool, ALWAYS, from_hour=next_hour)
    assert [await search() for search in later] == [0, 0, 0]
    assert await searched_today(here) == []


async def test_vouchers_without_a_contact_do_not_fill_the_batches(here: Installation) -> None:
    unreachable, one = await family(here), await family(here)
    await unreachable.change("UPDATE beneficiaries SET phone_sealed = NULL, phone_index = NULL WHERE voucher_id = $1")
    for each in (unreachable, one):
        await each.age(4)
    async with transaction(here.resources.pool) as conn:
        assert await queries.queue_unused(conn, quiet=ALWAYS, limit=1) == 1
    assert await reminders(one) == (1, 0)


# Vouchers of a month with the messages of their lives: families ask for their text again, and nearly all were reminded.
MANY_REMINDED = """
CREATE FUNCTION pg_temp.id(n bigint) RETURNS uuid IMMUTABLE RETURN lpad(to_hex(n), 32, '0')::uuid;
INSERT INTO organisers (organiser_id, slug, name, help_phone, directory_address)
VALUES (pg_temp.id(0), 'many', 'Many', '0', 'example.fi');
INSERT INTO programmes (organiser_id, programme, names, unit)
VALUES (pg_temp.id(0), 'help', '{"fi": "apu", "sv": "hjälp", "en": "help"}', 'minutes');
INSERT INTO decisions (organiser_id, decision_id, decision_ref, programme, status, client_ref, granted,
                       valid_from, valid_to, fingerprint, created_by)
SELECT pg_temp.id(0), pg_temp.id(n), n, 'help', 'confirmed', n, 600,
       helsinki_today() - n % 30, helsinki_today() + 40 - n % 30, '', 'test'
  FROM generate_series(1, 3000) AS n;
INSERT INTO vouchers (organiser_id, voucher_id, decision_id, programme, unit, code_id, granted, available,
                      valid_from, valid_to, created_at)
SELECT organiser_id, decision_id, decision_id, programme, 'minutes', decision_id, granted, granted,
       valid_from, valid_to, valid_from
  FROM decisions;
INSERT INTO beneficiaries (organiser_id, voucher_id, language, phone_sealed, phone_index)
SELECT organiser_id, voucher_id, 'fi', '', voucher_id::text::bytea FROM vouchers;
INSERT INTO messages (organiser_id, message_id, kind, subject_id, fields, channel, language, recipient_sealed,
                      recipient_index, recipient_hint, state, due_at, deadline_at, requested_by, created_at)
SELECT organiser_id, gen_random_uuid(), kind, voucher_id, '{}', 'sms', 'fi', '', '', '', 'delivered', NULL, now(),
       'test', created_at
  FROM vouchers, unnest('{voucher,voucher,voucher,voucher,reminder_unused,reminder_expiring}'::text[]) AS kind
 WHERE kind = 'voucher' OR hashtext(voucher_id::text) % 20 <> 0;
ANALYZE vouchers, beneficiaries, messages, entries, attention;
"""


async def plan(db: Connection, statement: str) -> str:
    values = statement.replace("$1", "21").replace("$2", "8").replace("$3", "2000")
    return "\n".join(row[0] for row in await db.fetch(f"EXPLAIN {values}"))


@pytest.mark.parametrize("statement", [queries.QUEUE_UNUSED, queries.QUEUE_EXPIRING])
async def test_vouchers_that_were_reminded_are_passed_over_by_their_own_index(db: Connection, statement: str) -> None:
    """Voucher by voucher, as where few of many are due. Which of two indexes the planner likes better depends on how
    swollen others have left them, so the other way there is taken away: this one serves, or none does.
    """
    await db.execute(MANY_REMINDED)
    await db.execute(
        "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL enable_seqscan = off;"
        " DROP INDEX messages_of_subject"
    )
    chosen = await plan(db, statement)
    assert "messages_reminded_once" in chosen
    without = await plan(db, statement.replace("AND m.fallback_of IS NULL", ""))
    assert "messages_reminded_once" not in without, "shows nothing"
