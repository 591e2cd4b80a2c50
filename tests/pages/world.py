"""A world in which every page has something to show: one installation, families, visits, and people of every role."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from service.attention.operations import open_item
from service.db import Connection, transaction
from service.debits.operations.lookups import keep_lookup
from service.imports import operations as imports
from service.organisers.operations import set_rules
from service.people.operations import links, sessions
from service.providers.operations import approve
from service.vouchers.decisions import helsinki_day
from tests.browsers import sign_in_as
from tests.debits.pages.windows import serve
from tests.desk.files import HEADER, line, work
from tests.guessing.support import add_support_key, guess
from tests.installations import Installation
from tests.overview.towns import fill_weeks

PROVIDER = "9000101-4"  # does home help and therapy, unlike the first by name
ROLES = ("worker", "office", "provider_admin", "caseworker", "supervisor", "organiser_admin")
HALFWAY = {"enrolling": "enrol", "second step": "second_factor"}
"""Who is between the password and the second step, and how far."""
VISITS = 12


@dataclass
class World:
    """`known` fills the {names} in a visit's address; `cookies` are the sessions, by (who, language)."""

    here: Installation
    home: str
    known: dict[str, str] = field(default_factory=dict)
    cookies: dict[tuple[str, str], str] = field(default_factory=dict)
    support_key: str = ""

    async def cookie(self, who: str, language: str) -> str:
        """A session of somebody of this role, or halfway to one, who reads this language."""
        if (who, language) not in self.cookies:
            self.cookies[who, language] = await _sign_in(self, who, language)
        return self.cookies[who, language]

    async def address(self, template: str, who: str | None, language: str) -> str:
        """`template` with its names filled in; a look-up is of the person who looks."""
        if "{lookup}" in template or "{therapy_lookup}" in template or "{dead_lookup}" in template:
            assert who is not None
            visitor = await self.here.resources.visitor(await self.cookie(who, language))
            assert visitor is not None
            for name, code in (("lookup", "code"), ("therapy_lookup", "therapy_code"), ("dead_lookup", "dead_code")):
                lookup_id = await keep_lookup(
                    self.here.resources.pool,
                    self.here.resources.keys,
                    person_id=visitor.person_id,
                    code=self.known[code].replace(" ", ""),
                )
                self.known[name] = str(lookup_id)
        return self.home + template.format(**self.known, language=language)


@asynccontextmanager
async def furnished(database_url: str, redis_url: str) -> AsyncIterator[World]:
    async with serve(database_url, redis_url) as here:
        world = World(here, here.resources.settings.public_url)
        today = helsinki_day(datetime.now(UTC))
        world.known |= {"today": str(today), "tomorrow": str(today + timedelta(days=1))}
        await _families(world)
        await _visits(world)
        await _files(world)
        async with transaction(here.resources.pool) as conn:
            await _troubles(conn, world)
            await _to_come(conn, today)
            await _links(conn, world)
        await fill_weeks(here)
        world.support_key = await add_support_key(here)
        await guess(here, 5, owner="9000202-5")
        yield world


async def _families(world: World) -> None:
    known: Mapping[str, Mapping[str, Any]] = {
        "voucher": {},
        "therapy": {"programme": "pariterapia", "granted": 5, "weekly": {"visits": 20}},
        "dead": {},
        "reached": {"beneficiary": {"email": "perhe@posti.example", "language": "sv", "initials": "A.H."}},
    }
    for name, changes in known.items():
        # From the day of the visits on, also if midnight has just passed.
        made = await world.here.decide(decision_ref=f"KH-{name}", valid_from=world.known["today"], **changes)
        world.known[name] = made["voucher_id"]
        world.known["code" if name == "voucher" else f"{name}_code"] = await world.here.code_of(made["voucher_id"])


async def _visits(world: World) -> None:
    code = world.known["code"]
    for number in range(VISITS):
        body = {"code": code, "amount": 15, "reference": f"lasku {number}"}
        body |= {"service_date": world.known["today"], "worker": "Leena Lehto", "task_type": "lastenhoito"}
        made = await _ask(world, PROVIDER, "/v1/debits", body, key=f"visit-{number}")
        world.known[{0: "reversed_debit", 1: "asked_debit"}.get(number, "debit")] = made["debit_id"]
    undo = {"reason": "väärä perhe"}
    await _ask(world, PROVIDER, f"/v1/debits/{world.known['reversed_debit']}/reverse", undo, key="undo")
    said = {"reason": "kukaan ei tullut"}
    await _ask(world, "kuusirannan-hva", f"/v1/debits/{world.known['debit']}/dispute", said, key=None)
    booking = {"code": code, "amount": 60, "service_date": world.known["tomorrow"]}
    world.known["hold"] = (await _ask(world, PROVIDER, "/v1/holds", booking, key="booking"))["hold_id"]
    await _ask(world, "kuusirannan-hva", f"/v1/vouchers/{world.known['dead']}/suspend", {"reason": "muutto"}, key=None)
    for link, voucher in (("link", "voucher"), ("suspended_link", "dead"), ("unused_link", "reached")):
        world.known[link] = await _mailed_link(world, world.known[voucher])
    answer = await world.here.client.post(f"/f/{world.known['link']}/visits/{world.known['debit']}", data={})
    assert answer.status == 200, await answer.text()


