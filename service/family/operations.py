"""What the family's page shows and does. It has no SQL of its own: it reads what vouchers and debits know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from service import audit
from service.crypto import Keys, SealBroken
from service.db import Connection
from service.debits.disputes import FAMILY, DebitUnknown, dispute_visit
from service.debits.history import HistoryPlace
from service.debits.operations import VisitsPage, WeekUse, visit_of_voucher, visits_of_voucher, week_of_voucher
from service.family.model import (
    LINK_PATH,
    FamilyLink,
    FamilyLinkDead,
    FamilyVisit,
    group_visits,
    read_link,
    write_link,
)
from service.organisers.model import Organiser, Programme
from service.organisers.operations import find_programme, organiser_by_id
from service.vouchers import operations as vouchers
from service.vouchers.changes import VoucherHistory
from service.vouchers.model import SENDABLE, FamilyCode, ShownState, Voucher

VIEW_ACTION = "voucher.view_by_link"
VISITS_SHOWN = 30
"""Of one page: some twenty kilobytes, and a year of a family that is visited every other week."""


@dataclass(frozen=True, slots=True)
class FamilyPage:
    """All that a family is shown of its voucher."""

    voucher: Voucher
    state: ShownState
    code: str | None
    """The digits; None once they can pay for nothing any more."""
    language: str
    organiser: Organiser
    programme: Programme
    visits: Sequence[FamilyVisit]
    """Some of them, the newest day first; what is left and what is used are of all."""
    earlier: HistoryPlace | None
    """Where earlier visits begin; None when there are none."""
    history: VoucherHistory
    week: WeekUse

    def visit(self, debit_id: UUID) -> FamilyVisit:
        """Raises FamilyLinkDead: an address that this link does not open."""
        found = next((visit for visit in self.visits if visit.debit_id == debit_id), None)
        if found is None:
            raise FamilyLinkDead
        return found


def link_fields(
    keys: Keys,
    wanted: Sequence[tuple[UUID, UUID]],
    *,
    public_url: str,
    lives_days: int,
    now: datetime,
) -> Mapping[UUID, Mapping[str, str]]:
    """The link of each mail, by code id, for (organiser_id, code_id) pairs. Made while the mail is, and never kept."""
    expires_at = now + timedelta(days=lives_days)
    links = (FamilyLink(organiser_id, code_id, expires_at) for organiser_id, code_id in wanted)
    return {link.code_id: {"link": public_url + LINK_PATH + write_link(keys.sealer, link)} for link in links}


async def open_page(
    conn: Connection,
    keys: Keys,
    *,
    link: str,
    today: date,
    after: HistoryPlace | None = None,
    debit_id: UUID | None = None,
) -> FamilyPage:
    """What the link opens, with the visits behind a place, or with one alone; that it was opened is noted, once in ten
    minutes. Raises FamilyLinkDead.

    Eleven statements, each a short one by key, on a connection without a transaction: nothing but the note is written.
    """
    organiser_id, known = await _find(conn, keys, link)
    voucher_id = known.voucher_id
    voucher = await vouchers.find_voucher(conn, organiser_id=organiser_id, voucher_id=voucher_id)
    state = voucher.shown_state(today)
    visits = await _visits(conn, organiser_id, voucher_id, after, debit_id)
    page = FamilyPage(
        voucher=voucher,
        state=state,
        code=known.code if state in SENDABLE else None,
        language=known.language,
        organiser=await organiser_by_id(conn, organiser_id),
        programme=await find_programme(conn, organiser_id, voucher.programme),
        visits=group_visits(visits.entries),
        earlier=visits.earlier,
        history=await vouchers.voucher_history(conn, organiser_id=organiser_id, voucher_id=voucher_id),
        week=await week_of_voucher(conn, organiser_id=organiser_id, voucher_id=voucher_id),
    )
    await audit.record_view(conn, organiser_id=organiser_id, actor=FAMILY, action=VIEW_ACTION, subject_id=voucher_id)
    return page


async def _visits(
    conn: Connection, organiser_id: UUID, voucher_id: UUID, after: HistoryPlace | None, debit_id: UUID | None
) -> VisitsPage:
    if debit_id is None:
        return await visits_of_voucher(
            conn, organiser_id=organiser_id, voucher_id=voucher_id, after=after, limit=VISITS_SHOWN
        )
    one = await visit_of_voucher(conn, organiser_id=organiser_id, voucher_id=voucher_id, debit_id=debit_id)
    return VisitsPage(one, None)


async def say_it_did_not_happen(
    conn: Connection, keys: Keys, *, link: str, debit_id: UUID, sentence: str | None
) -> None:
    """Dispute a visit of the link's voucher, in the caller's transaction.

    Idempotent: said again, however much later, it changes nothing. Raises FamilyLinkDead, also for a visit of another
    voucher, AlreadyReversed, DisputeTooLate.
    """
    organiser_id, known = await _find(conn, keys, link)
    try:
        await dispute_visit(
            conn, organiser_id=organiser_id, voucher_id=known.voucher_id, debit_id=debit_id, reason=sentence
        )
    except DebitUnknown:
        raise FamilyLinkDead from None


async def _find(conn: Connection, keys: Keys, text: str) -> tuple[UUID, FamilyCode]:
    """A forged link touches no database: there is nothing to be counted, and nothing to be slowed down by."""
    link = read_link(keys.sealer, text, datetime.now(UTC))
    try:
        known = await vouchers.find_family_code(conn, keys, organiser_id=link.organiser_id, code_id=link.code_id)
    except SealBroken:
        raise FamilyLinkDead from None
    if known is None:
        raise FamilyLinkDead
    return link.organiser_id, known
