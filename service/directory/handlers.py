"""The directory for programs: what municipalities show on pages of their own. For everybody, without a key."""

from __future__ import annotations

from dataclasses import asdict
from datetime import time
from typing import Annotated, Literal

from pydantic import Field

from service.db import autocommit
from service.directory import operations
from service.directory.model import Listing, NotListed, Offer
from service.directory.search import BEGINNING, TEXT_MAX, Search, Sort, read_cursor, write_cursor
from service.money import Unit
from service.web import AnswerModel, Call, QueryModel, Reply, Route
from service.web.copies import for_everybody

# A county's own web page may ask from the browser of whoever reads it: nothing here is anybody's secret.
HEADERS = {"Access-Control-Allow-Origin": "*"}
When = Literal["weekday", "evening", "saturday", "sunday", "holiday"]
Slug = Annotated[str, Field(min_length=1, max_length=40)]
Text = Annotated[str, Field(max_length=TEXT_MAX)]
Cents = Annotated[int | None, Field(description="In cents; none: not known")]
# No `time`: that format of JSON Schema is RFC 3339's, which wants an offset, and an evening has none.
Clock = Annotated[str, Field(pattern=r"^\d\d:\d\d$", description="In Finland", examples=["18:00"])]


class ProgrammesQuery(QueryModel):
    organiser: Annotated[str | None, Field(max_length=40, description="One organiser's short name; else all")] = None


class ProvidersQuery(QueryModel):
    organiser: Slug
    programme: Slug
    name: Annotated[Text, Field(description="A part of the company's name")] = ""
    area: Annotated[Text, Field(description="The beginning of a municipality's name")] = ""
    when: Annotated[When | None, Field(description="Who works then; the example visit is of such hours")] = None
    language: Annotated[Text, Field(description="ISO 639: who serves in it")] = ""
    sort: Annotated[Sort, Field(description="`own`: by what the family pays of the example visit")] = "own"
    limit: Annotated[int, Field(ge=1, le=100)] = 50
    cursor: Annotated[str | None, Field(max_length=600, description="`next_cursor` of the page before")] = None


class Bands(AnswerModel):
    """In cents, by tariff band: for an hour (minutes and cents), a visit or a session."""

    weekday: int
    evening: int
    saturday: int
    sunday: Annotated[int, Field(description="Of public holidays, too")]


class ListedProgramme(AnswerModel):
    """A service that an organiser pays for with vouchers."""

    organiser: str
    organiser_name: str
    help_phone: str
    programme: str
    names: dict[str, str]
    unit: Unit
    voucher_pays_at_most: Annotated[Bands | None, Field(description="None: a sum of money")]
    evening_from: Annotated[Clock | None, Field(description="None: an evening is charged as the day is")]
    evening_to: Clock | None
    free_by_law: bool
    providers: Annotated[int, Field(description="How many are listed")]

    @classmethod
    def of(cls, offer: Offer) -> ListedProgramme:
        return cls(
            organiser=offer.organiser,
            organiser_name=offer.organiser_name,
            help_phone=offer.help_phone,
            programme=offer.programme,
            names=dict(offer.names),
            unit=offer.unit,
            voucher_pays_at_most=_bands(offer.values),
            evening_from=_clock(offer.evening_from),
            evening_to=_clock(offer.evening_to),
            free_by_law=offer.free_by_law,
            providers=offer.providers,
        )


class ListedProgrammes(AnswerModel):
    """Every service, by organiser."""

    programmes: list[ListedProgramme]


class ExampleVisit(AnswerModel):
    """An estimate for one visit, by the rules that the debit is charged by."""

    band: Annotated[str, Field(description="The tariff band: `weekday`, `evening`, `saturday` or `sunday`")]
    size: Annotated[int, Field(description="Minutes, visits or sessions")]
    voucher_pays_cents: Cents
    family_pays_cents: Cents
    can_be_charged: Annotated[bool, Field(description="False: free by law, and the price is above the value")]


