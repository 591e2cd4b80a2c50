"""A private postfix on loopback, with families' mail servers behind it and a pipe for bounces.

It has a folder and ports of its own and knows nothing of an instance that the machine may have. Postfix can only be
started by root: where that, or postfix, is missing, the tests say so and are skipped.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import socketserver
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from service.sandbox.certificate import write_certificate
from service.sandbox.processes import free_port, spawn

FAMILIES, BOUNCES = "perhe.test", "bounces.test"
MASTER = Path("/usr/lib/postfix/sbin/master")
START_TIMEOUT_S = 15

MAIN = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/data/log
maillog_file_prefixes = {folder}
myhostname = mx.county.test
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
alias_maps =
local_recipient_maps =
relay_domains = {families} {bounces}
transport_maps = inline:{{ {{ {families} = smtp:[127.0.0.1]:{sink_port} }}, {{ {bounces} = bounces: }} }}
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_recipient_restrictions = check_policy_service inet:127.0.0.1:{policy_port}
smtpd_tls_cert_file = {folder}/certificate.pem
smtpd_tls_key_file = {folder}/key.pem
smtpd_tls_security_level = may
smtpd_tls_received_header = yes
smtp_tls_security_level = none
bounces_destination_recipient_limit = 1
queue_run_delay = 1s
minimal_backoff_time = 1s
maximal_backoff_time = 1s
delay_warning_time = 1s
maximal_queue_lifetime = 6s
bounce_queue_lifetime = 6s
notify_classes =
"""
SERVICES = """\
127.0.0.1:{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 1 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
tlsmgr unix - - n 1000? 1 tlsmgr
postlog unix-dgram n - n - 1 postlogd
bounces unix - n n - 20 pipe
  flags=DORhu user=nobody argv={folder}/pipe/take ${{original_recipient}}
"""
# Hands a mail to the test and waits for the exit status: postfix runs it as nobody, who may not be able to run Python.
TAKE = """\
#!/bin/sh
mail=$(mktemp {folder}/pipe/XXXXXX)
cat > "$mail"
printf %s "$1" > "$mail.to"
mv "$mail" "$mail.mail"
while [ ! -f "$mail.status" ]; do sleep 0.05; done
exit "$(cat "$mail.status")"
"""


class Families:
    """What the families' servers answer, by mailbox, and the mails that they took."""

    ANSWERS = {  # noqa: RUF012 - nobody changes it
        "unknown": "550 5.1.1 No such mailbox",
        "nobody": "550 no such mailbox",
        "gone": "550 5.1.1 Gone",
        "full": "452 4.2.2 Mailbox full",
        "strict": "550 5.7.26 Not authenticated",
    }

    def __init__(self) -> None:
        self.mails: list[tuple[str, str, bytes]] = []

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's names
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        refusal = self.ANSWERS.get(address.partition("@")[0])
        if refusal is None:
            envelope.rcpt_tos.append(address)
        return refusal or "250 2.1.5 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        for recipient in envelope.rcpt_tos:
            self.mails.append((envelope.mail_from or "", recipient, bytes(envelope.original_content or b"")))
        return "250 2.0.0 OK"

    def to(self, recipient: str) -> list[tuple[str, bytes]]:
        """(envelope's sender, mail) of what `recipient` got."""
        return [(sender, raw) for sender, to, raw in self.mails if to == recipient]


class Greylist(socketserver.ThreadingTCPServer):
    """Postfix's policy protocol, as postgrey speaks it: a mailbox that begins with `grey` is put off once."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _PolicyTalk)
        self.seen: set[str] = set()


class _PolicyTalk(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        asked: dict[str, str] = {}
        with contextlib.suppress(ConnectionError):
            for line in self.rfile:
                if name := line.decode().strip():
                    key, _, value = name.partition("=")
                    asked[key] = value
                else:
                    self.wfile.write(f"action={self._action(asked.get('recipient', ''))}\n\n".encode())

    def _action(self, recipient: str) -> str:
        assert isinstance(self.server, Greylist)
        if not recipient.startswith("grey") or recipient in self.server.seen:
            return "dunno"
        self.server.seen.add(recipient)
        return "defer_if_permit Greylisted, come back later"


@dataclass
class Piped:
    """A mail that postfix holds out to the bounce command until it is told an exit status."""

    path: Path
    recipient: str
    raw: bytes = field(repr=False)

    def answer(self, status: int) -> None:
        made = self.path.with_suffix(".made")
        made.write_text(str(status))
        made.rename(self.path.with_suffix(".status"))


@dataclass
class Postfix:
    folder: Path
    port: int
    families: Families

    @property
    def certificate(self) -> Path:
        return self.folder / "certificate.pem"

    @property
    def log(self) -> str:
        path = self.folder / "data" / "log"
        return path.read_text("utf-8", "replace") if path.exists() else ""

    async def piped(self, recipient: str, *, timeout_s: float = 60) -> Piped:
        """Wait for the next mail to a bounce address."""
        async with asyncio.timeout(timeout_s):
            while True:
                for path in sorted((self.folder / "pipe").glob("*.mail")):
                    to = path.with_suffix(".to").read_text()
                    if to.lower() == recipient.lower() and not path.with_suffix(".status").exists():
                        return Piped(path, to, path.read_bytes())
                await asyncio.sleep(0.05)


def missing() -> str | None:
    """Why there can be no postfix here."""
    if not MASTER.exists() or shutil.which("postfix") is None:
        return "postfix is not installed"
    return None if os.geteuid() == 0 else "only root can start postfix"


@contextlib.contextmanager
def running_postfix(folder: Path) -> Iterator[Postfix]:
    """An instance in `folder`, which others than root must be able to enter. Ends with the block, or with us."""
    families, greylist = Families(), Greylist()
    sink = Controller(families, hostname="127.0.0.1", port=free_port())
    threading.Thread(target=greylist.serve_forever, daemon=True).start()
    sink.start()
    try:
        port = free_port()
        _configure(folder, port=port, sink_port=sink.port, policy_port=greylist.server_address[1])
        # Makes the queue's folders, with their owners.
        subprocess.run(["postfix", "-c", folder / "etc", "check"], check=True, timeout=60)
        with (folder / "master.log").open("wb") as log:
            master = spawn([MASTER, "-c", folder / "etc", "-d"], log=log)
        try:
            _wait_for(port, folder)
            yield Postfix(folder, port, families)
        finally:
            master.terminate()
            master.wait(timeout=10)
    finally:
        sink.stop()
        greylist.shutdown()
        greylist.server_close()


def _configure(folder: Path, *, port: int, sink_port: int, policy_port: int) -> None:
    for name in ("etc", "queue", "data", "pipe"):
        (folder / name).mkdir(mode=0o755)
    shutil.chown(folder / "data", "postfix")
    shutil.chown(folder / "pipe", "nobody")
    write_certificate(folder / "certificate.pem", folder / "key.pem")
    main = MAIN.format(folder=folder, families=FAMILIES, bounces=BOUNCES, sink_port=sink_port, policy_port=policy_port)
    (folder / "etc" / "main.cf").write_text(main)
    (folder / "etc" / "master.cf").write_text(SERVICES.format(folder=folder, port=port))
    take = folder / "pipe" / "take"
    take.write_text(TAKE.format(folder=folder))
    take.chmod(0o755)


def _wait_for(port: int, folder: Path) -> None:
    end = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as probe:
                if probe.recv(3) == b"220":
                    return
        except OSError:
            pass
        if time.monotonic() > end:
            raise TimeoutError((folder / "master.log").read_text("utf-8", "replace"))
        time.sleep(0.05)
