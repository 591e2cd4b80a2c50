"""The demo as its users have it: one command, a story that comes out, and nothing left behind, however it ends."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import typer
from click.testing import Result
from rich.console import Console
from typer.testing import CliRunner

from service.sandbox import commands
from service.sandbox.client import World
from service.sandbox.home import Home
from service.sandbox.processes import command_line
from service.sandbox.scene import EMAIL, PHONE
from service.sandbox.story import STEPS, play
from service.vouchers.decisions import helsinki_day

REPOSITORY = Path(__file__).parents[2]
NAMES = {"postgres", "valkey", "sandbox", "web", "worker"}

GIVES_UP_AFTER_S = 240.0  # what takes seconds, on a machine that does much else

pytestmark = pytest.mark.timeout(900)


def start(data: str, *options: str, cwd: Path, output: Path) -> subprocess.Popen[bytes]:
    with output.open("ab") as stream:
        return subprocess.Popen(
            [sys.executable, "-m", "service", "demo", "--data", data, *options],
            cwd=cwd,
            env={"PYTHONPATH": str(REPOSITORY)},  # as `env -i`, and what is set for another purpose stays outside
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
        )


@contextmanager
def running_demo(data: Path, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A demo that is ready; its own story may still be under way."""
    output = tmp_path / "output"
    demo = start(str(data.relative_to(tmp_path)), cwd=tmp_path, output=output)
    try:
        until(lambda: demo.poll() is not None or (data / "demo.json").exists())
        assert demo.poll() is None, said(output)
        yield demo
    finally:
        demo.kill()
        demo.wait()


def said(output: Path) -> str:
    """What a demo has shown so far; it may be in the middle of a character."""
    return output.read_text("utf-8", errors="replace")


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + GIVES_UP_AFTER_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def pids(data: Path) -> Mapping[str, int]:
    return {path.stem: int(path.read_text()) for path in (data / "run").glob("*.pid")}


def is_gone(pid: int) -> bool:
    return not command_line(pid)


def facts(data: Path) -> Mapping[str, Any]:
    told: Mapping[str, Any] = json.loads((data / "demo.json").read_text())
    return told


def world(data: Path) -> World:
    told = facts(data)
    return World(told["base_url"], told["sandbox_url"], told["organiser_key"], told["provider_key"])


# Whom the story meets with dead, from which step on. Not the web process while a receipt is under way: a gateway brings
# one a few times only, and on a slow machine the service asks after the text later than the story waits.
KILLED_AT_STEP = {1: "worker", 4: "web", 6: "valkey", 7: "postgres", 9: "sandbox"}


async def play_again(data: Path, killed_at_step: Mapping[int, str] | None = None) -> str | None:
    """The story, with kill -9 of a process at each of those steps; what it said if it failed."""
    output = io.StringIO()
    playing = asyncio.create_task(play(world(data), Console(file=output, width=100)))
    for number, name in (killed_at_step or {}).items():
        while f"\n{number:2}. " not in output.getvalue() and not playing.done():  # noqa: ASYNC110 - a story tells no events
            await asyncio.sleep(0.005)
        assert not playing.done(), f"the story was over before step {number}:\n{output.getvalue()}"
        os.kill(pids(data)[name], signal.SIGKILL)
    failed = await playing
    return None if failed is None else output.getvalue()


def secrets_of(data: Path) -> set[str]:
    """Everything that no log may hold: codes, contacts, keys."""
    journal = (data / "sandbox" / "sandbox.jsonl").read_text("utf-8", errors="replace")
    codes = {found.replace(" ", "") for found in re.findall(r"\b[1-9]\d{3} \d{4} \d{4}\b", journal)}
    assert len(codes) >= 2
    unfolded = journal.replace("=\\r\\n", "")  # quoted-printable folds long lines, wherever it pleases
    links = set(re.findall(r"/f/([\w-]{80,})", unfolded))
    assert links, "no mail has a link to the family's page"
    told = facts(data)
    contacts = {PHONE, PHONE.removeprefix("+"), "0405550123", "5550123", EMAIL, EMAIL.partition("@")[0]}
    keys = {told["organiser_key"], told["provider_key"], told["support_key"]}
    for person in told["people"]:
        contacts.add(person["email"])
        keys |= {person["password"], person["totp_secret"]}
    own = {line.partition("=")[2] for line in (data / "secrets.env").read_text().splitlines()}
    own = {value for value in own if not value.startswith("AC")}  # an account's name, not a secret
    return codes | links | contacts | keys | own


