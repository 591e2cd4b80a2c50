"""Adding and finding regions, organisers and programmes.

Adding is idempotent, whoever else adds at the same time: the same content again gives what is there, other content is
a conflict that changes nothing. Nothing here deletes, and of a programme only what families are told can change:
vouchers point at these rows for six years.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from uuid import UUID

from uuid_utils.compat import uuid7

from service import audit
from service.channels.sms_text import prepare
from service.db import Connection
from service.money import Unit
from service.organisers import queries
from service.organisers.model import (
    Organiser,
    OrganiserDiffers,
    OrganiserUnknown,
    Programme,
    ProgrammeDiffers,
    ProgrammeUnknown,
    Receipts,
    Region,
    RegionDiffers,
    RegionUnknown,
    check_names,
    check_organiser,
    check_programme,
    check_region,
)
from service.organisers.rules import (
    FIRST_DAY,
    ProgrammeRules,
    RulesChange,
    RulesVersionUnknown,
    StartsTooEarly,
    changed_rules,
    check_rules,
    what_changed,
)


async def add_region(conn: Connection, *, slug: str, name: str) -> Region:
    """Add a region, or return the one that is there. Raises SlugMalformed, NameUnfit, RegionDiffers."""
    region = Region(uuid7(), slug, prepare(name))
    check_region(region)
    await queries.insert_region(conn, region=region)
    kept = await find_region(conn, slug)
    if replace(region, region_id=kept.region_id) != kept:
        raise RegionDiffers(region=slug)
    return kept


async def find_region(conn: Connection, slug: str) -> Region:
    """Raises RegionUnknown."""
    region = await queries.select_region(conn, slug=slug)
    if region is None:
        raise RegionUnknown(region=slug)
    return region


async def add_organiser(
    conn: Connection,
    *,
    slug: str,
    name: str,
    region_slug: str | None = None,
    default_language: str = "fi",
    help_phone: str,
    directory_address: str,
) -> Organiser:
    """Add an organiser, or return the one that is there.

    Raises RegionUnknown, SlugMalformed, NameUnfit, LanguageUnserved, TextUnfit, OrganiserDiffers.
    """
    region = None if region_slug is None else await find_region(conn, region_slug)
    organiser = Organiser(
        organiser_id=uuid7(),
        slug=slug,
        name=prepare(name),
        region_id=None if region is None else region.region_id,
        default_language=default_language,
        help_phone=prepare(help_phone),
        directory_address=prepare(directory_address),
    )
    check_organiser(organiser)
    await queries.insert_organiser(conn, organiser=organiser)
    kept = await find_organiser(conn, slug)
    if replace(organiser, organiser_id=kept.organiser_id) != kept:
        raise OrganiserDiffers(organiser=slug)
    return kept


async def change_organiser(
    conn: Connection, *, slug: str, help_phone: str | None = None, directory_address: str | None = None, actor: str
) -> Organiser:
    """Change what families are told: whom to call, and where providers are listed. None leaves as it is.

    Messages queued before keep their wording. The same again changes nothing. Raises OrganiserUnknown, TextUnfit.
    """
    async with conn.transaction():
        kept = await queries.lock_organiser(conn, slug=slug)
        if kept is None:
            raise OrganiserUnknown(organiser=slug)
        changed = replace(
            kept,
            help_phone=kept.help_phone if help_phone is None else prepare(help_phone),
            directory_address=kept.directory_address if directory_address is None else prepare(directory_address),
        )
        check_organiser(changed)
        if changed == kept:
            return kept
        await queries.update_organiser(conn, organiser=changed)
        await audit.record(
            conn,
            organiser_id=kept.organiser_id,
            actor=actor,
            action="organiser.change",
            subject_id=kept.organiser_id,
            reason=f"help_phone {changed.help_phone}; directory_address {changed.directory_address}",
        )
    return changed


async def find_organiser(conn: Connection, slug: str) -> Organiser:
    """Raises OrganiserUnknown."""
    organiser = await queries.select_organiser(conn, slug=slug)
    if organiser is None:
        raise OrganiserUnknown(organiser=slug)
    return organiser


async def organiser_by_id(conn: Connection, organiser_id: UUID) -> Organiser:
    """Raises OrganiserUnknown."""
    organiser = await queries.select_organiser_by_id(conn, organiser_id=organiser_id)
    if organiser is None:
        raise OrganiserUnknown(organiser=str(organiser_id))
    return organiser


async def list_organisers(conn: Connection) -> Sequence[tuple[Organiser, str | None]]:
    """Every organiser with the name of its region, by name."""
    return await queries.select_organisers(conn)


async def add_programme(
    conn: Connection,
    *,
    organiser_slug: str,
    programme: str,
    names: Mapping[str, str],
    unit: Unit,
    step: int = 1,
    unit_value_cents: int | None = None,
    rules: RulesChange | None = None,
    neutral_texts: bool = False,
    receipts: Receipts = Receipts.EACH,
    actor: str = "set-up",
) -> Programme:
    """Add a programme with the first version of its rules to an organiser, or return the one that is there.

    Amounts are granted and charged in multiples of `step`; `unit_value_cents` is what an hour, visit or session is
    worth, where `rules`, which has all the rest, does not say it for a tariff band. Raises OrganiserUnknown,
    SlugMalformed, LanguageUnserved, TextUnfit, ProgrammeDiffers, and what `check_rules` raises.
    """
    organiser = await find_organiser(conn, organiser_slug)
    wanted = Programme(
        organiser_id=organiser.organiser_id,
        programme=programme,
        names={language: prepare(name) for language, name in names.items()},
        unit=unit,
        step=step,
        unit_value_cents=unit_value_cents,
        neutral_texts=neutral_texts,
        receipts=receipts,
    )
    check_programme(wanted)
    first: RulesChange = {"step": step, "weekday_cents": unit_value_cents}
    first.update(rules or {})
    first_rules = changed_rules(ProgrammeRules(FIRST_DAY), first, starts_on=FIRST_DAY)
    check_rules(first_rules, unit)
    async with conn.transaction():
        if await queries.insert_programme(conn, programme=wanted):
            await queries.upsert_rules(
                conn,
                organiser_id=organiser.organiser_id,
                programme=programme,
                rules=first_rules,
                created_by=actor,
            )
    kept = await find_programme(conn, organiser.organiser_id, programme)
    kept_rules = await queries.select_rules_on(
        conn, organiser_id=organiser.organiser_id, programme=programme, day=FIRST_DAY
    )
    if _as_added(kept) != _as_added(wanted) or kept_rules != first_rules:
        raise ProgrammeDiffers(programme=programme, organiser=organiser_slug)
    return kept


def _as_added(programme: Programme) -> Programme:
    """Without what later versions of the rules may have changed since."""
    return replace(programme, step=1, unit_value_cents=None, weekly_visits=None, weekly_minutes=None)


async def change_programme(
    conn: Connection,
    *,
    organiser_slug: str,
    programme: str,
    names: Mapping[str, str] | None = None,
    neutral_texts: bool | None = None,
    receipts: Receipts | None = None,
) -> Programme:
    """Change what families are told: the names given (others stay), neutral texts, receipts. None leaves as it is.

    Messages queued before keep their wording. Idempotent. Raises OrganiserUnknown, ProgrammeUnknown,
    LanguageUnserved, TextUnfit.
    """
    organiser = await find_organiser(conn, organiser_slug)
    kept = await queries.lock_programme(conn, organiser_id=organiser.organiser_id, programme=programme)
    if kept is None:
        raise ProgrammeUnknown(programme=programme)
    changed = replace(
        kept,
        names={**kept.names, **{language: prepare(name) for language, name in (names or {}).items()}},
        neutral_texts=kept.neutral_texts if neutral_texts is None else neutral_texts,
        receipts=kept.receipts if receipts is None else receipts,
    )
    check_names(changed)
    await queries.update_programme(conn, programme=changed)
    return changed


async def set_rules(
    conn: Connection,
    *,
    organiser_slug: str,
    programme: str,
    starts_on: date,
    change: RulesChange,
    actor: str,
) -> ProgrammeRules:
    """Store the rules that are in force from a day on: those of that day so far, with the change.

    The day is tomorrow in Finland or later; a version that begins on it and is not in force yet is replaced. Versions
    that begin later stay as they are. The same again changes nothing, also when it has begun. Raises OrganiserUnknown,
    ProgrammeUnknown, StartsTooEarly, and what `check_rules` raises.
    """
    organiser = await find_organiser(conn, organiser_slug)
    organiser_id = organiser.organiser_id
    async with conn.transaction():
        found = await queries.lock_programme(conn, organiser_id=organiser_id, programme=programme)
        before = await queries.select_rules_on(conn, organiser_id=organiser_id, programme=programme, day=starts_on)
        if found is None:
            raise ProgrammeUnknown(programme=programme)
        if before is None:
            raise StartsTooEarly(earliest=str(FIRST_DAY))
        after = changed_rules(before, change, starts_on=starts_on)
        changes = what_changed(before, after)
        if not changes:
            return before
        today = await queries.select_today(conn)
        if starts_on <= today:
            raise StartsTooEarly(earliest=str(today + timedelta(days=1)))
        check_rules(after, found.unit)
        await queries.upsert_rules(conn, organiser_id=organiser_id, programme=programme, rules=after, created_by=actor)
        await audit.record(
            conn,
            organiser_id=organiser_id,
            actor=actor,
            action="programme.set_rules",
            subject_id=organiser_id,
            reason=f"{programme} from {starts_on}: "
            + "; ".join(f"{name} {was} → {now}" for name, (was, now) in changes.items()),
        )
    return after


async def withdraw_rules(
    conn: Connection, *, organiser_slug: str, programme: str, starts_on: date, actor: str
) -> ProgrammeRules:
    """Take back the version that begins on a day and has not begun; returns what is in force on that day instead.

    Versions that begin later stay as they are, whole. What is held for those days is charged under what is in force
    then. Raises OrganiserUnknown, ProgrammeUnknown, RulesVersionUnknown, StartsTooEarly.
    """
    organiser = await find_organiser(conn, organiser_slug)
    organiser_id = organiser.organiser_id
    async with conn.transaction():
        if await queries.lock_programme(conn, organiser_id=organiser_id, programme=programme) is None:
            raise ProgrammeUnknown(programme=programme)
        versions = await queries.select_rules(conn, organiser_id=organiser_id, programme=programme)
        withdrawn = next((version for version in versions if version.starts_on == starts_on), None)
        if withdrawn is None:
            raise RulesVersionUnknown(starts_on=str(starts_on))
        if not await queries.delete_rules(conn, organiser_id=organiser_id, programme=programme, starts_on=starts_on):
            raise StartsTooEarly(earliest=str(await queries.select_today(conn) + timedelta(days=1)))
        after = await rules_of(conn, organiser_id=organiser_id, programme=programme, day=starts_on)
        await audit.record(
            conn,
            organiser_id=organiser_id,
            actor=actor,
            action="programme.withdraw_rules",
            subject_id=organiser_id,
            reason=f"{programme} from {starts_on}: "
            + "; ".join(f"{name} {was} → {now}" for name, (was, now) in what_changed(withdrawn, after).items()),
        )
    return after


async def list_rules(
    conn: Connection, *, organiser_slug: str, programme: str
) -> tuple[Programme, Sequence[ProgrammeRules], date]:
    """A programme, every version of its rules (the first one first) and the day in Finland.

    Raises OrganiserUnknown, ProgrammeUnknown.
    """
    organiser = await find_organiser(conn, organiser_slug)
    found = await find_programme(conn, organiser.organiser_id, programme)
    versions = await queries.select_rules(conn, organiser_id=organiser.organiser_id, programme=programme)
    return found, versions, await queries.select_today(conn)


async def rules_of(conn: Connection, *, organiser_id: UUID, programme: str, day: date) -> ProgrammeRules:
    """The rules in force on a day. Raises ProgrammeUnknown."""
    rules = await queries.select_rules_on(conn, organiser_id=organiser_id, programme=programme, day=day)
    if rules is None:
        raise ProgrammeUnknown(programme=programme)
    return rules


async def find_programme(conn: Connection, organiser_id: UUID, programme: str) -> Programme:
    """Raises ProgrammeUnknown."""
    found = await queries.select_programme(conn, organiser_id=organiser_id, programme=programme)
    if found is None:
        raise ProgrammeUnknown(programme=programme)
    return found


async def check_region_has_programme(conn: Connection, region: Region, programme: str) -> None:
    """Raises ProgrammeUnknown unless at least one organiser of the region has the programme."""
    if not await queries.select_region_has_programme(conn, region_id=region.region_id, programme=programme):
        raise ProgrammeUnknown(programme=programme)


async def list_programmes(conn: Connection, *, organiser_slug: str) -> Sequence[Programme]:
    """An organiser's programmes, by their short name. Raises OrganiserUnknown."""
    organiser = await find_organiser(conn, organiser_slug)
    return await queries.select_programmes(conn, organiser_id=organiser.organiser_id)
