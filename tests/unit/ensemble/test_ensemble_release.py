"""Sealing a repository anew changes what follows from its files, and nothing that only a release knows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hndsr_ensemble.manifest import MANIFEST, VERSION_FOLDER, file_digest
from hndsr_ensemble.release import DOCUMENTS, RECORD, RELEASED, TRAINED, read_record, write_manifest, write_record

DOCUMENT = next(document for document in DOCUMENTS if document["triton_model"] == TRAINED)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A repository whose files hold their names."""
    for name in RELEASED:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / TRAINED / VERSION_FOLDER / MANIFEST).unlink()
    return tmp_path


def provenance(folder: Path) -> dict[str, str]:
    text = (folder / TRAINED / VERSION_FOLDER / MANIFEST).read_text()
    return dict(json.loads(text)["provenance"])


def test_manifest_takes_the_documents_provenance_when_there_was_none(folder: Path) -> None:
    write_manifest(folder, DOCUMENT)
    assert provenance(folder) == DOCUMENT["provenance"]


def test_manifest_keeps_the_provenance_of_its_release(folder: Path) -> None:
    write_manifest(folder, DOCUMENT, provenance={"data": "a"})
    write_manifest(folder, DOCUMENT)
    assert provenance(folder) == {"data": "a"}


def test_manifest_is_the_same_model_whatever_its_provenance(folder: Path) -> None:
    digests = {write_manifest(folder, DOCUMENT, provenance={"data": data}).digest for data in "ab"}
    assert len(digests) == 1


def test_manifest_of_the_shipped_weights_is_written_as_it_is_committed(repository: Path, tmp_path: Path) -> None:
    for name in DOCUMENT["files"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).symlink_to(repository / name)
    written, committed = (root / TRAINED / VERSION_FOLDER / MANIFEST for root in (tmp_path, repository))
    written.parent.mkdir(parents=True)
    written.write_text(committed.read_text())
    write_manifest(tmp_path, DOCUMENT)
    assert written.read_text() == committed.read_text()


def test_record_names_every_file_with_its_digest(folder: Path) -> None:
    write_manifest(folder, DOCUMENT)
    write_record(folder)
    assert read_record(folder / RECORD) == {name: file_digest(folder / name) for name in RELEASED}


@pytest.mark.parametrize("content", ["[]", '{"format": 2, "files": {}}', '{"format": 1, "files": {"../../x": "0"}}'])
def test_record_is_refused_when_it_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "record.json").write_text(content)
    with pytest.raises(ValueError, match="not the record of a release"):
        read_record(tmp_path / "record.json")
