"""Reading the directory, and keeping what providers tell of themselves in it. Nothing is remembered between requests:
a new approval, price or suspension shows at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from asyncpg import Record

from service import audit
from service.audit import INSTALLATION
from service.channels.sms_text import prepare
from service.db import Connection
from service.directory import queries
from service.directory.model import (
    EXAMPLE_MINUTES,
    GENERAL,
    HOURS,
    NOTHING_TOLD,
    Estimate,
    Listing,
    NotListed,
    Offer,
    Profile,
    check_profile,
    what_differs,
)
from service.directory.search import BEGINNING, COMPARED_MAX, Place, Search
from service.money import Unit
from service.organisers.model import ProgrammeUnknown
from service.providers.model import BusinessIdInvalid, parse_business_id

SHOWN = 20
BANDS = ("weekday", "evening", "saturday", "sunday")


@dataclass(frozen=True, slots=True)
class Found:
    """One page of a list. `next_place` None: the last one."""

    offer: Offer
    listings: Sequence[Listing]
    total: int
    next_place: Place | None


@dataclass(frozen=True, slots=True)
class KeptProfiles:
    """All that a provider tells of itself: in general (`GENERAL`), and of single programmes."""

    name: str
    business_id: str
    profiles: Mapping[str, Profile]

    @property
    def is_empty(self) -> bool:
        return all(profile == NOTHING_TOLD for profile in self.profiles.values())


async def list_offers(conn: Connection, *, organiser: str | None = None, area: str = "") -> Sequence[Offer]:
    """The programmes of one organiser, or of all, each with how many are listed (of an area, when one is given)."""
    return [_offer(row) for row in await queries.select_offers(conn, organiser=organiser, area=area)]


async def search(
    conn: Connection,
    *,
    organiser: str,
    programme: str,
    asked: Search,
    after: Place = BEGINNING,
    limit: int = SHOWN,
) -> tuple[Found, Sequence[Offer]]:
    """A page of the providers of one programme, and all programmes of its organiser. Raises NotListed."""
    offers = await list_offers(conn, organiser=organiser)
    offer = next((each for each in offers if each.programme == programme), None)
    if offer is None:
        raise NotListed
    band = offer.band_of(asked.when or "weekday")
    rows = await queries.search_providers(
        conn,
        organiser_id=offer.organiser_id,
        programme=programme,
        search=asked,
        band=band,
        after=after,
        limit=limit + 1,
        visit=offer.example,
    )
    shown = rows[:limit]
    place = _place(shown[-1]) if len(rows) > limit else None
    listings = [_listing(row, offer, (band,)) for row in shown]
    return Found(offer, listings, rows[0]["total"] if rows else 0, place), offers


async def find_listed(
    conn: Connection, *, business_ids: Sequence[str], organiser: str | None = None, programme: str | None = None
) -> Sequence[Listing]:
    """What providers are listed for, by organiser and programme; ids that nobody has are left out, as are others
    beyond the first `COMPARED_MAX`.
    """
    known = list(dict.fromkeys(filter(None, map(_business_id, business_ids))))[:COMPARED_MAX]
    rows = await queries.select_listed(
        conn, business_ids=known, organiser=organiser, programme=programme, minutes=EXAMPLE_MINUTES
    )
    return [_listing(row, _offer(row), BANDS) for row in rows]


async def profiles_of(conn: Connection, *, provider_id: UUID) -> KeptProfiles:
    """All that a provider tells of itself."""
    rows = await queries.select_profiles(conn, provider_id=provider_id)
    profiles = {row["programme"]: _profile(row) for row in rows if row["programme"] is not None}
    return KeptProfiles(rows[0]["name"], rows[0]["business_id"], {GENERAL: NOTHING_TOLD, **profiles})


async def approved_programmes(conn: Connection, *, provider_id: UUID) -> Mapping[str, Mapping[str, str]]:
    """The names, by language, of the programmes that a provider is approved for anywhere, by short name."""
    rows = await queries.select_approved_programmes(conn, provider_id=provider_id)
    return {row["programme"]: row["names"] for row in rows}


async def set_profile(
    conn: Connection, *, provider_id: UUID, programme: str = GENERAL, profile: Profile, actor: str
) -> Profile:
    """Keep what a provider tells of itself, in general or of one programme; it shows at once. Returns it as kept.

    Call it in a transaction. The same again changes nothing. Raises ProfileUnfit, and ProgrammeUnknown for a programme
    that the provider is not approved for.
    """
    wanted = check_profile(_prepared(profile))
    if programme != GENERAL and programme not in await approved_programmes(conn, provider_id=provider_id):
        raise ProgrammeUnknown(programme=programme)
    row = await queries.lock_profile(conn, provider_id=provider_id, programme=programme)
    before = NOTHING_TOLD if row is None else _profile(row)
    changes = what_differs(before, wanted)
    if not changes:
        return before
    await queries.upsert_profile(conn, provider_id=provider_id, programme=programme, profile=wanted, updated_by=actor)
    await audit.record(
        conn,
        organiser_id=INSTALLATION,  # it is told to the families of all
        actor=actor,
        action="provider.set_profile",
        subject_id=provider_id,
        reason=f"{programme or 'general'}: {', '.join(changes)}",
    )
    return wanted


async def who_to_call(conn: Connection) -> Sequence[tuple[str, str]]:
    """Every organiser's name with the number that its families call."""
    return [(row["name"], row["help_phone"]) for row in await queries.select_who_to_call(conn)]


