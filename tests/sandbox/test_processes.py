import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from service.sandbox import processes
from service.sandbox.processes import (
    ServerStartError,
    claim_folder,
    command_line,
    free_port,
    spawn,
    stop,
    stop_orphan,
    ticks,
)

needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux can tie a child to its parent")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has privileges to shed")

DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"


def dies_within(pid: int, seconds: float) -> bool:
    return any(not command_line(pid) for _ in ticks(seconds))


def start_session(script: str, *arguments: object) -> tuple[subprocess.Popen[str], str]:
    """Run `script` as a process of its own and return it with the first line it prints."""
    session = subprocess.Popen([sys.executable, "-c", script, *map(str, arguments)], stdout=subprocess.PIPE, text=True)
    assert session.stdout is not None
    return session, session.stdout.readline().strip()


def kill_session(session: subprocess.Popen[str]) -> None:
    session.kill()
    session.wait()
    assert session.stdout is not None
    session.stdout.close()  # not read to its end: a child that lives on would keep it open


@needs_linux
@pytest.mark.parametrize("identity", ["same", pytest.param("namespace", marks=needs_root)])
def test_a_child_dies_when_its_parent_is_killed(identity, tmp_path):
    if not processes._is_usable(Path("/bin/ls"), tmp_path, identity):
        pytest.skip("user namespaces are not allowed here")
    script = (
        "import sys; from service.sandbox.processes import spawn;"
        "child = spawn(['sleep', '60'], identity=sys.argv[1]); print(child.pid, flush=True); child.wait()"
    )
    session, pid = start_session(script, identity)
    assert wait_for_command(int(pid), "sleep")
    assert command_line(int(pid))
    kill_session(session)
    assert dies_within(int(pid), 2)


def wait_for_command(pid: int, word: str) -> bool:
    """Until the launcher has become the program."""
    return any("".join(command_line(pid).split()[:1]).endswith(word) for _ in ticks(5))


@needs_linux
def test_a_child_whose_parent_died_during_the_launch_never_starts(tmp_path):
    trace = tmp_path / "started"
    not_our_parent = "1" if os.getpid() != 1 else "2"
    launcher = [sys.executable, "-I", "-S", processes.launch.__file__, not_our_parent, "15", "same"]
    assert subprocess.run([*launcher, "/bin/sh", "-c", f"touch {trace}"], check=False).returncode != 0
    assert not trace.exists()


@needs_linux
def test_a_process_can_tie_itself_to_its_parent():
    script = """
import subprocess, sys
own = (
    "import time; from service.sandbox.processes import die_with_parent;"
    "die_with_parent(); print('tied', flush=True); time.sleep(60)"
)
child = subprocess.Popen([sys.executable, "-c", own], stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
child.wait()
"""
    session, pid = start_session(script)
    assert command_line(int(pid))
    kill_session(session)
    assert dies_within(int(pid), 2)


def test_a_child_has_a_session_of_its_own_so_that_ctrl_c_reaches_only_the_parent():
    child = spawn(["sleep", "60"])
    try:
        assert os.getsid(child.pid) == child.pid
    finally:
        stop(child)


def test_stopping_gives_a_deaf_process_its_time_and_then_kills_it(tmp_path):
    with (tmp_path / "log").open("wb") as log:
        child = spawn([sys.executable, "-c", DEAF], log=log)
    assert any((tmp_path / "log").read_text() == "up\n" for _ in ticks(10))
    started = time.monotonic()
    assert stop(child, timeout_s=0.3) == -signal.SIGKILL
    assert time.monotonic() - started >= 0.3
    assert stop(child) == -signal.SIGKILL


def test_spawning_from_another_thread_is_refused_because_the_child_would_die_with_it():
    caught: list[BaseException] = []

    def attempt() -> None:
        try:
            spawn(["sleep", "60"])
        except RuntimeError as error:
            caught.append(error)

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()
    assert "main thread" in str(caught[0])


def test_an_unknown_program_is_named():
    with pytest.raises(FileNotFoundError, match="no-such-program"):
        spawn(["no-such-program"])


def test_a_free_port_can_be_listened_on():
    assert 1024 < free_port() < 65536


def test_a_folder_belongs_to_one_session_until_it_ends_even_by_kill_9(tmp_path):
    script = (
        "import sys, time; from pathlib import Path; from service.sandbox.processes import claim_folder;"
        "claim = claim_folder(Path(sys.argv[1])); print('mine', flush=True); time.sleep(60)"
    )
    session, answer = start_session(script, tmp_path / "data")
    assert answer == "mine"
    with pytest.raises(ServerStartError, match="in use by another session"):
        claim_folder(tmp_path / "data")
    kill_session(session)
    claim = claim_folder(tmp_path / "data")
    claim.release()
    claim.release()
    claim_folder(tmp_path / "data").release()


def test_a_stale_pid_that_now_belongs_to_someone_else_is_left_alone(tmp_path):
    stranger = spawn(["sleep", "60"])
    try:
        pid_file = tmp_path / "server.pid"
        pid_file.write_text(f"{stranger.pid}\n")
        stop_orphan(pid_file, marker=str(tmp_path), stop_signal=signal.SIGTERM)
        assert not pid_file.exists()
        assert stranger.poll() is None
    finally:
        stop(stranger)


def test_an_orphan_that_does_not_listen_is_killed(tmp_path):
    with (tmp_path / "log").open("wb") as log:
        orphan = spawn([sys.executable, "-c", DEAF, str(tmp_path)], log=log)
    assert any((tmp_path / "log").read_text() == "up\n" for _ in ticks(10))
    (tmp_path / "server.pid").write_text(f"{orphan.pid}\n")
    stop_orphan(tmp_path / "server.pid", marker=str(tmp_path), stop_signal=signal.SIGTERM, timeout_s=0.2)
    assert orphan.wait(5) == -signal.SIGKILL


@needs_root
def test_root_without_user_namespaces_runs_a_server_as_nobody_who_then_owns_the_folder(server_folder, monkeypatch):
    can_use = processes._is_usable
    monkeypatch.setattr(processes, "_is_usable", lambda *of: of[2] != "namespace" and can_use(*of))
    (server_folder / "from an earlier start").touch()
    assert processes.unprivileged_identity(Path("/bin/ls"), server_folder) == "65534:65534"
    assert {path.stat().st_uid for path in (server_folder, *server_folder.iterdir())} == {65534}


@needs_root
def test_root_without_user_namespaces_is_told_when_nobody_cannot_enter_the_folder(tmp_path, monkeypatch):
    can_use = processes._is_usable
    monkeypatch.setattr(processes, "_is_usable", lambda *of: of[2] != "namespace" and can_use(*of))
    (tmp_path / "closed").mkdir(mode=0o700)
    (tmp_path / "closed" / "data").mkdir()
    with pytest.raises(ServerStartError, match="ordinary user"):
        processes.unprivileged_identity(Path("/bin/ls"), tmp_path / "closed" / "data")