def test_the_story_is_told_again_whatever_dies_and_nothing_leaks_or_is_left(tmp_path: Path) -> None:
    """All in one start: it costs more than what is shown in it."""
    data = tmp_path / "a folder/with ääkköset/deep"
    forgo_past(data)
    with running_demo(data, tmp_path) as demo:
        output = tmp_path / "output"
        until(lambda: "stays up" in said(output))
        assert_told(output, times=1)
        for private in (data / "demo.json", data / "sandbox" / "people.json"):
            assert stat.S_IMODE(private.stat().st_mode) == 0o600
        assert_whoever_is_named_can_sign_in(facts(data))
        began_with = pids(data)
        story = asyncio.run(play_again(data, KILLED_AT_STEP))
        assert story is None, story
        until(lambda: all(pids(data)[name] != pid for name, pid in began_with.items()))  # each is started again
        assert_refused_as_second(data)
        assert_nothing_is_left_after_kill_9(demo, data)
    assert_nothing_leaked(data)


@pytest.mark.slow
def test_it_ends_after_the_story_and_a_second_start_continues_with_its_data(tmp_path: Path) -> None:
    relative = "a folder/with ääkköset/deep"
    data, output = tmp_path / relative, tmp_path / "output"
    demo = start(relative, "--once", cwd=tmp_path, output=output)
    assert demo.wait(2 * GIVES_UP_AFTER_S) == 0, said(output)
    assert_told(output, times=1)
    assert set(pids(data)) == NAMES
    assert all(map(is_gone, pids(data).values()))
    first = facts(data)
    with running_demo(data, tmp_path) as demo:
        until(lambda: "stays up" in said(output))
        assert facts(data) == first
        assert_whoever_is_named_can_sign_in(first)
        assert_nothing_is_left_after_kill_9(demo, data)
    assert_told(output, times=2)
    assert said(output).count("Loading some weeks") == 1
    assert_nothing_leaked(data)


def forgo_past(data: Path) -> None:
    """Let nothing be loaded of the months before: that takes longer than the story."""
    Home(data).note_past(helsinki_day(datetime.now(UTC)), is_whole=True)


def assert_told(output: Path, *, times: int) -> None:
    shown = said(output)
    assert shown.count("The story is told") == times
    assert all(shown.count(title) == times for title, _ in STEPS)
    assert "\x1b" not in shown
    assert "not whole" not in shown


def assert_nothing_is_left_after_kill_9(demo: subprocess.Popen[bytes], data: Path) -> None:
    left = pids(data)
    assert set(left) == NAMES
    assert not any(map(is_gone, left.values()))
    demo.kill()
    assert demo.wait(GIVES_UP_AFTER_S) == -signal.SIGKILL
    until(lambda: all(map(is_gone, left.values())))


def assert_nothing_leaked(data: Path) -> None:
    logs = [*(data / "logs").glob("*.log"), *(data / "valkey").rglob("*.aof")]
    assert {"web.log", "worker.log", "sandbox.log", "postgres.log", "valkey.log"} <= {log.name for log in logs}
    for log in logs:
        text = log.read_text(errors="replace").replace(" ", "")
        leaked = [secret for secret in secrets_of(data) if secret in text]
        assert not leaked, f"{log.name} holds {leaked}"


def run_here(*options: str) -> Result:
    """The command in this process: what it refuses needs no process of its own."""
    app = typer.Typer()
    app.command()(commands.demo)
    return CliRunner().invoke(app, options)


def assert_refused_as_second(data: Path) -> None:
    refused = run_here("--once", "--data", str(data))
    assert refused.exit_code == 1
    assert "in use by another session" in refused.output


def assert_whoever_is_named_can_sign_in(told: Mapping[str, Any]) -> None:
    """With the present code of the sandbox's page."""
    for name, role in (("provider_login", "provider_admin"), ("desk_login", "organiser_admin")):
        login = told[name]
        # Anew for each: a code is good for half a minute and a little more.
        people = {person["email"]: person for person in asyncio.run(get_json(told["people_url"] + ".json"))}
        assert (login["role"], login["password"]) == (role, people[login["email"]]["password"])
        assert login["totp_secret"] in login["totp_uri"]
        assert asyncio.run(sign_in(told["base_url"], people[login["email"]])) == 200
    assert asyncio.run(open_support(told)) == 200


