"""A browser without a browser: a cookie jar over the in-process installation, and people who are signed in."""

from __future__ import annotations

import re
from dataclasses import dataclass
from http.cookies import SimpleCookie
from uuid import UUID

from aiohttp import ClientResponse
from uuid_utils.compat import uuid7

from service.db import transaction
from service.people.model import PROVIDER_ROLES
from service.people.operations import sessions
from service.people.queries import accounts as queries
from tests.installations import PUBLIC_URL, Installation

HTML = {"Accept": "text/html", "Accept-Language": "en"}


@dataclass
class Browser:
    """One browser: a cookie, and what a browser sends by itself."""

    installation: Installation
    cookie: str | None = None
    kept_form: str | None = None
    """The cookie with what was filled in when the session had ended."""

    async def get(self, path: str, **headers: str) -> ClientResponse:
        return await self.send("GET", path, None, headers)

    async def post(self, path: str, form: dict[str, str], **headers: str) -> ClientResponse:
        return await self.send("POST", path, form, {"Origin": PUBLIC_URL, "Sec-Fetch-Site": "same-origin"} | headers)

    async def submit(self, page: str, path: str, form: dict[str, str] | None = None) -> ClientResponse:
        """Open a page, fill in a form of it, and send it, as a person does."""
        token = await csrf_of(await self.get(page))
        return await self.post(path, {"csrf": token, **(form or {})})

    async def send(
        self, method: str, path: str, form: dict[str, str] | None, headers: dict[str, str]
    ) -> ClientResponse:
        known = {**HTML, **headers}
        cookies = {"__Host-session": self.cookie, "__Host-form": self.kept_form}
        if any(cookies.values()):
            known["Cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items() if value)
        answer = await self.installation.client.request(method, path, data=form, headers=known, allow_redirects=False)
        given: SimpleCookie = SimpleCookie()
        for line in answer.headers.getall("Set-Cookie", []):
            given.load(line)
        if "__Host-session" in given:
            self.cookie = given["__Host-session"].value or None
        if "__Host-form" in given:
            self.kept_form = given["__Host-form"].value or None
        return answer


async def csrf_of(answer: ClientResponse) -> str:
    assert answer.status < 500, await answer.text()
    found = re.search(r'name="csrf" value="([^"]+)"', await answer.text())
    assert found is not None, "the page has no form"
    return found[1]


async def sign_in_as(
    installation: Installation, role: str, *, name: str = "Aino Käki", language: str = "en"
) -> Browser:
    """A person of the first owner that has such a role, signed in without going through the pages."""
    table, column = ("providers", "provider_id") if role in PROVIDER_ROLES else ("organisers", "organiser_id")
    async with transaction(installation.resources.pool) as conn:
        owner_id = await conn.fetchval(f"SELECT {column} FROM {table} ORDER BY name LIMIT 1")
        person_id: UUID = uuid7()
        await queries.insert_person(
            conn,
            person_id=person_id,
            organiser_id=owner_id if column == "organiser_id" else None,
            provider_id=owner_id if column == "provider_id" else None,
            role=role,
            name=name,
            language=language,
            email_sealed=b"sealed",
            email_index=person_id.bytes,
            email_hint="a…@…",
            created_by="test",
        )
        token = await sessions.begin_session(conn, person_id=person_id, stage="full", user_agent="Test")
    return Browser(installation, token)
