"""An installation with a support key, and providers that guess."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from service.db import transaction
from service.providers.operations import create_key
from service.sandbox.sample import FAMILY_SERVICES
from service.vouchers.codes import make_code
from tests.installations import Installation

PROVIDER = FAMILY_SERVICES.business_id
SUPPORT = "support"


async def add_support_key(here: Installation, *permissions: str, name: str = "Anna") -> str:
    async with transaction(here.resources.pool) as conn:
        made = await create_key(conn, support=True, name=name, permissions=frozenset(permissions) or None)
    return made.key


async def key_id_of(here: Installation, owner: str) -> UUID:
    caller = await here.resources.authenticate(here.keys[owner])
    assert caller is not None
    return caller.key_id


def unknown_code() -> str:
    """Well-formed; that a test's few vouchers have it is out of the question."""
    digits = iter([8, *(int(digit) for digit in str(uuid4().int)[:10])])
    return make_code(lambda below: next(digits) % below)


async def guess(here: Installation, times: int, *, owner: str = PROVIDER) -> list[str]:
    """The codes of the answers."""
    found: list[str] = []
    for _ in range(times):
        answer = await here.call(owner, "POST", "/v1/validate", {"code": unknown_code()})
        body: dict[str, Any] = await answer.json()
        found.append(body["code"])
    return found


async def pretend_misses(here: Installation, count: int, *, credential_id: UUID | None = None) -> None:
    """Misses by somebody else, a few minutes ago."""
    await here.resources.pool.execute(
        "INSERT INTO code_misses (missed_at, credential_id, provider_id)"
        " SELECT now() - interval '5 min', $1, provider_id FROM providers, generate_series(1, $2)"
        " WHERE business_id = $3",
        credential_id or uuid4(),
        count,
        PROVIDER,
    )
