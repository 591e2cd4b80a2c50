"""Adding and approving providers, making and revoking keys, and telling whose key a caller has shown.

A key belongs to an organiser, to a provider, or to support, which is whoever runs the installation; all are kept here,
because the edge has to tell them apart by nothing but the key.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from datetime import date, datetime
from uuid import UUID

from uuid_utils.compat import uuid7

from service import audit
from service.audit import INSTALLATION
from service.channels.sms_text import prepare
from service.db import Connection
from service.organisers.operations import (
    check_region_has_programme,
    find_organiser,
    find_programme,
    find_region,
)
from service.providers import keys, queries
from service.providers.model import (
    LIVE_KEYS_MAX,
    SUPPORT_KEYS_MAX,
    ApiKey,
    Approval,
    ApprovedProvider,
    KeyExpiryPast,
    KeyUnknown,
    NewKey,
    Owner,
    OwnerAmbiguous,
    Provider,
    ProviderDiffers,
    ProviderUnknown,
    TooManyKeys,
    check_approval_dates,
    check_key_name,
    check_provider_name,
    choose_permissions,
    parse_business_id,
)
from service.providers.prices import NotApprovedForProgramme, PriceList, check_start, prices_of
from service.web import Caller


async def add_provider(conn: Connection, *, business_id: str, name: str) -> Provider:
    """Add a company, or return the one that is there under the same name.

    Raises BusinessIdInvalid, ProviderNameUnfit, ProviderDiffers.
    """
    business_id, name = parse_business_id(business_id), prepare(name)
    check_provider_name(name)
    await queries.insert_provider(conn, provider_id=uuid7(), business_id=business_id, name=name)
    provider = await find_provider(conn, business_id)
    if provider.name != name:
        raise ProviderDiffers(business_id=business_id)
    return provider


async def find_provider(conn: Connection, business_id: str) -> Provider:
    """Raises BusinessIdInvalid, ProviderUnknown."""
    business_id = parse_business_id(business_id)
    provider = await queries.select_provider(conn, business_id=business_id)
    if provider is None:
        raise ProviderUnknown(business_id=business_id)
    return provider


async def list_providers(conn: Connection) -> Sequence[ApprovedProvider]:
    """Every provider with its approvals in words, by name."""
    return await queries.select_providers(conn)


async def suspend(conn: Connection, *, business_id: str) -> Provider:
    """Stop every key of a provider from the next request on; again is harmless. Raises ProviderUnknown."""
    return await _set_suspended(conn, business_id, suspended=True)


async def resume(conn: Connection, *, business_id: str) -> Provider:
    """Let a suspended provider's keys work again; again is harmless. Raises ProviderUnknown."""
    return await _set_suspended(conn, business_id, suspended=False)


async def _set_suspended(conn: Connection, business_id: str, *, suspended: bool) -> Provider:
    business_id = parse_business_id(business_id)
    provider = await queries.update_provider_suspended(conn, business_id=business_id, suspended=suspended)
    if provider is None:
        raise ProviderUnknown(business_id=business_id)
    return provider


async def approve(
    conn: Connection,
    *,
    business_id: str,
    programme: str,
    organiser_slug: str | None = None,
    region_slug: str | None = None,
    valid_from: date,
    valid_to: date | None = None,
) -> Approval:
    """Let a provider be paid for a programme by one organiser, or by every organiser of a region, on these days.

    Both days count. Approving again moves the dates: that is how an approval is ended or prolonged. Raises
    ProviderUnknown, OwnerAmbiguous, OrganiserUnknown, RegionUnknown, ProgrammeUnknown, ApprovalDatesReversed.
    """
    check_approval_dates(valid_from, valid_to)
    provider = await find_provider(conn, business_id)
    organiser_id = region_id = None
    if organiser_slug is not None and region_slug is None:
        organiser_id = (await find_organiser(conn, organiser_slug)).organiser_id
        await find_programme(conn, organiser_id, programme)
    elif region_slug is not None and organiser_slug is None:
        region = await find_region(conn, region_slug)
        await check_region_has_programme(conn, region, programme)
        region_id = region.region_id
    else:
        raise OwnerAmbiguous
    approval = Approval(
        approval_id=uuid7(),
        provider_id=provider.provider_id,
        programme=programme,
        organiser_id=organiser_id,
        region_id=region_id,
        valid_from=valid_from,
        valid_to=valid_to,
    )
    return await queries.upsert_approval(conn, approval=approval)


