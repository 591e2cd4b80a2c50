"""An owner's admins and their people: invited, helped, removed; and never another owner's, nor themselves."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from service.db import transaction
from tests.browsers import Browser, csrf_of, sign_in_as
from tests.installations import Installation, install, settings_for

FORM = {"name": "Veli Virta", "email": "veli@seteli.test", "role": "worker", "language": "sv"}


@pytest.fixture
async def installation(database_url: str, redis_url: str) -> AsyncIterator[Installation]:
    async with install(settings_for(database_url, redis_url)) as installation:
        yield installation


async def person_named(installation: Installation, name: str) -> UUID:
    async with transaction(installation.resources.pool) as conn:
        found: UUID = await conn.fetchval("SELECT person_id FROM people WHERE name = $1", name)
    return found


async def test_an_admin_invites_and_the_mail_says_who_without_saying_the_link_in_the_outbox(
    installation: Installation,
) -> None:
    admin = await sign_in_as(installation, "provider_admin", name="Aino Käki")
    answer = await admin.submit("/people/invite", "/people/invite", FORM)
    assert (answer.status, answer.headers["Location"]) == (303, "/people")
    page = await (await admin.get("/people")).text()
    assert "Veli Virta is invited" in page
    assert "veli@seteli.test" not in page
    async with transaction(installation.resources.pool) as conn:
        mail = await conn.fetchrow("SELECT kind, channel, language, fields, recipient_hint FROM messages")
    assert (mail["kind"], mail["channel"], mail["language"]) == ("invitation", "email", "sv")
    assert mail["fields"]["inviter"] == "Aino Käki"
    assert set(mail["fields"]) == {"inviter", "owner", "valid_to"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"role": "caseworker"}, "no such role"),
        ({"role": "organiser_admin"}, "no such role"),
        ({"email": "nonsense"}, "address"),
        ({"name": ""}, ""),
        ({"language": "de"}, ""),
    ],
)
async def test_an_invitation_that_cannot_be_is_refused_with_what_was_filled_in(
    installation: Installation, changes: dict[str, str], said: str
) -> None:
    admin = await sign_in_as(installation, "provider_admin")
    answer = await admin.submit("/people/invite", "/people/invite", FORM | changes)
    page = await answer.text()
    assert answer.status in (400, 422)
    assert 'role="alert"' in page
    assert said in page
    assert (FORM | changes)["email"] in page
    assert await person_named(installation, "Veli Virta") is None


async def test_an_address_belongs_to_one_person_however_it_is_written(installation: Installation) -> None:
    admin = await sign_in_as(installation, "provider_admin")
    await admin.submit("/people/invite", "/people/invite", FORM)
    again = await admin.submit("/people/invite", "/people/invite", FORM | {"email": "VELI@Seteli.test"})
    assert again.status == 409


async def test_only_admins_see_people_and_only_their_own(installation: Installation) -> None:
    admin = await sign_in_as(installation, "provider_admin", name="Tuottajan Tuija")
    await sign_in_as(installation, "caseworker", name="Kunnan Kaisa")
    for role in ("worker", "office", "caseworker", "supervisor"):
        other = await sign_in_as(installation, role, name=f"Muu {role}")
        assert (await other.get("/people")).status == 403, role
        token = await csrf_of(await other.get("/account"))
        assert (await other.post("/people/invite", FORM | {"csrf": token})).status == 403
    page = await (await admin.get("/people")).text()
    assert "Tuottajan Tuija" in page
    assert "Kunnan Kaisa" not in page
    foreign = await person_named(installation, "Kunnan Kaisa")
    assert (await admin.get(f"/people/{foreign}")).status == 404
    for action in ("remove", "reset", "role", "invite"):
        answer = await admin.submit("/people", f"/people/{foreign}/{action}", {"role": "worker"})
        assert answer.status == 404, action
    assert (await admin.get("/people/nonsense")).status == 404


@pytest.mark.parametrize("action", ["remove", "reset", "role"])
async def test_nobody_removes_resets_or_promotes_themselves(installation: Installation, action: str) -> None:
    admin = await sign_in_as(installation, "provider_admin", name="Aino Käki")
    own = await person_named(installation, "Aino Käki")
    answer = await admin.submit("/people", f"/people/{own}/{action}", {"role": "office"})
    assert answer.status == 422
    assert (await admin.get("/people")).status == 200


async def test_who_is_removed_is_out_at_once_and_leaves_no_address(installation: Installation) -> None:
    admin = await sign_in_as(installation, "provider_admin", name="Aino Käki")
    worker = await sign_in_as(installation, "worker", name="Veli Virta")
    person_id = await person_named(installation, "Veli Virta")
    answer = await admin.submit(f"/people/{person_id}", f"/people/{person_id}/remove")
    assert answer.status == 303
    assert (await worker.get("/account")).status == 303
    async with transaction(installation.resources.pool) as conn:
        left = await conn.fetchrow("SELECT * FROM people WHERE person_id = $1", person_id)
    assert [left[name] for name in ("email_sealed", "email_index", "password_sealed", "totp_sealed")] == [None] * 4
    assert left["name"] == "Veli Virta"
    assert "Veli Virta" in await (await admin.get("/people")).text()


async def test_a_reset_is_recorded_ends_the_sessions_and_a_role_changes_at_the_next_request(
    installation: Installation,
) -> None:
    admin = await sign_in_as(installation, "provider_admin", name="Aino Käki")
    worker = await sign_in_as(installation, "worker", name="Veli Virta")
    person_id = await person_named(installation, "Veli Virta")
    changed = await admin.submit(f"/people/{person_id}", f"/people/{person_id}/role", {"role": "provider_admin"})
    assert changed.status == 303
    assert (await worker.get("/people")).status == 200
    await admin.submit(f"/people/{person_id}", f"/people/{person_id}/reset")
    assert (await worker.get("/people")).status == 303
    async with transaction(installation.resources.pool) as conn:
        events = await conn.fetch("SELECT actor, action FROM people_events WHERE person_id = $1", person_id)
        own = await conn.fetchval("SELECT person_id FROM people WHERE name = 'Aino Käki'")
    assert {(event["actor"], event["action"]) for event in events} == {
        (f"person:{own}", "role_provider_admin"),
        (f"person:{own}", "second_factors_reset"),
    }


async def test_the_staff_of_a_suspended_provider_are_out_at_once(installation: Installation) -> None:
    worker = await sign_in_as(installation, "worker")
    assert (await worker.get("/account")).status == 200
    async with transaction(installation.resources.pool) as conn:
        await conn.execute("UPDATE providers SET suspended_at = now()")
    assert (await worker.get("/account")).status == 303


async def test_the_navigation_shows_each_role_its_own_pages(installation: Installation) -> None:
    for role, sees in (("provider_admin", True), ("worker", False)):
        page = await (await (await sign_in_as(installation, role)).get("/account")).text()
        assert bool(re.search(r'<a href="/people"', page)) is sees


async def test_nobody_is_shown_pages_and_told_of_them_by_a_page_that_is_not_signed_in(
    installation: Installation,
) -> None:
    page = await (await Browser(installation).get("/sign-in")).text()
    assert "/people" not in page
