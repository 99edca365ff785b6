"""`hndsr-gateway keys`: what it prints where, and what it refuses."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from hndsr_gateway.__main__ import main
from hndsr_gateway.identity.keys import KEY_TEXT, ApiKeys, KeyFile

Command = Callable[..., object]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HNDSR_API_KEYS", str(tmp_path / "keys.json"))
    return tmp_path / "keys.json"


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> Command:
    def run(*arguments: str) -> object:
        monkeypatch.setattr("sys.argv", ["hndsr-gateway", "keys", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code

    return run


def test_create_prints_the_key_alone_on_standard_output(
    keys: Command, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = keys("create", "alice")
    text = capsys.readouterr().out
    assert (code, KEY_TEXT.fullmatch(text.strip()) is not None, text.count("\n")) == (0, True, 1)
    assert ApiKeys(file).caller_of(text.strip()).name == "alice"


def test_create_writes_what_was_asked_for(keys: Command, file: Path) -> None:
    keys("create", "alice", "--scopes", "info, stream", "--expires", "2100-01-01", "--calls", "2", "--streams", "3")
    (key,) = KeyFile.read(file).keys
    assert key.scopes == {"info", "stream"}
    assert key.expires == datetime(2100, 1, 1, tzinfo=timezone.utc)
    assert (key.quotas.calls, key.quotas.streams, key.quotas.requests_per_minute) == (2, 3, 0)


@pytest.mark.parametrize(("span", "is_from_now"), [("90d", timedelta(days=90)), ("12h", timedelta(hours=12))])
def test_create_takes_a_span(keys: Command, file: Path, span: str, is_from_now: timedelta) -> None:
    keys("create", "alice", "--expires", span)
    (key,) = KeyFile.read(file).keys
    assert key.expires is not None
    assert key.expires - key.created == is_from_now


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("create", "alice smith"), "is no name"),
        (("create", "alice\nbob"), "is no name"),
        (("create", "bob", "--scopes", "all"), "scopes are info, upscale, stream"),
        (("create", "bob", "--expires", "soon"), "neither a span"),
        (("create", "bob", "--expires", "2020-01-01"), "is over"),
        (("create", "bob", "--calls", "-1"), "--calls"),
        (("create", "alice"), "there is a key 'alice'"),
        (("revoke", "bob"), "no key that counts has the name or id 'bob'"),
        (("create", "bob", "--file", "/nowhere/keys.json"), "No such file"),
    ],
)
def test_keys_refuses_what_it_cannot_do(
    keys: Command, file: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    keys("create", "alice")
    capsys.readouterr()
    code = keys(*arguments)
    printed = capsys.readouterr()
    assert (code, printed.out, said in printed.err) == (2, "", True), printed.err


def test_keys_asks_for_a_file(
    keys: Command, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("HNDSR_API_KEYS", raising=False)
    assert (keys("list"), "HNDSR_API_KEYS" in capsys.readouterr().err) == (2, True)


def test_list_shows_every_key_without_its_hash(keys: Command, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys("create", "alice", "--calls", "2")
    keys("create", "bob")
    keys("revoke", "bob")
    capsys.readouterr()
    keys("list")
    table = capsys.readouterr().out
    keys("list", "--json")
    listed = json.loads(capsys.readouterr().out)
    hashes = [key.sha256 for key in KeyFile.read(file).keys]
    assert [(key["name"], key["state"]) for key in listed] == [("alice", "valid"), ("bob", "revoked")]
    assert re.findall(r"^(\w+) +[0-9a-f]{12} +(\w+)", table, re.MULTILINE) == [("alice", "valid"), ("bob", "revoked")]
    assert not any(one in table + json.dumps(listed) for one in hashes)


def test_list_of_no_file_is_empty(keys: Command, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys("list", "--json")
    assert json.loads(capsys.readouterr().out) == []


def test_revoke_takes_an_id(keys: Command, file: Path) -> None:
    keys("create", "alice")
    (key,) = KeyFile.read(file).keys
    keys("revoke", key.id)
    assert KeyFile.read(file).keys[0].revoked is not None


def test_a_name_can_be_had_again_once_its_key_is_revoked(keys: Command, file: Path) -> None:
    keys("create", "alice")
    keys("revoke", "alice")
    keys("create", "alice")
    keys("revoke", "alice")
    assert [key.revoked is None for key in KeyFile.read(file).keys] == [False, False]


def test_keys_that_are_made_at_once_are_all_kept(file: Path) -> None:
    count = 3

    def create(number: int) -> int:
        command = [sys.executable, "-m", "hndsr_gateway", "keys", "create", f"key-{number}"]
        return subprocess.run(command, check=False, capture_output=True).returncode

    with ThreadPoolExecutor(count) as pool:
        codes = list(pool.map(create, range(count)))
    assert codes == [0] * count
    assert {key.name for key in KeyFile.read(file).keys} == {f"key-{number}" for number in range(count)}
