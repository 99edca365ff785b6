"""API keys: whose a key is, what is said to those whose key does not count, and the file that they are in."""

from __future__ import annotations

import ast
import inspect
import json
import textwrap
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from hndsr_gateway.caller import Caller, Quotas, Scope
from hndsr_gateway.errors import UnauthenticatedError
from hndsr_gateway.identity.errors import UnusableFileError
from hndsr_gateway.identity.key_store import KeyStore
from hndsr_gateway.identity.keys import UNKNOWN, ApiKeys, KeyFile, KeyQuotas

NOW = datetime.now(timezone.utc)


@pytest.fixture
def store(tmp_path: Path) -> KeyStore:
    return KeyStore(tmp_path / "keys.json")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def create(store: KeyStore, name: str = "alice", **changed: Any) -> str:
    given = {"scopes": list(Scope), "expires": None, "quotas": KeyQuotas(), **changed}
    return store.create(name, **given)[0]


def refused(keys: ApiKeys, text: str) -> str:
    with pytest.raises(UnauthenticatedError) as refusal:
        keys.caller_of(text)
    return str(refusal.value)


def test_key_says_who_calls_and_what_he_may(store: KeyStore, path: Path) -> None:
    text = create(store, scopes=[Scope.INFO], quotas=KeyQuotas(streams=2))
    expected = Caller(f"key:{text.split('_')[1]}", "alice", frozenset({Scope.INFO}), Quotas(streams=2))
    caller = ApiKeys(path).caller_of(text)
    assert (caller.id, caller.name, caller.scopes, caller.quotas) == (
        expected.id,
        expected.name,
        expected.scopes,
        expected.quotas,
    )


def other_secret(text: str) -> str:
    return text[:-1] + ("A" if text[-1] != "A" else "B")


def other_id(text: str) -> str:
    return "hndsr_" + "0" * 12 + text[18:]


@pytest.mark.parametrize(
    "change",
    [
        other_secret,
        other_id,
        str.upper,
        lambda text: text + "A",
        lambda text: text[:-1],
        lambda _: "hndsr_",
        lambda _: "",
    ],
    ids=["secret", "id", "case", "longer", "shorter", "prefix", "empty"],
)
def test_key_that_is_none_is_refused_in_one_text(store: KeyStore, path: Path, change: Any) -> None:
    text = create(store)
    assert refused(ApiKeys(path), change(text)).startswith(f"{UNKNOWN};")


def test_key_that_is_none_is_not_repeated(store: KeyStore, path: Path) -> None:
    text = other_secret(create(store))
    assert text[6:] not in refused(ApiKeys(path), text)


def test_key_that_expired_is_told_so_to_who_knows_the_secret(store: KeyStore, path: Path) -> None:
    text = create(store, expires=NOW - timedelta(seconds=1))
    keys = ApiKeys(path)
    assert ("is expired" in refused(keys, text), "is expired" in refused(keys, other_secret(text))) == (True, False)


def test_key_counts_until_it_expires(store: KeyStore, path: Path) -> None:
    text = create(store, expires=NOW + timedelta(hours=1))
    assert ApiKeys(path).caller_of(text).name == "alice"


def test_key_that_is_revoked_counts_no_more_without_a_restart(store: KeyStore, path: Path) -> None:
    text = create(store)
    keys = ApiKeys(path, every_s=0)
    keys.caller_of(text)
    store.revoke("alice")
    assert "is revoked" in refused(keys, text)


def test_key_that_is_made_later_counts_without_a_restart(store: KeyStore, path: Path) -> None:
    create(store)
    keys = ApiKeys(path, every_s=0)
    text = create(store, "bob")
    assert keys.caller_of(text).name == "bob"


def test_keys_stay_when_their_file_breaks(store: KeyStore, path: Path) -> None:
    text = create(store)
    keys = ApiKeys(path, every_s=0)
    path.write_text("{")
    assert keys.caller_of(text).name == "alice"


