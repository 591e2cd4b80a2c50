"""The demo: the whole service with its surroundings on this machine, and the story played on it.

Starts an embedded PostgreSQL and Valkey, the sandbox, `migrate`, the sample data, `web` and `worker`, each as a real
process with a real environment, and keeps them running. No process outlives it, however it ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import signal
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from rich.console import Console

import service
from service.crypto import Keys
from service.db import Pool, close_pool, open_pool
from service.sandbox.client import World
from service.sandbox.home import Home, Ports
from service.sandbox.loading import Loaded, load_data, load_past
from service.sandbox.mail import CERTIFICATE_NAME
from service.sandbox.people import ORGANISER_ADMIN, PROVIDER_ADMIN
from service.sandbox.postgres import SUPERUSER, start_postgres
from service.sandbox.processes import claim_folder
from service.sandbox.sample import COUNTY, FAMILY_SERVICES
from service.sandbox.story import play
from service.sandbox.supervisor import PythonProcess, Supervisor
from service.sandbox.valkey import start_valkey
from service.settings import parse_keyring

READY_TIMEOUT_S = 120.0
ANSWER_TIMEOUT_S = 30.0
LOG_LINES_SHOWN = 15
OURS = ("web", "worker")
SENDER = "+358457300100"  # families can answer to a number; an alphanumeric sender is one-way

# Quicker than in production, where a gateway's word may take minutes: here it is a process on the same machine.
QUICK_DELIVERY = {
    "GATEWAY_TIMEOUT_S": "5",
    "LEASE_S": "8",
    "UNKNOWN_WAIT_S": "4",
    "LOOKUP_INTERVAL_S": "2",
    "POLL_INTERVAL_S": "0.5",
    "QUIET_FROM": "0",  # none: whoever tries the demo at night sees the receipts, too
    "QUIET_TO": "0",
    "TEXT_ANSWERS_PER_DAY": "1000",
    "TEXTS_PER_NUMBER_PER_DAY": "1000",  # its story can be told all day, to one phone
}


class DemoFailed(Exception):
    """The demo cannot start; the text says why."""


class Output(Console):
    """The terminal. When nobody reads it any more (`make demo | head`), the demo ends as after any other fault."""

    def on_broken_pipe(self) -> None:
        try:
            super().on_broken_pipe()
        except SystemExit:
            raise DemoFailed("nobody reads the demo's output any more") from None


@dataclass(frozen=True)
class DemoOptions:
    data: Path
    port: int | None
    once: bool


async def run_demo(options: DemoOptions, console: Console) -> int:
    """Start everything, play the story, and, unless `once`, stay until SIGINT, SIGTERM, SIGHUP or SIGQUIT.

    Returns the exit status. With `once`: 0 if every step came out as it should, 1 if one did not, 128 + signal if it
    was stopped before the end. Otherwise 0: it was stopped because somebody wanted it to. Raises DemoFailed, NoPort,
    ServerStartError. Call it in the main thread: only there can processes be started that die with us.
    """
    stopped: asyncio.Future[signal.Signals] = asyncio.get_running_loop().create_future()
    with _signals_into(stopped):
        playing = asyncio.create_task(_start_and_play(options, console))
        await asyncio.wait((playing, stopped), return_when=asyncio.FIRST_COMPLETED)
        if playing.done():
            return playing.result()
        console.print("Stopping …")
        playing.cancel()
        await asyncio.wait((playing,))
        return 128 + stopped.result() if options.once else 0


@contextmanager
def _signals_into(stopped: asyncio.Future[signal.Signals]) -> Iterator[None]:
    """The first signal to stop is the result; later ones change nothing: every wait on the way out has an end."""

    def tell(number: signal.Signals) -> None:
        if not stopped.done():
            stopped.set_result(number)

    loop = asyncio.get_running_loop()
    # SIGHUP under nohup stays ignored: whoever says nohup wants to log out and leave the demo running.
    numbers = [signal.SIGINT, signal.SIGTERM, signal.SIGQUIT]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    for number in numbers:
        loop.add_signal_handler(number, tell, number)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


async def _start_and_play(options: DemoOptions, console: Console) -> int:
    home = Home(options.data)
    claim = claim_folder(home.folder)
    try:
        home.forget_told()
        async with _running_service(home, home.choose_ports(options.port), console) as world:
            failed_step = await play(world, console)
            if not options.once:
                _say_where_to_look(home, world, console)
                await asyncio.get_running_loop().create_future()  # until it is cancelled
            return 0 if failed_step is None else 1
    finally:
        claim.release()


@asynccontextmanager
async def _running_service(home: Home, ports: Ports, console: Console) -> AsyncIterator[World]:
    """All processes, ready, and kept running until the end of the block."""
    env = _environment(home, ports)
    keys = Keys.from_keyrings(encryption=parse_keyring(env["ENCRYPTION_KEYS"]), index=parse_keyring(env["INDEX_KEYS"]))
    supervisor = Supervisor(note_pid=home.note_pid)
    watching = asyncio.create_task(supervisor.watch())
    try:
        console.print(f"Starting PostgreSQL, Valkey, the sandbox, web and worker in {home.folder} …", soft_wrap=True)
        await _start_servers(supervisor, home, ports)
        _keep_running(supervisor, "sandbox", ["-m", "service.sandbox"], home=home, env=env)
        await _run_to_end("migrate", ["-m", "service", "migrate"], home=home, env=env)
        _keep_running(supervisor, "web", ["-m", "service", "web"], home=home, env=env)
        async with _pool(env["DATABASE_URL"]) as pool:
            loaded = await load_data(home, pool, keys)
            # Only now: invitations whose links are used up are not mailed.
            _keep_running(supervisor, "worker", ["-m", "service", "worker"], home=home, env=env)
            world = World(
                base_url=env["PUBLIC_URL"],
                sandbox_url=env["TWILIO_BASE_URL"],
                organiser_key=loaded.keys.organiser_key,
                provider_key=loaded.keys.provider_key,
            )
            await _wait_until_ready(f"{world.sandbox_url}/health", home.logs / "sandbox.log")
            await _wait_until_ready(f"{world.base_url}/health/ready", home.logs / "web.log")
            await load_past(home, world, pool, keys, console)
        home.share_environment(env)
        home.tell(await _facts(world, env, loaded))
        yield world
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
        supervisor.stop(together=OURS)  # they finish what is in flight while everything they need still runs


@asynccontextmanager
async def _pool(database_url: str) -> AsyncIterator[Pool]:
    pool = await open_pool(database_url, size=4, application_name="seteli demo")
    try:
        yield pool
    finally:
        await close_pool(pool)


async def _start_servers(supervisor: Supervisor, home: Home, ports: Ports) -> None:
    postgres, valkey = home.folder / "postgres", home.folder / "valkey"
    supervisor.start("postgres", lambda: start_postgres(postgres, port=ports.postgres))
    await asyncio.sleep(0)  # starting blocks for a second: let a signal to stop in
    supervisor.start("valkey", lambda: start_valkey(valkey, port=ports.valkey))
    await asyncio.sleep(0)
    for server in (postgres, valkey):
        link = home.logs / f"{server.name}.log"
        if not link.is_symlink():
            link.symlink_to(Path("..", server.name, link.name))


def _keep_running(
    supervisor: Supervisor, name: str, arguments: Sequence[str], *, home: Home, env: Mapping[str, str]
) -> None:
    log_file = home.logs / f"{name}.log"
    supervisor.start(name, lambda: PythonProcess(arguments, env=env, log_file=log_file))


async def _run_to_end(name: str, arguments: Sequence[str], *, home: Home, env: Mapping[str, str]) -> None:
    log_file = home.logs / f"{name}.log"
    process = PythonProcess(arguments, env=env, log_file=log_file)
    try:
        while process.is_running:  # noqa: ASYNC110 - asyncio's own processes do not die with their parent
            await asyncio.sleep(0.02)
    finally:
        process.stop()
    if process.exit_status != 0:
        raise DemoFailed(f"{name} failed with status {process.exit_status}:\n{_last_lines(log_file)}")


async def _wait_until_ready(url: str, log_file: Path) -> None:
    try:
        async with asyncio.timeout(READY_TIMEOUT_S), aiohttp.ClientSession() as session:
            while not await _answers_ok(session, url):  # noqa: ASYNC110 - there is nothing to be told by
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise DemoFailed(f"{url} is not ready after {READY_TIMEOUT_S:.0f} s:\n{_last_lines(log_file)}") from None


async def _answers_ok(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url, timeout=aiohttp.ClientTimeout(total=5)) as answer:
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False


def _environment(home: Home, ports: Ports) -> Mapping[str, str]:
    """All that the processes are told, as in production. Of our own environment nothing is passed on: what is set
    there for another purpose, a DATABASE_URL above all, must not reach them.
    """
    return {
        **home.load_secrets(),
        **QUICK_DELIVERY,
        "DATABASE_URL": f"postgresql://{SUPERUSER}@127.0.0.1:{ports.postgres}/seteli?sslmode=disable",
        "REDIS_URL": f"redis://127.0.0.1:{ports.valkey}/0",
        "PUBLIC_URL": f"http://127.0.0.1:{ports.web}",
        "HOST": "127.0.0.1",
        "PORT": str(ports.web),
        "WORKER_PORT": str(ports.worker),
        "TWILIO_BASE_URL": f"http://127.0.0.1:{ports.sandbox}",
        "TWILIO_SENDER": SENDER,
        "SMTP_HOST": "127.0.0.1",
        "SMTP_PORT": str(ports.sandbox_smtp),
        "SMTP_CA_FILE": str(home.sandbox / CERTIFICATE_NAME),
        "EMAIL_SENDER": "Seteli <seteli@kuusiranta.example>",
        "SANDBOX_PORT": str(ports.sandbox),
        "SANDBOX_SMTP_PORT": str(ports.sandbox_smtp),
        "SANDBOX_DATA": str(home.sandbox),
        "PYTHONPATH": str(Path(service.__file__).parent.parent),
        "PYTHONUNBUFFERED": "1",
        "LANG": "C.UTF-8",
    }


async def _facts(world: World, env: Mapping[str, str], loaded: Loaded) -> Mapping[str, object]:
    provider, desk = await _pages(world)
    logins = {login.email: login for login in loaded.logins}
    return {
        "base_url": world.base_url,
        "sandbox_url": world.sandbox_url,
        "docs_url": f"{world.base_url}/docs",
        "directory_url": f"{world.base_url}/directory",
        "guide_url": f"{world.base_url}/how-it-works",
        "worker_url": f"http://127.0.0.1:{env['WORKER_PORT']}",
        "organiser": COUNTY,
        "organiser_key": world.organiser_key,
        "provider": FAMILY_SERVICES.business_id,
        "provider_key": world.provider_key,
        "support_key": loaded.keys.support_key,
        "support_url": f"{world.base_url}/support",
        "provider_login": logins[PROVIDER_ADMIN.email].told(provider),
        "desk_login": logins[ORGANISER_ADMIN.email].told(desk),
        "people": [each.told(provider if each.owner == "provider" else desk) for each in loaded.logins],
        "people_url": f"{world.sandbox_url}/people",
        "database_url": env["DATABASE_URL"],
        "redis_url": env["REDIS_URL"],
    }


async def _pages(world: World) -> tuple[str, str]:
    """Where providers' people and caseworkers begin: their own page where this version has it, else signing in."""
    sign_in = f"{world.base_url}/sign-in"
    async with aiohttp.ClientSession() as session:
        pages = [f"{world.base_url}{path}" for path in ("/provider", "/desk")]
        there = [await _answers(session, page) for page in pages]
    provider, desk = (page if is_there else sign_in for page, is_there in zip(pages, there, strict=True))
    return provider, desk