async def approve_many(
    conn: Connection,
    *,
    business_ids: Sequence[str],
    programmes: Sequence[str],
    organiser_id: UUID,
    valid_from: date,
    valid_to: date | None,
) -> Sequence[Provider]:
    """Approve each of the providers for each of the programmes, by one organiser, all or none; as `approve` does.

    Returns the providers, each once. Raises ApprovalDatesReversed, BusinessIdInvalid, ProviderUnknown and
    ProgrammeUnknown.
    """
    check_approval_dates(valid_from, valid_to)
    wanted = list(dict.fromkeys(parse_business_id(each) for each in business_ids))
    found = {each.business_id: each for each in await queries.select_providers_named(conn, business_ids=wanted)}
    for business_id in wanted:
        if business_id not in found:
            raise ProviderUnknown(business_id=business_id)
    names = list(dict.fromkeys(programmes))
    for programme in names:
        await find_programme(conn, organiser_id, programme)
    providers = [found[each] for each in wanted]
    await queries.upsert_own_approvals(
        conn,
        provider_ids=[each.provider_id for each in providers],
        programmes=names,
        organiser_id=organiser_id,
        valid_from=valid_from,
        valid_to=valid_to,
    )
    return providers


async def withdraw_approval(conn: Connection, *, provider_id: UUID, programme: str, organiser_id: UUID) -> bool:
    """Take back an organiser's own approval that has not begun; False when there is none, or it has begun."""
    return await queries.delete_approval(conn, provider_id=provider_id, programme=programme, organiser_id=organiser_id)


async def set_prices(
    conn: Connection,
    *,
    business_id: str,
    programme: str,
    organiser_slug: str | None = None,
    region_slug: str | None = None,
    starts_on: date,
    weekday_cents: int,
    evening_cents: int | None = None,
    saturday_cents: int | None = None,
    sunday_cents: int | None = None,
    actor: str,
) -> Sequence[PriceList]:
    """Store what a provider asks from a day on: of one organiser, or of every organiser of a region that approved it.

    A band that is not given costs as weekdays do. The first list begins on any day, the next ones tomorrow in Finland
    or later; one that begins on the same day and is not in force yet is replaced. The same again changes nothing.
    Raises ProviderUnknown, OwnerAmbiguous, OrganiserUnknown, RegionUnknown, NotApprovedForProgramme, UnitValueUnfit,
    StartsTooEarly.
    """
    prices = prices_of(
        weekday_cents, evening_cents=evening_cents, saturday_cents=saturday_cents, sunday_cents=sunday_cents
    )
    provider = await find_provider(conn, business_id)
    if (organiser_slug is None) == (region_slug is None):
        raise OwnerAmbiguous
    approvers = await queries.select_approvers(
        conn,
        provider_id=provider.provider_id,
        programme=programme,
        organiser_id=(await find_organiser(conn, organiser_slug)).organiser_id if organiser_slug else None,
        region_id=(await find_region(conn, region_slug)).region_id if region_slug else None,
        day=starts_on,
    )
    if not approvers:
        raise NotApprovedForProgramme(business_id=provider.business_id, programme=programme)
    async with conn.transaction():
        await queries.lock_owner(conn, owner="provider", owner_id=provider.provider_id)
        today = await queries.select_today(conn)
        existing = await queries.select_price_lists(conn, provider_id=provider.provider_id)
        wanted = [PriceList(slug, programme, starts_on, prices) for _, slug in approvers]
        for (organiser_id, _), each in zip(approvers, wanted, strict=True):
            if each not in existing:
                check_start(starts_on, today=today, has_begun=_has_begun(existing, each, today))
                await _store_prices(conn, provider, organiser_id, each, actor)
    return wanted


def _has_begun(existing: Sequence[PriceList], wanted: PriceList, today: date) -> bool:
    return any(
        (each.organiser, each.programme) == (wanted.organiser, wanted.programme) and each.starts_on <= today
        for each in existing
    )


async def _store_prices(
    conn: Connection, provider: Provider, organiser_id: UUID, wanted: PriceList, actor: str
) -> None:
    await queries.upsert_price_list(
        conn,
        price_list_id=uuid7(),
        organiser_id=organiser_id,
        provider_id=provider.provider_id,
        programme=wanted.programme,
        starts_on=wanted.starts_on,
        prices=wanted.prices,
        created_by=actor,
    )
    cents = "/".join(str(value) for value in astuple(wanted.prices))
    await audit.record(
        conn,
        organiser_id=organiser_id,
        actor=actor,
        action="provider.set_prices",
        subject_id=provider.provider_id,
        reason=f"{wanted.programme} from {wanted.starts_on}: {cents} cents",
    )