def test_keys_are_compared_in_constant_time_whether_they_are_known_or_not() -> None:
    """By structure, since a clock would tell nothing here: what a sender controls is hashed, then compared by
    `hmac.compare_digest`, before anything is decided; the function has no other comparison but that with None of what
    the id, which is no secret, names, and of the state, which only who knows the secret gets to.
    """
    function = ast.parse(textwrap.dedent(inspect.getsource(ApiKeys.caller_of))).body[0]
    assert isinstance(function, ast.FunctionDef)
    statements = [ast.unparse(statement) for statement in function.body]
    compared = next(number for number, text in enumerate(statements) if "hmac.compare_digest(hashed(secret)" in text)
    first_refusal = next(number for number, node in enumerate(function.body) if isinstance(node, ast.If))
    comparisons = {ast.unparse(node) for node in ast.walk(function) if isinstance(node, ast.Compare)}
    assert compared < first_refusal
    assert comparisons == {"key is None", "state != 'valid'"}


def test_key_file_holds_no_secret(store: KeyStore, path: Path) -> None:
    assert create(store).split("_", 2)[2] not in path.read_text()


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_key_file_is_refused_when_others_may_write_to_it(store: KeyStore, path: Path, mode: int) -> None:
    create(store)
    path.chmod(mode)
    with pytest.raises(UnusableFileError, match="may be written to by others; run: chmod go-w"):
        KeyFile.read(path)


@pytest.mark.parametrize("mode", [0o400, 0o440, 0o444])
def test_key_file_is_taken_as_secrets_are_mounted(store: KeyStore, path: Path, mode: int) -> None:
    create(store)
    path.chmod(mode)
    assert len(KeyFile.read(path).keys) == 1


def entry(**changed: Any) -> dict[str, Any]:
    return {
        "id": "0" * 12,
        "name": "alice",
        "sha256": "0" * 64,
        "scopes": ["info"],
        "created": "2026-01-01T00:00:00Z",
        **changed,
    }


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "Invalid JSON"),
        ("[]", "Input should be an object"),
        (json.dumps({"key": []}), "key Extra inputs"),
        (json.dumps({"keys": [entry(scopes=["all"])]}), "keys.0.scopes"),
        (json.dumps({"keys": [entry(sha256="abc")]}), "keys.0.sha256"),
        (json.dumps({"keys": [entry(expires="2026-01-01T00:00:00")]}), "keys.0.expires .*timezone"),
        (json.dumps({"keys": [entry(), entry()]}), "two keys have one id"),
    ],
)
def test_key_file_is_refused_with_what_is_wrong_in_it(path: Path, content: str, said: str) -> None:
    path.write_text(content)
    with pytest.raises(UnusableFileError, match=f"keys.json is no file of keys: .*{said}"):
        KeyFile.read(path)


def test_key_file_is_refused_without_repeating_what_stands_there_instead_of_a_hash(path: Path) -> None:
    path.write_text(json.dumps({"keys": [entry(sha256="hndsr_secret")]}))
    with pytest.raises(UnusableFileError) as refusal:
        KeyFile.read(path)
    assert "hndsr_secret" not in str(refusal.value)


def test_store_writes_a_file_for_its_owner_alone(store: KeyStore, path: Path) -> None:
    create(store)
    assert path.stat().st_mode & 0o777 == 0o600


def test_store_keeps_who_may_read_the_file(store: KeyStore, path: Path) -> None:
    create(store)
    path.chmod(0o640)
    create(store, "bob")
    assert path.stat().st_mode & 0o777 == 0o640


def test_store_leaves_nothing_beside_the_file(store: KeyStore, path: Path) -> None:
    create(store)
    store.revoke("alice")
    assert [file.name for file in path.parent.iterdir()] == ["keys.json"]


def test_store_changes_the_file_behind_a_link(store: KeyStore, path: Path) -> None:
    create(store)
    link = path.with_name("link")
    link.symlink_to(path)
    create(KeyStore(link), "bob")
    assert (link.is_symlink(), [key.name for key in store.entries()]) == (True, ["alice", "bob"])