async def _answers(session: aiohttp.ClientSession, url: str) -> bool:
    async with session.get(url, allow_redirects=False, timeout=aiohttp.ClientTimeout(total=ANSWER_TIMEOUT_S)) as answer:
        return answer.status != 404


def _say_where_to_look(home: Home, world: World, console: Console) -> None:
    told = home.told()
    lines = (
        ("provider's page", told["provider_login"]["address"]),
        ("caseworker's desk", told["desk_login"]["address"]),
        ("who signs in", f"{told['people_url']}  (passwords, and the one-time codes of this moment)"),
        ("for families", f"{told['directory_url']}  and  {told['guide_url']}"),
        ("support", f"{told['support_url']}  (any name; the password is support_key in demo.json)"),
        ("phones and mail", f"{world.sandbox_url}/"),
        ("API and its docs", f"{world.base_url}/docs"),
        ("for scripts", str(home.story)),
        ("the command line", f". {shlex.quote(str(home.environment))}; .venv/bin/python -m service --help"),
        ("logs", f"{home.logs}/"),
    )
    console.print("\nThe demo stays up. Ctrl-C stops it. Where to look:")
    for name, place in lines:
        console.print(f"  {name:<19}{place}", soft_wrap=True, highlight=False, markup=False)
    console.print("\nTo sign in:")
    for login in told["people"]:
        line = f"{login['role'].replace('_', ' '):<18}{login['email']:<36}{login['password']}"
        console.print(f"  {line}", soft_wrap=True, highlight=False, markup=False)


def _last_lines(log_file: Path) -> str:
    lines = log_file.read_text(errors="replace").splitlines() if log_file.exists() else []
    return "\n".join(lines[-LOG_LINES_SHOWN:]) or "(its log is empty)"
