import contextlib
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from service.sandbox.processes import ServerStartError, command_line, free_port, ticks
from service.sandbox.valkey import Valkey, start_valkey

SESSION = """
import sys, time
from pathlib import Path
from service.sandbox.valkey import start_valkey
server = start_valkey(Path(sys.argv[1]))
print(server.pid, flush=True)
time.sleep(60)
"""

# A session that ends without its server noticing, as every session on macOS does when it is killed.
CARELESS_SESSION = """
import os, signal, sys
from pathlib import Path
from service.sandbox import valkey
spawn = valkey.spawn
valkey.spawn = lambda *a, **k: spawn(*a, **(k | {"death_signal": signal.SIGCONT}))
server = valkey.start_valkey(Path(sys.argv[1]))
print(server.pid, flush=True)
os._exit(0)
"""


def start_session(script: str, data: Path) -> tuple[subprocess.Popen[str], int]:
    session = subprocess.Popen([sys.executable, "-c", script, str(data)], stdout=subprocess.PIPE, text=True)
    assert session.stdout is not None
    return session, int(session.stdout.readline())


@contextlib.contextmanager
def client_of(server: Valkey):
    with contextlib.closing(redis.Redis.from_url(server.url, decode_responses=True)) as client:
        yield client


def test_a_second_start_continues_with_the_same_data(tmp_path):
    with start_valkey(tmp_path / "deep" / "valkey") as server, client_of(server) as client:
        client.set("kept", "42")
    with start_valkey(tmp_path / "deep" / "valkey") as server, client_of(server) as client:
        assert client.get("kept") == "42"
        server.stop()
        server.stop()
        assert not server.is_running


def test_a_killed_server_comes_back_on_its_port(tmp_path):
    server = start_valkey(tmp_path)
    server.kill()
    assert not server.is_running
    with start_valkey(tmp_path, port=server.port) as again, client_of(again) as client:
        assert again.port == server.port
        assert client.ping()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can tie a child to its parent")
def test_nothing_is_left_two_seconds_after_the_session_is_killed(tmp_path):
    session, pid = start_session(SESSION, tmp_path)
    assert command_line(pid)
    session.kill()
    session.wait()
    assert session.stdout is not None
    session.stdout.close()  # not read to its end: a child that lives on would keep it open
    assert any(not command_line(pid) for _ in ticks(2))


def test_a_server_that_a_session_left_behind_is_stopped_before_the_next_one_starts(tmp_path):
    session, left = start_session(CARELESS_SESSION, tmp_path)
    session.communicate()
    assert command_line(left)
    with start_valkey(tmp_path) as server, client_of(server) as client:
        assert not command_line(left)
        assert client.ping()


def test_a_folder_in_use_is_not_touched(tmp_path):
    with start_valkey(tmp_path) as server, client_of(server) as client:
        with pytest.raises(ServerStartError, match="in use by another session"):
            start_valkey(tmp_path)
        assert client.ping()


def test_a_server_that_cannot_start_says_why(tmp_path):
    (tmp_path / "appendonlydir").write_text("not a folder")
    with pytest.raises(ServerStartError, match=r"appendonlydir|append only"):
        start_valkey(tmp_path, port=free_port())


def test_nothing_is_lost_by_a_stop_right_after_a_write(tmp_path):
    with start_valkey(tmp_path) as server, client_of(server) as client:
        for number in range(1000):
            client.rpush("list", number)
    with start_valkey(tmp_path) as server, client_of(server) as client:
        assert client.llen("list") == 1000
        assert client.config_get("save")["save"] == ""
