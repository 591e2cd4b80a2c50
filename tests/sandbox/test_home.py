"""The demo's data folder: what is made once is found again, and what is secret stays so."""

from __future__ import annotations

import json
import os
import socket
import stat
from dataclasses import astuple
from pathlib import Path

import pytest

from service.sandbox.home import Home, NoPort, is_free, write_private
from service.sandbox.sample import DemoKeys
from service.settings import parse_keyring


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "a folder" / "with ääkköset" / "deep")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_secrets_are_made_once_and_are_their_owners_alone(home: Home) -> None:
    secrets = home.load_secrets()
    assert Home(home.folder).load_secrets() == secrets
    assert mode(home.folder / "secrets.env") == 0o600
    assert len(parse_keyring(secrets["ENCRYPTION_KEYS"])) == 1
    assert len(set(secrets.values())) == len(secrets)


def test_a_secret_that_is_new_joins_the_old_ones(home: Home) -> None:
    secrets = dict(home.load_secrets())
    lost = secrets.pop("INDEX_KEYS")
    write_private(home.folder / "secrets.env", "".join(f"{name}={value}\n" for name, value in secrets.items()))
    completed = home.load_secrets()
    assert {name: completed[name] for name in secrets} == secrets
    assert completed["INDEX_KEYS"] not in ("", lost)


def test_ports_are_kept_while_they_are_free(home: Home) -> None:
    ports = home.choose_ports(None)
    assert len(set(astuple(ports))) == len(astuple(ports))
    assert home.choose_ports(None) == ports
    with socket.socket() as rival:
        rival.bind(("127.0.0.1", ports.valkey))
        rival.listen()
        others = home.choose_ports(None)
    assert others.valkey != ports.valkey
    assert others.web == ports.web


def test_no_port_is_one_that_the_kernel_gives_to_outgoing_connections(home: Home) -> None:
    assert all(port < 32_768 for port in astuple(home.choose_ports(None)))


def test_a_port_that_was_asked_for_is_taken_or_refused_by_its_number(home: Home) -> None:
    free = home.choose_ports(None).web
    assert home.choose_ports(free).web == free
    with socket.socket() as rival:
        rival.bind(("127.0.0.1", 0))
        rival.listen()
        taken = rival.getsockname()[1]
        assert not is_free(taken)
        with pytest.raises(NoPort, match=str(taken)):
            home.choose_ports(taken)


def test_keys_and_facts_are_found_again_and_private(home: Home) -> None:
    assert home.load_keys() is None
    home.keep_keys(DemoKeys("stl_live_a", "stl_live_b"))
    assert home.load_keys() == DemoKeys("stl_live_a", "stl_live_b")
    home.tell({"base_url": "x"})
    home.tell({"base_url": "y"})
    assert json.loads(home.story.read_text()) == {"base_url": "y"}
    assert mode(home.story) == mode(home.folder / "keys.json") == 0o600
    home.forget_told()
    home.forget_told()
    assert not home.story.exists()


def test_a_file_is_private_from_its_first_moment_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write_private(tmp_path / "x", "1")
        assert mode(tmp_path / "x") == 0o600
    finally:
        os.umask(before)


def test_a_relative_folder_stays_the_same_when_the_working_folder_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    home = Home(Path("data"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    home.tell({})
    assert (tmp_path / "data" / "demo.json").exists()
