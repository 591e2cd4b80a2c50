"""What was filled in when a session turned out to be over, until the same person has signed in again.

It is kept in the browser that sent it, sealed, for a quarter of an hour: nothing of it is stored here, and none of it
can be read there. Only for forms that hold no secret (`PageRoute.again`), only when the form was shown in the session
that has timed out, and only its person is shown it again, on the page that it belongs to. Nothing is done with it.
"""

from __future__ import annotations

import base64
import binascii
import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

from multidict import MultiDict, MultiDictProxy

from service.crypto import SealBroken, Sealer
from service.identity_codes import PersonalIdentityCode, refuse_identity_code
from service.settings import Settings
from service.web.errors import FormExpired
from service.web.pages.calls import FormData, PageCall
from service.web.pages.csrf import check_csrf
from service.web.pages.ways import way_back

LIVES = timedelta(minutes=15)
SEALED_MAX = 3_500
"""Characters: browsers keep a cookie of 4096, with its name and what is said about it."""
CONTEXT = b"kept form"
NOT_KEPT = ("csrf", "show_in")


def kept_form_cookie_name(settings: Settings) -> str:
    """As the session's cookie is named."""
    return "__Host-form" if settings.public_url.startswith("https://") else "form"


async def keep_form(call: PageCall) -> str | None:
    """The cookie's value; None: it may not be kept, was not shown in that session, or nobody knows whose it is."""
    token = call.token.value
    if call.route.again is None or token is None:
        return None
    fields = [[name, value] for name, value in call.form.items() if isinstance(value, str) and name not in NOT_KEPT]
    try:
        check_csrf(call.resources.keys.index, token, call.value("csrf"))
        for name, value in fields:
            refuse_identity_code(name, value)
    except (FormExpired, PersonalIdentityCode):
        return None
    person_id = await call.resources.timed_out(token)
    if person_id is None:
        return None
    until = int((datetime.now(UTC) + LIVES).timestamp())
    text = json.dumps([str(person_id), until, way_back(call), fields], ensure_ascii=False, separators=(",", ":"))
    kept = base64.urlsafe_b64encode(call.resources.keys.sealer.seal(text, CONTEXT)).decode().rstrip("=")
    return kept if len(kept) <= SEALED_MAX else None


def kept_form(call: PageCall) -> FormData | None:
    """What was filled in on this page by whoever looks at it now, while it is kept."""
    cookie = call.raw.cookies.get(kept_form_cookie_name(call.resources.settings), "")
    found = _open(call.resources.keys.sealer, cookie)
    if found is None or call.known_visitor is None:
        return None
    person_id, until, path, fields = found
    if (person_id, path) != (call.known_visitor.person_id, call.raw.path) or until <= datetime.now(UTC).timestamp():
        return None
    return fields


def _open(sealer: Sealer, cookie: str) -> tuple[UUID, int, str, FormData] | None:
    if not cookie or len(cookie) > SEALED_MAX:
        return None
    try:
        text = sealer.open(base64.b64decode(cookie + "=" * (-len(cookie) % 4), altchars=b"-_", validate=True), CONTEXT)
    except (SealBroken, binascii.Error, ValueError):
        return None
    person_id, until, path, fields = json.loads(text)
    return UUID(person_id), until, path, MultiDictProxy(MultiDict(fields))