class ListedProvider(AnswerModel):
    """An approved provider of one programme, with what it tells of itself. None: it has not told."""

    business_id: str
    name: str
    page: Annotated[str, Field(description="The directory's page about it")]
    prices: Annotated[Bands | None, Field(description="None: what the voucher pays")]
    example: ExampleVisit
    descriptions: dict[str, str]
    areas: list[str] | None
    hours: Annotated[dict[str, str] | None, Field(description="By kind of day: `08:00-16:00`, or empty")]
    languages: list[str] | None
    phone: str | None
    email: str | None
    web: str | None
    takes_new: Annotated[bool | None, Field(description="New customers")]

    @classmethod
    def of(cls, listing: Listing, public_url: str) -> ListedProvider:
        told, [estimate] = asdict(listing.profile), listing.estimates
        return cls(
            business_id=listing.business_id,
            name=listing.name,
            page=f"{public_url}/directory/providers/{listing.business_id}",
            prices=_bands(listing.prices or {}),
            example=ExampleVisit(
                band=estimate.band,
                size=listing.offer.example,
                voucher_pays_cents=estimate.pays_cents,
                family_pays_cents=estimate.own_cents,
                can_be_charged=not estimate.is_refused,
            ),
            **told,
        )


class ListedProviders(AnswerModel):
    """A page of the providers of one programme."""

    programme: ListedProgramme
    total: int
    providers: list[ListedProvider]
    next_cursor: str | None


async def list_programmes(call: Call) -> Reply:
    """Every organiser's services, with what the voucher pays at most today. Public; may be kept for a minute."""
    asked = call.query_as(ProgrammesQuery)
    async with autocommit(call.resources.pool) as conn:
        offers = await operations.list_offers(conn, organiser=asked.organiser)
    if asked.organiser is not None and not offers:
        raise NotListed
    body = ListedProgrammes(programmes=[ListedProgramme.of(each) for each in offers])
    return for_everybody(call.raw, Reply(body=body, headers=HEADERS))


async def list_providers(call: Call) -> Reply:
    """The approved providers of one organiser's programme, with prices and what the family pays of an example visit.

    Public, as the Service Voucher Act asks; may be kept for a minute. A cursor goes with the search that it came from.
    """
    asked = call.query_as(ProvidersQuery)
    search = Search(name=asked.name, area=asked.area, when=asked.when or "", language=asked.language, sort=asked.sort)
    async with autocommit(call.resources.pool) as conn:
        found, _ = await operations.search(
            conn,
            organiser=asked.organiser,
            programme=asked.programme,
            asked=search,
            after=read_cursor(asked.cursor or "") or BEGINNING,
            limit=asked.limit,
        )
    body = ListedProviders(
        programme=ListedProgramme.of(found.offer),
        total=found.total,
        providers=[ListedProvider.of(each, call.resources.settings.public_url) for each in found.listings],
        next_cursor=None if found.next_place is None else write_cursor(found.next_place),
    )
    return for_everybody(call.raw, Reply(body=body, headers=HEADERS))


def _clock(moment: time | None) -> str | None:
    return None if moment is None else f"{moment:%H:%M}"


def _bands(cents: object) -> Bands | None:
    known = cents if isinstance(cents, dict) else {}
    return Bands(**known) if known.get("weekday") is not None else None


ROUTES: tuple[Route, ...] = (
    Route(
        "GET",
        "/v1/directory/programmes",
        list_programmes,
        permission=None,
        summary="The services that have vouchers",
        query=ProgrammesQuery,
        answer=ListedProgrammes,
        errors=(NotListed,),
    ),
    Route(
        "GET",
        "/v1/directory/providers",
        list_providers,
        permission=None,
        summary="The approved providers of a service",
        query=ProvidersQuery,
        answer=ListedProviders,
        errors=(NotListed,),
    ),
)