@pytest.mark.slow
@pytest.mark.long
def test_it_survives_kill_9_of_each_process_in_a_story_of_its_own_and_stops_when_it_is_told_to(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running_demo(data, tmp_path) as demo:
        until(lambda: "stays up" in said(tmp_path / "output"))
        for number, name in KILLED_AT_STEP.items():
            pid = pids(data)[name]
            failed = asyncio.run(play_again(data, {number: name}))
            assert failed is None, f"after kill -9 of {name}: {failed}"
            until(lambda name=name, pid=pid: pids(data)[name] != pid)
        assert asyncio.run(play_again(data)) is None
        demo.send_signal(signal.SIGINT)
        assert demo.wait(GIVES_UP_AFTER_S) == 0
        assert all(map(is_gone, pids(data).values()))


async def get_json(url: str) -> Any:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return await answer.json()


async def sign_in(base_url: str, person: Mapping[str, str]) -> int:
    """As a browser does, form by form; the status of the person's own account page then."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        for path, form in (
            ("/sign-in", {"email": person["email"], "password": person["password"]}),
            ("/sign-in/second-step", {"code": person["totp_code"]}),
        ):
            async with session.get(base_url + path) as page:
                token = re.search(r'name="csrf" value="([^"]+)"', await page.text())
            assert token is not None
            async with session.post(
                base_url + path, data={"csrf": token[1], **form}, headers={"Origin": base_url}
            ) as done:
                await done.read()
        async with session.get(f"{base_url}/account", allow_redirects=False) as account:
            return account.status


async def open_support(told: Mapping[str, Any]) -> int:
    async with (
        aiohttp.ClientSession() as session,
        session.get(
            told["support_url"], headers={"Authorization": aiohttp.encode_basic_auth("demo", told["support_key"])}
        ) as answer,
    ):
        return answer.status


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGKILL])
def test_no_process_is_left_by_any_signal(number: signal.Signals, tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running_demo(data, tmp_path) as demo:
        left = pids(data)
        assert set(left) == NAMES
        assert not any(map(is_gone, left.values()))
        demo.send_signal(number)
        status = demo.wait(GIVES_UP_AFTER_S)
        assert status == (0 if number == signal.SIGHUP else -number)
        until(lambda: all(map(is_gone, left.values())))


@pytest.mark.slow
@pytest.mark.parametrize("delay_s", [0.3, pytest.param(1.5, marks=pytest.mark.long)])
def test_stopped_while_it_starts_it_leaves_nothing_and_says_so_in_its_status(delay_s: float, tmp_path: Path) -> None:
    data = tmp_path / "data"
    demo = start(str(data), "--once", cwd=tmp_path, output=tmp_path / "output")
    until(lambda: (data / "ports.json").exists())
    time.sleep(delay_s)
    demo.send_signal(signal.SIGTERM)
    assert demo.wait(GIVES_UP_AFTER_S) == 128 + signal.SIGTERM
    assert all(map(is_gone, pids(data).values()))


def test_a_port_that_is_taken_is_one_clear_sentence(tmp_path: Path) -> None:
    with socket.socket() as rival:
        rival.bind(("127.0.0.1", 0))
        rival.listen()
        port = rival.getsockname()[1]
        refused = run_here("--once", "--data", str(tmp_path / "data"), "--port", str(port))
    assert refused.exit_code == 1
    assert refused.output.startswith(f"port {port} is taken")
    assert "Traceback" not in refused.output


def test_a_place_where_nothing_can_be_kept_is_one_clear_sentence(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.write_text("a file, no folder")
    refused = run_here("--once", "--data", str(data))
    assert refused.exit_code == 1
    assert refused.output == f"{data}: File exists. Choose another place with DATA=<folder>.\n"


async def test_a_story_that_goes_wrong_names_its_step(unused_tcp_port: int) -> None:
    output = io.StringIO()
    nowhere = World(f"http://127.0.0.1:{unused_tcp_port}", f"http://127.0.0.1:{unused_tcp_port}", "x", "y")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("service.sandbox.client.PATIENCE_S", 0.1)
        assert await play(nowhere, Console(file=output)) == STEPS[0][0]
    assert "failed at step 1" in output.getvalue()
