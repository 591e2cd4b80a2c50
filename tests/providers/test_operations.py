"""Providers, approvals and keys."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

import pytest

from service.db import Connection, Pool, transaction
from service.errors import SeteliError
from service.organisers import operations as organisers
from service.organisers.model import OrganiserUnknown, ProgrammeUnknown, RegionUnknown
from service.providers import keys, operations
from service.providers.model import (
    ApprovalDatesReversed,
    BusinessIdInvalid,
    KeyExpiryPast,
    KeyNameUnfit,
    KeyUnknown,
    NewKey,
    OwnerAmbiguous,
    PermissionUnknown,
    ProviderDiffers,
    ProviderNameUnfit,
    ProviderUnknown,
    TooManyKeys,
    parse_business_id,
)
from tests.organisers.samples import add_home_help, add_lakeshore

BUSINESS_ID = "2077474-0"
NOW = datetime.now(UTC)


async def add_company(conn: Connection) -> None:
    await operations.add_provider(conn, business_id=BUSINESS_ID, name="Kotiapu Onni Oy")


@pytest.mark.parametrize("typed", ["2077474-0", "20774740", " 2077474-0 ", "FI20774740", "fi2077474-0", "２077474-0"])
def test_a_business_id_is_kept_in_one_form_however_typed(typed: str) -> None:
    assert parse_business_id(typed) == BUSINESS_ID


@pytest.mark.parametrize("typed", ["2077474-1", "", "2077474", "2077474-00", "x" * 9999, "2077474-0\0"])
def test_a_mistyped_business_id_is_refused(typed: str) -> None:
    with pytest.raises(BusinessIdInvalid):
        parse_business_id(typed)


async def test_a_provider_added_again_is_the_same_provider(db: Connection) -> None:
    first = await operations.add_provider(db, business_id="20774740", name="Kotiapu Onni Oy")
    assert first.business_id == BUSINESS_ID
    assert await operations.add_provider(db, business_id=BUSINESS_ID, name="Kotiapu Onni Oy") == first
    with pytest.raises(ProviderDiffers):
        await operations.add_provider(db, business_id=BUSINESS_ID, name="Toinen Oy")
    with pytest.raises(ProviderNameUnfit):
        await operations.add_provider(db, business_id=BUSINESS_ID, name="a\0b")


async def test_an_approval_again_moves_its_dates(db: Connection) -> None:
    await add_company(db)
    await add_home_help(db, await add_lakeshore(db))
    scope = {"business_id": BUSINESS_ID, "programme": "kotipalvelu", "organiser_slug": "jarvenranta"}
    first = await operations.approve(db, **scope, valid_from=date(2026, 1, 1))
    again = await operations.approve(db, **scope, valid_from=date(2026, 1, 1), valid_to=date(2026, 12, 31))
    assert again.approval_id == first.approval_id
    assert again.valid_to == date(2026, 12, 31)
    (listed,) = await operations.list_providers(db)
    assert listed.approvals == ("kotipalvelu · Järvenrannan hyvinvointialue · 2026-01-01–2026-12-31",)


async def test_a_region_approves_only_programmes_that_one_of_its_organisers_has(db: Connection) -> None:
    await add_company(db)
    await organisers.add_region(db, slug="lakes", name="Järvien alue")
    scope = {"business_id": BUSINESS_ID, "programme": "kotipalvelu", "valid_from": date(2026, 1, 1)}
    with pytest.raises(ProgrammeUnknown):
        await operations.approve(db, **scope, region_slug="lakes")
    await add_home_help(db, await add_lakeshore(db, region_slug="lakes"))
    approval = await operations.approve(db, **scope, region_slug="lakes")
    assert approval.organiser_id is None
    assert await operations.approve(db, **scope, region_slug="lakes") == approval


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"organiser_slug": "nobody"}, OrganiserUnknown),
        ({"organiser_slug": None, "region_slug": "nowhere"}, RegionUnknown),
        ({"organiser_slug": None}, OwnerAmbiguous),
        ({"region_slug": "lakes"}, OwnerAmbiguous),
        ({"business_id": "0737546-2"}, ProviderUnknown),
        ({"programme": "nothing"}, ProgrammeUnknown),
        ({"valid_to": date(2025, 12, 31)}, ApprovalDatesReversed),
    ],
)
async def test_an_approval_of_something_unknown_is_refused(
    db: Connection, change: dict[str, object], error: type[SeteliError]
) -> None:
    await add_company(db)
    await add_home_help(db, await add_lakeshore(db))
    right = {"business_id": BUSINESS_ID, "programme": "kotipalvelu", "organiser_slug": "jarvenranta"}
    with pytest.raises(error):
        await operations.approve(db, **{**right, "valid_from": date(2026, 1, 1), **change})


async def test_a_key_opens_for_its_owner_with_its_permissions(db: Connection) -> None:
    await add_company(db)
    organiser = await add_lakeshore(db)
    created = await operations.create_key(db, business_id=BUSINESS_ID, name="Ajanvaraus")
    caller = await operations.authenticate(db, created.key, NOW)
    assert caller is not None
    assert (caller.owner, caller.key_id) == ("provider", created.key_id)
    assert caller.permissions == {"vouchers:validate", "debits:write", "debits:read", "workers:write"}
    narrow = await operations.create_key(
        db, organiser_slug="jarvenranta", name="Tapaukset", permissions=frozenset({"vouchers:read"})
    )
    caller = await operations.authenticate(db, narrow.key, NOW)
    assert caller is not None
    assert (caller.owner, caller.owner_id) == ("organiser", organiser.organiser_id)
    assert caller.permissions == {"vouchers:read"}


async def test_only_the_hash_of_a_key_is_stored_and_its_repr_hides_it(db: Connection) -> None:
    await add_company(db)
    created = await operations.create_key(db, business_id=BUSINESS_ID, name="Ajanvaraus")
    stored = await db.fetchval("SELECT api_keys::text FROM api_keys")
    assert created.key not in stored
    assert created.key[9:30] not in stored
    assert created.key not in repr(created)


async def test_a_revoked_expired_or_suspended_key_opens_nothing(db: Connection) -> None:
    await add_company(db)
    key = await operations.create_key(
        db, business_id=BUSINESS_ID, name="Ajanvaraus", expires_at=NOW + timedelta(days=1)
    )
    assert await operations.authenticate(db, key.key, NOW)
    assert await operations.authenticate(db, key.key, NOW + timedelta(days=1)) is None
    await operations.suspend(db, business_id=BUSINESS_ID)
    assert await operations.authenticate(db, key.key, NOW) is None
    await operations.resume(db, business_id=BUSINESS_ID)
    assert await operations.authenticate(db, key.key, NOW)
    first = await operations.revoke_key(db, key_id=key.key_id)
    assert await operations.revoke_key(db, key_id=key.key_id) == first
    assert await operations.authenticate(db, key.key, NOW) is None


async def test_nobodys_key_opens_nothing(db: Connection) -> None:
    await add_company(db)
    created = await operations.create_key(db, business_id=BUSINESS_ID, name="Ajanvaraus")
    others = keys.make_key(lambda below: below - 1)
    for key in ("", "stl_live_", created.key[:-1], created.key + " ", created.key.lower(), others):
        assert await operations.authenticate(db, key, NOW) is None


async def test_suspending_again_keeps_the_first_time(db: Connection) -> None:
    await add_company(db)
    first = await operations.suspend(db, business_id=BUSINESS_ID)
    assert first.suspended_at is not None
    assert await operations.suspend(db, business_id=BUSINESS_ID) == first
    with pytest.raises(ProviderUnknown):
        await operations.suspend(db, business_id="0737546-2")


async def test_a_third_live_key_is_refused_until_one_is_revoked_or_expired(db: Connection) -> None:
    await add_company(db)
    first = await operations.create_key(db, business_id=BUSINESS_ID, name="one")
    await operations.create_key(db, business_id=BUSINESS_ID, name="two")
    with pytest.raises(TooManyKeys) as refusal:
        await operations.create_key(db, business_id=BUSINESS_ID, name="three")
    assert refusal.value.details == {"owner": BUSINESS_ID, "max": 2}
    await operations.revoke_key(db, key_id=first.key_id)
    await operations.create_key(db, business_id=BUSINESS_ID, name="three")
    await db.execute("UPDATE api_keys SET expires_at = now() - interval '1 s' WHERE revoked_at IS NULL")
    await operations.create_key(db, business_id=BUSINESS_ID, name="four")
    listed = await operations.list_keys(db, business_id=BUSINESS_ID)
    assert [key.name for key in listed] == ["one", "two", "three", "four"]


async def test_of_many_who_make_keys_at_once_exactly_two_succeed(pool: Pool) -> None:
    async with transaction(pool) as conn:
        await add_company(conn)
        await add_lakeshore(conn)

    async def create(owner: dict[str, str], number: int) -> NewKey | TooManyKeys:
        try:
            async with transaction(pool) as conn:
                await asyncio.sleep(0.01 * (number % 3))  # some hold their transaction open before they ask
                return await operations.create_key(conn, **owner, name=f"key {number}")
        except TooManyKeys as refused:
            return refused

    for owner in ({"business_id": BUSINESS_ID}, {"organiser_slug": "jarvenranta"}):
        results = await asyncio.gather(*(create(owner, number) for number in range(12)))
        assert sum(isinstance(result, NewKey) for result in results) == 2


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({}, OwnerAmbiguous),
        ({"business_id": BUSINESS_ID, "organiser_slug": "jarvenranta"}, OwnerAmbiguous),
        ({"organiser_slug": "nobody"}, OrganiserUnknown),
        ({"business_id": BUSINESS_ID, "name": ""}, KeyNameUnfit),
        ({"business_id": BUSINESS_ID, "name": "a\nb"}, KeyNameUnfit),
        ({"business_id": BUSINESS_ID, "permissions": frozenset({"decisions:write"})}, PermissionUnknown),
        ({"business_id": BUSINESS_ID, "permissions": frozenset()}, PermissionUnknown),
        ({"business_id": BUSINESS_ID, "expires_at": NOW - timedelta(days=1)}, KeyExpiryPast),
    ],
)
async def test_a_key_that_makes_no_sense_is_not_made(
    db: Connection, arguments: dict[str, object], error: type[SeteliError]
) -> None:
    await add_company(db)
    with pytest.raises(error):
        await operations.create_key(db, **{"name": "Ajanvaraus", **arguments})
    assert await db.fetchval("SELECT count(*) FROM api_keys") == 0


async def test_an_unknown_key_cannot_be_revoked(db: Connection) -> None:
    with pytest.raises(KeyUnknown):
        await operations.revoke_key(db, key_id=uuid4())
