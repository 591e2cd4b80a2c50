"""Puts the demo's data in: the sample, its keys and people before the service is used, its past once it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from rich.console import Console

from service.crypto import Keys
from service.db import Pool, transaction
from service.providers.operations import authenticate, revoke_key
from service.sandbox.backdating import load_months
from service.sandbox.client import StepFailed, World, open_client
from service.sandbox.home import Home
from service.sandbox.logins import DemoLogin
from service.sandbox.paperwork import load_paperwork
from service.sandbox.past import Teller, tell_past
from service.sandbox.people import load_people
from service.sandbox.sample import HOME_AID, DemoKeys, load_key, load_keys, load_sample
from service.vouchers.decisions import helsinki_day


@dataclass(frozen=True, slots=True)
class Loaded:
    """What opens the demo's doors."""

    keys: DemoKeys
    logins: Sequence[DemoLogin]


async def load_data(home: Home, pool: Pool, keys: Keys) -> Loaded:
    """The sample with its API keys and its people, kept in the data folder for the next start; idempotent."""
    async with transaction(pool) as conn:
        await load_sample(conn)
        api_keys = await load_keys(conn, home.load_keys())
    home.keep_keys(api_keys)
    logins = await load_people(pool, keys, home.load_logins())
    home.keep_logins(logins)
    return Loaded(api_keys, logins)


async def load_past(home: Home, world: World, pool: Pool, keys: Keys, console: Console) -> None:
    """The months and weeks before, once for a data folder; finished by the next start if this one is cut short.

    The story does without: when something of it is refused, that is said, and the demo goes on.
    """
    begun = home.begun_past()
    if begun is not None and begun[1]:
        return
    day = begun[0] if begun is not None else helsinki_day(datetime.now(UTC))
    home.note_past(day, is_whole=False)
    console.print("Loading some weeks of decisions and visits …")
    async with transaction(pool) as conn:
        other_key = await load_key(conn, None, business_id=HOME_AID.business_id)
    await load_months(pool, keys, day)
    await load_paperwork(pool, keys, day)
    try:
        async with open_client(world) as first, open_client(replace(world, provider_key=other_key)) as other:
            await tell_past(Teller(first, other, pool, keys), day)
    except StepFailed as failure:
        console.print(f"The weeks before are not whole: {failure}", style="yellow", highlight=False, markup=False)
    async with transaction(pool) as conn:  # it was for this alone
        caller = await authenticate(conn, other_key, datetime.now(UTC))
        if caller is not None:
            await revoke_key(conn, key_id=caller.key_id)
    home.note_past(day, is_whole=True)