async def _mailed_link(world: World, voucher_id: str) -> str:
    """What a mail with the voucher's code says after the path of the family's page."""
    async with transaction(world.here.resources.pool) as conn:
        row = await conn.fetchrow("SELECT organiser_id, code_id FROM vouchers WHERE voucher_id = $1", UUID(voucher_id))
        pair = (row["organiser_id"], row["code_id"])
        fields = await world.here.resources.delivery.secret_fields["voucher"](conn, [pair])
    return fields[row["code_id"]]["link"].rsplit("/", 1)[1]


async def _ask(world: World, owner: str, path: str, body: object, *, key: str | None) -> dict[str, Any]:
    answer = await world.here.call(owner, "POST", path, body, key=key)
    assert answer.status in (200, 201), await answer.text()
    return dict(await answer.json())


async def _troubles(conn: Connection, world: World) -> None:
    """A code that arrived, one that never did, and things that need a person."""
    reached, voucher = UUID(world.known["reached"]), UUID(world.known["voucher"])
    organiser_id = await conn.fetchval("SELECT organiser_id FROM vouchers WHERE voucher_id = $1", voucher)
    await conn.execute(
        "UPDATE messages SET state = 'delivered', accepted_at = now(), delivered_at = now() WHERE subject_id = $1",
        reached,
    )
    for reason in ("never_used", "contact_lost", "unreachable"):
        await open_item(conn, organiser_id=organiser_id, reason=reason, subject_id=voucher)


async def _to_come(conn: Connection, today: date) -> None:
    """What an organiser may take back: an approval of its own, and rules that begin later."""
    own = {"organiser_slug": "kuusirannan-hva", "programme": "kotipalvelu"}
    await approve(conn, business_id=PROVIDER, valid_from=today - timedelta(days=90), **own)
    await set_rules(conn, starts_on=today + timedelta(days=40), change={"weekday_cents": 3450}, actor="test", **own)


async def _files(world: World) -> None:
    """A file in each state, with good rows and a faulty one."""
    resources = world.here.resources
    async with transaction(resources.pool) as conn:
        organiser_id = await conn.fetchval("SELECT organiser_id FROM organisers WHERE slug = 'kuusirannan-hva'")
    for number, name in enumerate(("done_file", "begun_file", "failed_file", "waiting_file")):
        content = HEADER + line(f"T-{number}") + line(f"T-{number}-faulty", "014 555 0101")
        import_id = await imports.upload(
            resources.pool,
            resources.keys,
            organiser_id=organiser_id,
            name="päätökset.csv",
            content=content.encode(),
            actor="test",
        )
        world.known[name] = str(import_id)
        if name != "waiting_file":
            async with transaction(resources.pool) as conn:
                await imports.grant(
                    conn,
                    organiser_id=organiser_id,
                    import_id=import_id,
                    actor="test",
                    at_once=True,
                    quiet=resources.settings.quiet_hours,
                )
        if name == "done_file":
            await work(world.here)
    async with transaction(resources.pool) as conn:
        await conn.execute(
            "UPDATE imports SET state = 'failed', ended_at = now() WHERE import_id = $1::text::uuid",
            world.known["failed_file"],
        )


async def _links(conn: Connection, world: World) -> None:
    """Somebody who was invited, and somebody who forgot a password."""
    provider_id = await conn.fetchval("SELECT provider_id FROM providers WHERE business_id = $1", PROVIDER)
    invited = await links.invite(
        conn,
        world.here.resources.keys,
        owner="provider",
        owner_id=provider_id,
        role="worker",
        name="Veli Virta",
        email="veli.virta@seteli.test",
        language="fi",
        inviter="Perhepalvelu Pihlajanmarja",
        actor="test",
    )
    token, _ = await links._mail_link(
        conn, world.here.resources.keys, "recovery", person_id=invited.person_id, inviter="", actor="test"
    )
    world.known |= {"invitation": invited.token, "recovery": token, "person": str(invited.person_id)}


async def _sign_in(world: World, who: str, language: str) -> str:
    role = "office" if who in HALFWAY else who
    browser = await sign_in_as(world.here, role, language=language)
    assert browser.cookie is not None
    visitor = await world.here.resources.visitor(browser.cookie)
    assert visitor is not None
    async with transaction(world.here.resources.pool) as conn:
        await conn.execute(
            "UPDATE people SET provider_id = (SELECT provider_id FROM providers WHERE business_id = $2)"
            " WHERE person_id = $1 AND provider_id IS NOT NULL",
            visitor.person_id,
            PROVIDER,
        )
        if who in HALFWAY:
            await conn.execute("UPDATE people SET totp_sealed = 'x' WHERE person_id = $1", visitor.person_id)
            stage: Any = HALFWAY[who]
            return await sessions.begin_session(conn, person_id=visitor.person_id, stage=stage, user_agent="Test")
    return browser.cookie