def _prepared(profile: Profile) -> Profile:
    """Composed letters and one kind of line end, as everything that is kept has."""
    return Profile(
        descriptions={language: prepare(text).strip() for language, text in profile.descriptions.items()},
        areas=None if profile.areas is None else tuple(prepare(area).strip() for area in profile.areas),
        hours=profile.hours,
        languages=profile.languages,
        phone=profile.phone,
        email=profile.email,
        web=profile.web,
        takes_new=profile.takes_new,
    )


def _business_id(text: str) -> str | None:
    try:
        return parse_business_id(text[:20])
    except BusinessIdInvalid:
        return None


def _place(row: Record) -> Place:
    return Place(row["first_key"], row["second_key"], row["name_order"], row["business_id"])


def _offer(row: Record) -> Offer:
    return Offer(
        organiser_id=row["organiser_id"],
        organiser=row["slug"],
        organiser_name=row["organiser_name"],
        help_phone=row["help_phone"],
        default_language=row["default_language"],
        programme=row["programme"],
        names=row["names"],
        unit=Unit(row["unit"]),
        step=row["step"],
        values={band: row[f"{band}_value"] for band in BANDS},
        evening_from=row["evening_from"],
        evening_to=row["evening_to"],
        free_by_law=row["free_by_law"],
        providers=row["providers"],
    )


def _listing(row: Record, offer: Offer, bands: Sequence[str]) -> Listing:
    has_list, has_next = row["weekday_cents"] is not None, row.get("next_from") is not None
    return Listing(
        business_id=row["business_id"],
        name=row["name"],
        offer=offer,
        prices={band: row[f"{band}_cents"] for band in BANDS} if has_list else None,
        profile=_profile(row),
        estimates=tuple(
            Estimate(band, each["pays_cents"], each["own_cents"], each["is_refused"])
            for band, each in zip(bands, row["estimates"], strict=True)
        ),
        next_prices_from=row["next_from"] if has_next else None,
        next_prices={band: row[f"next_{band}"] for band in BANDS} if has_next else None,
    )


def _profile(row: Record) -> Profile:
    return Profile(
        descriptions=row["descriptions"],
        areas=None if row["areas"] is None else tuple(row["areas"]),
        # jsonb keeps no order
        hours=row["hours"] and {kind: row["hours"][kind] for kind in HOURS if kind in row["hours"]},
        languages=None if row["languages"] is None else tuple(row["languages"]),
        phone=row["phone"],
        email=row["email"],
        web=row["web"],
        takes_new=row["takes_new"],
    )
