"""Writes the bill of materials of an installation: what the lock names, and what only this repository knows of.

`cyclonedx-py` writes the part of the lock. It has no words for weights, nor for distributions that are installed from
the tree, so both are added here. What is written has passed the schema of CycloneDX.
"""  # noqa: INP001 - a program, no package

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
BESIDE = ("proto", "clients/python")
"""Folders of the distributions that are installed with the service's own."""
SCHEMA = SchemaVersion.V1_6


class SbomError(Exception):
    """The bill would not be true, or is none."""


def distributions() -> Iterator[Component]:
    """Ours; they have no address in any index, so that nobody looks for a namesake there."""
    for folder in BESIDE:
        project = tomllib.loads((ROOT / folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        yield Component(
            name=project["name"],
            version=project["version"],
            description=project["description"],
            licenses=[DisjunctiveLicense(id=project["license"])],
            bom_ref=project["name"],
        )


def weights(repository: Path) -> Iterator[Component]:
    """The files whose digests manifests name.

    Raises:
        SbomError: a file is not the one that its manifest names.
    """
    for path in sorted(repository.glob("*/1/manifest.json")):
        manifest = json.loads(path.read_text(encoding="utf-8"))
        for name, digest in manifest["files"].items():
            if hashlib.sha256((repository / name).read_bytes()).hexdigest() != digest:
                raise SbomError(f"{name} is not the file that {path} names; restore it")
            yield Component(
                type=ComponentType.MACHINE_LEARNING_MODEL,
                group=manifest["name"],
                name=name,
                version=digest,
                hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest)],
                bom_ref=f"model_repository/{name}",
            )


def completed(bom: Bom, added: Iterable[Component]) -> str:
    """A bill with more components, all of which the service needs, as JSON.

    Raises:
        SbomError: it breaks the schema.
    """
    bom.components.update(added)
    bom.register_dependency(bom.metadata.component, bom.components)
    text = make_outputter(bom, OutputFormat.JSON, SCHEMA).output_as_string(indent=2)
    if fault := JsonStrictValidator(SCHEMA).validate_str(text):
        raise SbomError(f"the bill breaks the schema of CycloneDX {SCHEMA.to_version()}: {fault}")
    return text + "\n"


def main() -> None:
    """Complete the bill that `cyclonedx-py requirements` wrote."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("packages", type=Path, help="the bill of what is locked, as JSON")
    parser.add_argument("target", type=Path)
    options = parser.parse_args()
    bom = Bom.from_json(json.loads(options.packages.read_text(encoding="utf-8")))
    text = completed(bom, [*distributions(), *weights(ROOT / "model_repository")])
    options.target.parent.mkdir(parents=True, exist_ok=True)
    options.target.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