async def list_prices(conn: Connection, *, business_id: str) -> tuple[Sequence[PriceList], date]:
    """Every price list of a provider's, by organiser, programme and day; and the day in Finland.

    Raises ProviderUnknown.
    """
    provider = await find_provider(conn, business_id)
    return await queries.select_price_lists(conn, provider_id=provider.provider_id), await queries.select_today(conn)


@dataclass(frozen=True, slots=True)
class _KeyOwner:
    kind: Owner
    owner_id: UUID
    label: str


async def _find_owner(
    conn: Connection, *, organiser_slug: str | None, business_id: str | None, support: bool
) -> _KeyOwner:
    if sum((organiser_slug is not None, business_id is not None, support)) != 1:
        raise OwnerAmbiguous
    if organiser_slug is not None:
        organiser = await find_organiser(conn, organiser_slug)
        return _KeyOwner("organiser", organiser.organiser_id, organiser.slug)
    if business_id is not None:
        provider = await find_provider(conn, business_id)
        return _KeyOwner("provider", provider.provider_id, provider.business_id)
    return _KeyOwner("support", INSTALLATION, "support")


async def create_key(
    conn: Connection,
    *,
    organiser_slug: str | None = None,
    business_id: str | None = None,
    support: bool = False,
    name: str,
    permissions: frozenset[str] | None = None,
    expires_at: datetime | None = None,
) -> NewKey:
    """Make a key for one owner; without `permissions` it may do all that such an owner may.

    The key is in the answer and nowhere else: only its SHA-256 is stored. At most two keys of an owner (twenty of
    support) are live, neither revoked nor expired, however many ask at once. Not idempotent. Raises OwnerAmbiguous,
    OrganiserUnknown, ProviderUnknown, KeyNameUnfit, PermissionUnknown, KeyExpiryPast, TooManyKeys.
    """
    check_key_name(name)
    owner = await _find_owner(conn, organiser_slug=organiser_slug, business_id=business_id, support=support)
    live_max = SUPPORT_KEYS_MAX if owner.kind == "support" else LIVE_KEYS_MAX
    granted = choose_permissions(owner.kind, permissions)
    async with conn.transaction():
        await queries.lock_owner(conn, owner=owner.kind, owner_id=owner.owner_id)
        now = await queries.select_clock(conn)
        if expires_at is not None and expires_at <= now:
            raise KeyExpiryPast
        existing = await queries.select_keys(conn, owner=owner.kind, owner_id=owner.owner_id)
        if sum(each.is_live(now) for each in existing) >= live_max:
            raise TooManyKeys(owner=owner.label, max=live_max)
        key = keys.make_key(secrets.randbelow)
        created = NewKey(key_id=uuid7(), key=key, hint=keys.hint(key))
        await queries.insert_key(
            conn,
            key_id=created.key_id,
            key_hash=keys.hash_key(key),
            hint=created.hint,
            name=name,
            owner=owner.kind,
            owner_id=owner.owner_id,
            permissions=sorted(granted),
            expires_at=expires_at,
        )
    return created


async def revoke_key(conn: Connection, *, key_id: UUID) -> ApiKey:
    """Refuse a key from the next request on; again is harmless and keeps the first time. Raises KeyUnknown."""
    key = await queries.update_key_revoked(conn, key_id=key_id)
    if key is None:
        raise KeyUnknown(key_id=str(key_id))
    return key


async def list_keys(
    conn: Connection, *, organiser_slug: str | None = None, business_id: str | None = None, support: bool = False
) -> Sequence[ApiKey]:
    """All keys an owner ever had, oldest first. Raises OwnerAmbiguous, OrganiserUnknown, ProviderUnknown."""
    owner = await _find_owner(conn, organiser_slug=organiser_slug, business_id=business_id, support=support)
    return await queries.select_keys(conn, owner=owner.kind, owner_id=owner.owner_id)


async def authenticate(conn: Connection, key: str, now: datetime) -> Caller | None:
    """Whose live key this is, or None: malformed, unknown, revoked, expired, or its provider is suspended.

    What cannot be a key costs no query; every other answer costs exactly one, by the indexed SHA-256.
    """
    if not keys.looks_like_key(key):
        return None
    row = await queries.select_caller(conn, key_hash=keys.hash_key(key), now=now)
    if row is None:
        return None
    owner: Owner = "organiser" if row["organiser_id"] else "provider" if row["provider_id"] else "support"
    return Caller(
        key_id=row["key_id"],
        owner=owner,
        owner_id=row["organiser_id"] or row["provider_id"] or INSTALLATION,
        permissions=frozenset(row["permissions"]),
    )
