"""What we depend on, and what our own code must not do: run what it reads, or write where others read."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
AUDIT = ROOT / ".venv" / "audit" / "bin"
LICENCES = ROOT / "requirements" / "pyproject.toml"
NPM_LICENCES = {"Apache-2.0", "BSD-3-Clause", "ISC", "MIT"}
BESIDE = ["proto", "clients/python"]
"""Where the distributions are that are installed with the service's own."""
SECURITY = ROOT / "docs" / "security.md"

UNPICKLES = {"pickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
"""Modules whose readers run what they read."""
REFUSED = {
    **dict.fromkeys(["eval", "exec", "builtins.eval", "builtins.exec"], "runs text"),
    **dict.fromkeys(["os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"], "asks a shell"),
    **dict.fromkeys(["asyncio.create_subprocess_shell", "asyncio.subprocess.create_subprocess_shell"], "asks a shell"),
    "pandas.read_pickle": "unpickles",
    **dict.fromkeys(["yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.full_load"], "makes any object"),
    "shutil.unpack_archive": "may write outside of its folder",
    "tempfile.mktemp": "names a file that somebody else may make first",
}
"""Calls by their full names, and what is wrong with them."""
ALLOWED = {
    ("tests/e2e/test_guides.py", "eval"): "code of our own pages",
    ("tests/unit/client/test_client_errors.py", "pickle.loads"): "errors that the test has pickled itself",
    ("tests/unit/client/test_client_stream_parts.py", "pickle.loads"): "errors that the test has pickled itself",
}
"""Exceptions by file and call, and why they are harmless."""


def sources() -> list[str]:
    """All Python files of the tree but generated stubs."""
    try:
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.py"]
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    names = {name for name in listed.stdout.split("\0") if name and "_pb2" not in name}
    return sorted(name for name in names if (ROOT / name).is_file())


def full_names(tree: ast.AST) -> dict[str, str]:
    """What the names of a module stand for, wherever it imports them."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {one.asname: one.name for one in node.names if one.asname}
        elif isinstance(node, ast.ImportFrom):
            found |= {one.asname or one.name: f"{node.module}.{one.name}" for one in node.names}
    return found


def called(node: ast.expr, names: dict[str, str]) -> str:
    """The full name of what is called; empty where a value is asked for it."""
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    if isinstance(node, ast.Attribute) and (owner := called(node.value, names)):
        return f"{owner}.{node.attr}"
    return ""


def given(call: ast.Call, name: str) -> object:
    """A keyword's value: True, False, what else is written there, or None where it is not given."""
    values = [keyword.value for keyword in call.keywords if keyword.arg == name]
    return None if not values else values[0].value if isinstance(values[0], ast.Constant) else "unknown"


def fault(call: ast.Call, name: str) -> str:
    """What is wrong with a call; empty: nothing."""
    module, _, function = name.rpartition(".")
    method = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    if module in UNPICKLES and function in {"load", "loads", "open", "Unpickler", "Shelf", "DbfilenameShelf"}:
        return "unpickles"
    if name == "torch.load" and given(call, "weights_only") is not True:
        return "unpickles: no weights_only=True"
    if given(call, "allow_pickle") not in {None, False}:
        return "unpickles: allow_pickle"
    if given(call, "shell") not in {None, False}:
        return "asks a shell"
    if method == "extractall" and given(call, "filter") != "data":
        return "may write outside of its folder"
    return REFUSED.get(name, "")


def faults(text: str) -> Iterator[tuple[int, str, str]]:
    """The line of each call that must not be, what it calls, and what is wrong with it."""
    tree = ast.parse(text)
    names = full_names(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (wrong := fault(node, name := called(node.func, names))):
            yield node.lineno, name, wrong


def test_code_neither_runs_what_it_reads_nor_asks_a_shell() -> None:
    found = [(file, *one) for file in sources() for one in faults((ROOT / file).read_text(encoding="utf-8"))]
    used = {(file, name) for file, _, name, _ in found}
    assert [one for one in found if (one[0], one[2]) not in ALLOWED] == []
    assert ALLOWED.keys() - used == set(), "exceptions that nothing needs any more"


@pytest.mark.parametrize(
    "code",
    [
        "import pickle\npickle.load(file)",
        "from pickle import loads as read\nread(content)",
        "import torch\ntorch.load(path)",
        "import torch as t\nt.load(path, weights_only=chosen)",
        "import numpy as np\nnp.load(path, allow_pickle=True)",
        "import yaml\nyaml.load(text, Loader=yaml.Loader)",
        "from numpy.lib.format import read_array\nread_array(file, allow_pickle=True)",
        "import asyncio\nasyncio.create_subprocess_shell(text)",
        "def f():\n    import subprocess\n    subprocess.run(text, shell=True)",
        "import tarfile\ntarfile.open(path).extractall(folder)",
        "from tempfile import mktemp\nmktemp()",
        "eval(text)",
    ],
)
def test_faults_are_found(code: str) -> None:
    assert [line for line, *_ in faults(code)] != []


@pytest.mark.parametrize(
    "code",
    [
        "import torch\ntorch.load(path, weights_only=True)",
        "import numpy as np\nnp.load(path)",
        "import yaml\nyaml.safe_load(text)",
        "model.eval()",
        "request.exec()",
        "tmp_path_factory.mktemp('name')",
    ],
)
def test_what_is_harmless_is_no_fault(code: str) -> None:
    assert list(faults(code)) == []


def test_weights_come_as_safetensors_and_onnx_with_digests() -> None:
    repository = ROOT / "model_repository"
    files = {path.relative_to(repository).as_posix(): path for path in repository.rglob("*") if path.is_file()}
    files = {name: path for name, path in files.items() if "__pycache__" not in name}
    manifests = [json.loads(path.read_text()) for path in files.values() if path.name == "manifest.json"]
    named = {name for manifest in manifests for name in manifest["files"]}
    kinds = {".json", ".md", ".npz", ".onnx", ".pbtxt", ".py", ".safetensors"}
    assert {path.suffix for path in files.values()} <= kinds
    assert named
    assert {name for name, path in files.items() if path.suffix in {".onnx", ".safetensors"}} == named


def exceptions() -> set[str]:
    return set(tomllib.loads(LICENCES.read_text(encoding="utf-8"))["tool"]["pip-licenses"]["ignore-packages"])


def test_licences_are_excepted_with_a_reason() -> None:
    lines = LICENCES.read_text(encoding="utf-8").partition("ignore-packages")[2].splitlines()
    reasoned = {found[1] for line in lines if (found := re.fullmatch(r'    "([a-z0-9-]+)", # \w.*', line))}
    assert reasoned == exceptions()


def test_service_installs_nothing_copyleft_but_two_under_mpl() -> None:
    names = set(re.findall(r"^([a-z0-9][^ =]*)==", (ROOT / "requirements" / "serve.lock").read_text(), re.MULTILINE))
    assert names & exceptions() == {"certifi", "pathspec"}


@pytest.mark.parametrize("folder", ["tools", "examples/node"])
def test_packages_from_npm_have_permissive_licences(folder: str) -> None:
    packages = json.loads((ROOT / folder / "package-lock.json").read_text())["packages"]
    other = {name: package.get("license") for name, package in packages.items() if name}
    assert {name: licence for name, licence in other.items() if licence not in NPM_LICENCES} == {}


@pytest.fixture(scope="module")
def bill(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What `make sbom` writes; its program checks the schema of CycloneDX."""
    if not (AUDIT / "cyclonedx-py").exists():
        pytest.skip("`make sbom` has not installed its tools")
    packages, target = (tmp_path_factory.mktemp("bill") / name for name in ("packages.json", "bill.json"))
    lock = ["requirements/serve.lock", "--pyproject", "pyproject.toml", "--output-reproducible"]
    run(AUDIT / "python", "-W", "ignore", "-m", "cyclonedx_py", "requirements", *lock, "-o", packages)
    run(AUDIT / "python", "tools/sbom.py", packages, target)
    return json.loads(target.read_text())


def run(*command: str | Path) -> None:
    done = subprocess.run([*map(str, command)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def components(bill: dict[str, object], kind: str) -> list[dict[str, object]]:
    return [one for one in bill["components"] if one["type"] == kind]


@pytest.mark.slow
def test_bill_of_materials_names_every_package_of_the_service(bill: dict[str, object]) -> None:
    locked = re.findall(r"^([a-z0-9][^ =]*)==([^ ]+)", (ROOT / "requirements" / "serve.lock").read_text(), re.MULTILINE)
    projects = [tomllib.loads((ROOT / name / "pyproject.toml").read_text())["project"] for name in BESIDE]
    ours = [(project["name"], project["version"]) for project in projects]
    assert {(one["name"], one["version"]) for one in components(bill, "library")} == {*locked, *ours}


@pytest.mark.slow
def test_bill_of_materials_names_the_weights_with_their_digests(bill: dict[str, object]) -> None:
    manifest = json.loads((ROOT / "model_repository/hndsr_window/1/manifest.json").read_text())
    weights = components(bill, "machine-learning-model")
    assert {one["name"]: one["hashes"][0]["content"] for one in weights} == manifest["files"]


def test_every_test_that_the_threat_model_names_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", SECURITY.read_text(encoding="utf-8"))
    missing = [f"{file}::{name}" for file, name in named if not has_test(ROOT / file, name)]
    assert named
    assert missing == []


def has_test(file: Path, name: str) -> bool:
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    return bool(re.search(rf"^(async )?def {name}\(" if name else ".", text, re.MULTILINE))
