"""The demo's data folder: its secrets, its ports, its keys, and what it tells scripts.

Everything here is made once and found again by the next start over the same folder. What is secret is readable by its
owner alone, and is never half written.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import shlex
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import date
from pathlib import Path
from typing import Any

from service.sandbox.logins import LOGINS_NAME, DemoLogin, logins_as_text, read_logins
from service.sandbox.sample import DemoKeys
from service.settings import KEY_BYTES

# Below 32768, where the kernel begins to take ports for outgoing connections: while the web process is down for a
# second, the worker's next connection to the database could otherwise take the very port it has to come back on.
PORTS_FROM, PORTS_TO = 20_000, 32_000
# Each session begins to look at a place of its own, by the number of its process: between the choice and the moment in
# which a process listens there are seconds, and two sessions that start together must not choose the same.
PORTS_EACH = 16


class NoPort(Exception):
    """A port that was asked for is taken, or none is free; the text says which."""


@dataclass(frozen=True)
class Ports:
    """Where the demo's processes listen on 127.0.0.1."""

    web: int
    worker: int
    sandbox: int
    sandbox_smtp: int
    postgres: int
    valkey: int


class Home:
    """One data folder; its paths are absolute."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        # Others may pass through, not look: as root, where user namespaces are refused, PostgreSQL runs as `nobody`.
        self.folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        self.story = self.folder / "demo.json"
        self.environment = self.folder / "environment"
        self.logs = self._subfolder("logs")
        self.pids = self._subfolder("run")
        self.sandbox = self._subfolder("sandbox")

    def _subfolder(self, name: str) -> Path:
        path = self.folder / name
        path.mkdir(mode=0o700, exist_ok=True)
        return path

    def load_secrets(self) -> Mapping[str, str]:
        """The environment variables that the processes share and nobody else may know; made once."""
        path = self.folder / "secrets.env"
        known = dict(line.split("=", 1) for line in path.read_text().splitlines()) if path.exists() else {}
        wanted = {name: known.get(name) or make() for name, make in _SECRETS.items()}
        if wanted != known:
            write_private(path, "".join(f"{name}={value}\n" for name, value in wanted.items()))
        return wanted

    def choose_ports(self, web: int | None) -> Ports:
        """The ports of the last start where they are free, others where not. Raises NoPort if `web` is taken."""
        path = self.folder / "ports.json"
        known: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}
        if web is not None:
            if not is_free(web):
                raise NoPort(
                    f"port {web} is taken, or not yours: stop what listens there, or choose another with PORT=<n>"
                )
            known["web"] = web
        chosen: dict[str, int] = {}
        for each in fields(Ports):
            chosen[each.name] = choose_port(known.get(each.name), taken=set(chosen.values()))
        write_private(path, json.dumps(chosen))
        return Ports(**chosen)

    def load_keys(self) -> DemoKeys | None:
        """The API keys of an earlier start."""
        path = self.folder / "keys.json"
        return DemoKeys(**json.loads(path.read_text())) if path.exists() else None

    def keep_keys(self, keys: DemoKeys) -> None:
        """Remember the API keys for the next start."""
        write_private(self.folder / "keys.json", json.dumps(asdict(keys)))

    def load_logins(self) -> Sequence[DemoLogin]:
        """The log-ins of an earlier start."""
        return read_logins(self.sandbox / LOGINS_NAME)

    def keep_logins(self, logins: Sequence[DemoLogin]) -> None:
        """Remember the log-ins for the next start, where the sandbox shows them."""
        write_private(self.sandbox / LOGINS_NAME, logins_as_text(logins))

    def begun_past(self) -> tuple[date, bool] | None:
        """The day from which the sample's past was told, and whether all of it was; None before that."""
        path = self.folder / "past.json"
        if not path.exists():
            return None
        kept = json.loads(path.read_text())
        return date.fromisoformat(kept["day"]), kept["is_whole"]

    def note_past(self, day: date, *, is_whole: bool) -> None:
        """Remember the day before the past is told, so that a start that was cut short can be finished the same."""
        write_private(self.folder / "past.json", json.dumps({"day": day.isoformat(), "is_whole": is_whole}))

    def tell(self, facts: Mapping[str, object]) -> None:
        """Write demo.json: whoever finds it finds a demo that was ready."""
        write_private(self.story, json.dumps(facts, indent=2, ensure_ascii=False) + "\n")

    def told(self) -> Mapping[str, Any]:
        """What demo.json says."""
        facts: Mapping[str, Any] = json.loads(self.story.read_text())
        return facts

    def share_environment(self, env: Mapping[str, str]) -> None:
        """Write what the processes are told, to be sourced by a shell that runs commands beside them."""
        lines = (f"export {name}={shlex.quote(value)}\n" for name, value in sorted(env.items()))
        write_private(self.environment, "".join(lines))

    def forget_told(self) -> None:
        """Take demo.json and the environment of an earlier start away."""
        self.story.unlink(missing_ok=True)
        self.environment.unlink(missing_ok=True)

    def note_pid(self, name: str, pid: int) -> None:
        """For people and scripts that want to end one process and see the demo survive it."""
        write_private(self.pids / f"{name}.pid", f"{pid}\n")


def is_free(port: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket() as probe:
        # As servers do it: a connection that was closed a moment ago does not keep the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def write_private(path: Path, text: str) -> None:
    """Put `text` in place of the file as one step, readable by its owner alone."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    unfinished.replace(path)


def choose_port(known: int | None, *, taken: set[int]) -> int:
    """A port where a server of this session may listen: `known` if it is free, else one that is. Raises NoPort."""
    if known is not None and known not in taken and is_free(known):
        return known
    count = PORTS_TO - PORTS_FROM
    for place in range(count):
        port = PORTS_FROM + (os.getpid() * PORTS_EACH + place) % count
        if port not in taken and is_free(port):
            return port
    raise NoPort(f"no free port between {PORTS_FROM} and {PORTS_TO}")


def _keyring() -> str:
    return f"1:{base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()}"


_SECRETS: Mapping[str, Callable[[], str]] = {
    "ENCRYPTION_KEYS": _keyring,
    "INDEX_KEYS": _keyring,
    "TWILIO_ACCOUNT_SID": lambda: f"AC{secrets.token_hex(16)}",
    "TWILIO_AUTH_TOKEN": lambda: secrets.token_hex(16),
}
