"""The manifest of a set of images: JSON lines, a header first, then every image, then every overlap found."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

from hndsr_ensemble.training.durable import write_shared
from hndsr_ensemble.training.errors import TrainingError

VERSION: Final = 2
MANIFEST: Final = "manifest.jsonl"
PLACE: Final = frozenset({"path", "modified"})
"""Fields that say where an image lies: they are no part of what the data are."""

Split = Literal["train", "val", "test"]
SPLITS: Final[tuple[Split, ...]] = ("train", "val", "test")


class ManifestError(TrainingError):
    """A manifest that is missing, damaged or of another version."""

    def __init__(self, *, path: Path, fault: str) -> None:
        super().__init__(f"{path} {fault}; run `hndsr-train prepare` again")


@dataclass(frozen=True, slots=True)
class Footprint:
    """Where on the ground an image lies."""

    crs: str
    corners: tuple[tuple[float, float], ...]
    """(x, y) in the reference system's units, around the image."""
    pixel: float
    """Shorter side of a pixel, in the same units."""


@dataclass(frozen=True, slots=True)
class Image:
    """One file: what it is, and which split it belongs to.

    A refused file has neither size, samples nor split; `refused` says why.
    """

    path: str
    """Absolute, or a URL of fsspec."""
    size_bytes: int
    modified: str
    """Changes whenever the file does: nanoseconds, or what a storage calls its version; empty where it has none."""
    sha256: str = ""
    width_px: int = 0
    height_px: int = 0
    bands: int = 0
    sample_type: str = ""
    """Of NumPy, as `uint8`."""
    sharpness: float = 0.0
    """Variance of the Laplacian over that of the luminance."""
    footprint: Footprint | None = None
    scene: str | None = None
    """By the path from the source's folder on, so that it does not depend on where that lies."""
    split: Split | None = None
    refused: str | None = None
    """What is wrong; what GDAL says about it follows a colon."""
    invalid_share: float = 0.0
    """Of its pixels, those that hold nothing, as nodata, a mask or opacity say."""

    @property
    def is_measurable(self) -> bool:
        """Whether it may be trained and measured on: 8 bits a sample, and every pixel holds something."""
        return self.refused is None and self.sample_type == "uint8" and self.invalid_share == 0


@dataclass(frozen=True, slots=True)
class Overlap:
    """Two contents that show the same ground, by their sha256, the smaller one first."""

    first: str
    second: str
    kind: Literal["copy", "crop", "footprint"]
    """The same picture encoded again; pixels in common; georeferences that intersect."""
    share: float
    """Of the smaller one that is in common; 0 where it was not measured."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What decides splits beside the images."""

    fractions: tuple[float, float, float]
    """Of train, val and test; they sum to 1."""
    scenes: str
    """`none`, `folder`, or a regular expression with one group over the path from the source's folder on."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """All images of a set, whatever became of them."""

    settings: Settings
    records: tuple[Image, ...]
    overlaps: tuple[Overlap, ...]

    def images(self, split: Split) -> tuple[Image, ...]:
        """Those of one split, in an order that their contents decide, as the digest does."""
        return tuple(sorted((one for one in self.records if one.split == split), key=lambda one: one.sha256))

    @property
    def digest(self) -> str:
        """sha256 in hexadecimal over all that the records say, but not over where the files lie."""
        facts = [{name: value for name, value in asdict(one).items() if name not in PLACE} for one in self.records]
        lines = sorted(map(_line, [*facts, *(asdict(overlap) for overlap in self.overlaps)]))
        return hashlib.sha256("\n".join([_line(asdict(self.settings)), *lines]).encode()).hexdigest()


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write a manifest; a crash leaves the file as it was or as it should be."""
    header: dict[str, Any] = {"manifest": VERSION, "settings": asdict(manifest.settings), "digest": manifest.digest}
    images = ({"image": asdict(image)} for image in manifest.records)
    overlaps = ({"overlap": asdict(overlap)} for overlap in manifest.overlaps)
    write_shared(path, "".join(f"{_line(entry)}\n" for entry in [header, *images, *overlaps]).encode())


def read_manifest(path: Path) -> Manifest:
    """Read a manifest, or the one in a folder.

    Raises:
        ManifestError: it is missing, damaged, or of another version.
    """
    path = path / MANIFEST if path.is_dir() else path
    try:
        header, *entries = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        if header["manifest"] != VERSION:
            raise ManifestError(path=path, fault=f"is of version {header['manifest']}, not {VERSION}: remove it")
        manifest = _parsed(header, entries)
    except OSError as error:
        raise ManifestError(path=path, fault=f"cannot be read ({error.strerror})") from error
    except (KeyError, TypeError, ValueError) as error:
        raise ManifestError(path=path, fault="is no manifest") from error
    if manifest.digest != header["digest"]:
        raise ManifestError(path=path, fault="is damaged")
    return manifest


def image_of(fields: dict[str, Any]) -> Image:
    """An image from its fields as JSON has them.

    Raises:
        KeyError, TypeError: fields are missing or unknown.
    """
    place = fields["footprint"]
    corners = tuple((float(x), float(y)) for x, y in place["corners"]) if place else ()
    footprint = Footprint(place["crs"], corners, place["pixel"]) if place else None
    return Image(**{**{name: fields[name] for name in Image.__slots__}, **fields, "footprint": footprint})


def _parsed(header: dict[str, Any], entries: Iterable[dict[str, Any]]) -> Manifest:
    entries = list(entries)
    train, val, test = header["settings"]["fractions"]
    settings = Settings((train, val, test), header["settings"]["scenes"])
    images = tuple(image_of(entry["image"]) for entry in entries if "image" in entry)
    return Manifest(settings, images, tuple(Overlap(**entry["overlap"]) for entry in entries if "overlap" in entry))


def _line(fields: dict[str, Any]) -> str:
    return json.dumps(fields, sort_keys=True, ensure_ascii=False)
