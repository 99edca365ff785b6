"""What a notebook shows are the pixels, in HTML that needs nothing beside it."""

from __future__ import annotations

import base64
import io
import re
import sys
from fractions import Fraction
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hndsr_client import ArgumentError, Client, LocalFileError
from hndsr_client.notebook import BeforeAfter, _scale, before_after
from hndsr_client.testing import FakeServer

PREFIX = "data:image/png;base64,"
SOURCE = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
TARGET = SOURCE.repeat(4, 0).repeat(4, 1)
DEEP = np.arange(1000, 1000 + 100 * 100 * 3, dtype=np.uint16).reshape(100, 100, 3)


class Page(HTMLParser):
    """The elements of a fragment, with their attributes."""

    def __init__(self, shown: BeforeAfter) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(shown._repr_html_())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep an element."""
        self.elements.append((tag, dict(attrs)))
        if tag not in {"img", "input"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """End the element that was opened last."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Keep the caption."""
        if self.open and self.open[-1] == "figcaption":
            self.text += data

    def all(self, tag: str) -> list[dict[str, Any]]:
        """The attributes of each element of a kind."""
        return [attributes for name, attributes in self.elements if name == tag]


def pixels(uri: str) -> np.ndarray:
    """The pixels of a picture on the page."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.removeprefix(PREFIX), validate=True))))


def test_page_shows_source_and_target() -> None:
    source, target = (pixels(image["src"]) for image in Page(before_after(SOURCE, TARGET)).all("img"))
    np.testing.assert_array_equal(source, SOURCE)
    np.testing.assert_array_equal(target, TARGET)


def test_page_enlarges_by_the_nearest_neighbour() -> None:
    styles = [image["style"] for image in Page(before_after(SOURCE, TARGET)).all("img")]
    assert ["image-rendering: pixelated" in style for style in styles] == [True, True]


def test_page_needs_nothing_beside_it() -> None:
    elements = Page(before_after(SOURCE, TARGET)).elements
    addresses = [value for _, attributes in elements for name, value in attributes.items() if name in {"src", "href"}]
    assert [address for address in addresses if not address.startswith(PREFIX)] == []


def test_page_names_no_other_address() -> None:
    assert re.findall(r"https?:|@import|url\(", before_after(SOURCE, TARGET)._repr_html_()) == []


def test_page_closes_what_it_opens() -> None:
    assert Page(before_after(SOURCE, TARGET)).open == []


def test_page_says_what_its_pictures_are() -> None:
    texts = [image["alt"] for image in Page(before_after(SOURCE, TARGET)).all("img")]
    assert texts == ["source, 5 × 7 px", "target, 20 × 28 px"]


def test_page_has_a_slider_that_is_named() -> None:
    (slider,) = Page(before_after(SOURCE, TARGET)).all("input")
    assert (slider["type"], slider["aria-label"]) == ("range", "Percent of the width that shows the source")


def test_page_hides_the_slider_where_scripts_are_off() -> None:
    (slider,) = Page(before_after(SOURCE, TARGET)).all("input")
    assert "hidden" in slider


def test_page_has_another_id_each_time() -> None:
    shown = before_after(SOURCE, TARGET)
    names = {Page(shown).all("figure")[0]["id"] for _ in range(2)}
    assert len(names) == 2


def test_page_script_finds_its_own_pictures() -> None:
    page = before_after(SOURCE, TARGET)._repr_html_()
    (name,) = re.findall(r'figure id="([^"]+)"', page)
    assert f'document.querySelectorAll("#{name}")' in page


def test_page_has_the_width_that_is_asked_for() -> None:
    (figure,) = Page(before_after(SOURCE, TARGET, width_px=300)).all("figure")
    assert "max-width: 300px" in figure["style"]


def test_page_says_what_was_done(target: str) -> None:
    with Client(target) as client:
        shown = before_after(SOURCE, client.upscale(SOURCE, scale="22/7"))
    assert Page(shown).text == (
        "Source, 5 × 7 px (left), and target, 16 × 22 px (right); scale 22/7; model nearest 5ca1ab1e5ca1"
    )


def test_page_escapes_what_a_server_says() -> None:
    with FakeServer(models=["<b>&"]) as server, Client(server.target) as client:
        shown = before_after(SOURCE, client.upscale(SOURCE))
    assert "model <b>& 5ca1ab1e5ca1" in Page(shown).text


def test_caption_says_the_scale_of_arrays() -> None:
    assert before_after(SOURCE, TARGET).caption.endswith("; scale about 4")


@pytest.mark.parametrize(("scale", "text"), [(Fraction(4), "4"), (Fraction("3.14"), "3.14"), (Fraction(22, 7), "22/7")])
def test_caption_writes_a_scale_as_people_do(scale: Fraction, text: str) -> None:
    assert _scale(scale) == text


@pytest.mark.parametrize("kind", ["array", "path", "text", "content", "upscaled"])
def test_before_after_accepts(kind: str, source: Path, target: str) -> None:
    with Client(target) as client:
        given = {
            "array": SOURCE,
            "path": source,
            "text": str(source),
            "content": source.read_bytes(),
            "upscaled": client.upscale(SOURCE, scale=2),
        }[kind]
    expected = given.image if kind == "upscaled" else SOURCE
    np.testing.assert_array_equal(pixels(before_after(given, TARGET).source_uri), expected)


def test_before_after_stretches_16_bits() -> None:
    shown = pixels(before_after(DEEP, DEEP).source_uri)
    low, high = np.percentile(DEEP, (2, 98)).astype(int)
    expected = np.clip(np.rint((DEEP.astype(float) - low) * 255 / (high - low)), 0, 255)
    np.testing.assert_allclose(shown, expected, atol=1)


def test_before_after_stretches_both_alike() -> None:
    shown = before_after(DEEP, np.full((200, 200, 3), DEEP[50, 50], np.uint16))
    np.testing.assert_array_equal(pixels(shown.target_uri)[0, 0], pixels(shown.source_uri)[50, 50])


def test_before_after_stretches_by_valid_pixels() -> None:
    holed, mask = DEEP.copy(), np.ones((100, 100), bool)
    holed[:50], mask[:50] = 65_535, False
    shown = before_after(holed, DEEP, mask=mask)
    assert "samples from 16299 to 30699 stretched" in shown.caption


def test_before_after_shows_an_even_image_of_16_bits() -> None:
    even = np.full((4, 4, 3), 700, np.uint16)
    assert pixels(before_after(even, even).source_uri).max() == 0


def test_before_after_reads_the_other_byte_order() -> None:
    assert before_after(DEEP.astype(">u2"), DEEP).source_uri == before_after(DEEP, DEEP).source_uri


def test_before_after_shows_invalid_pixels_transparent(target: str) -> None:
    mask = np.ones((5, 7), bool)
    mask[0, 0] = False
    with Client(target) as client:
        shown = before_after(SOURCE, client.upscale(SOURCE, mask=mask, scale=2), mask=mask)
    alphas = [pixels(uri)[..., 3] for uri in (shown.source_uri, shown.target_uri)]
    expected = np.where(mask, 255, 0)
    np.testing.assert_array_equal(alphas[0], expected)
    np.testing.assert_array_equal(alphas[1], expected.repeat(2, 0).repeat(2, 1))


def test_before_after_shows_the_transparency_of_a_file() -> None:
    file = io.BytesIO()
    Image.fromarray(np.dstack([SOURCE, np.full((5, 7), 0, np.uint8)])).save(file, "PNG")
    assert pixels(before_after(file.getvalue(), TARGET).source_uri)[..., 3].max() == 0


def test_before_after_reduces_what_is_large() -> None:
    shown = before_after(SOURCE, np.zeros((20, 3200, 3), np.uint8))
    assert pixels(shown.target_uri).shape == (10, 1600, 3)


def test_before_after_says_what_it_reduced() -> None:
    assert "; target reduced to 1,600 px for display" in before_after(SOURCE, np.zeros((20, 3200, 3), np.uint8)).caption


@pytest.mark.parametrize("width_px", [0, 1.5, True, "640"])
def test_before_after_refuses_a_width(width_px: Any) -> None:
    with pytest.raises(ArgumentError, match="width_px is"):
        before_after(SOURCE, TARGET, width_px=width_px)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (SOURCE[..., 0], r"shape is \(5, 7\)"),
        (SOURCE[:0], r"shape is \(0, 7, 3\)"),
        (SOURCE.astype(np.float32), "dtype is float32"),
        (SOURCE.astype(np.uint32), "dtype is uint32"),
        ([[1, 2, 3]], "the image is list"),
        (b"no image", "the image: no image file that Pillow reads"),
    ],
)
def test_before_after_refuses_an_image(image: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        before_after(image, TARGET)


def test_before_after_refuses_a_mask_of_another_size() -> None:
    with pytest.raises(ArgumentError, match=r"the mask is bool of shape \(20, 28\)"):
        before_after(SOURCE, TARGET, mask=np.ones((20, 28), bool))


def test_before_after_refuses_two_sample_types() -> None:
    with pytest.raises(ArgumentError, match="the source is uint16, the target uint8"):
        before_after(DEEP, TARGET)


def test_before_after_names_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(LocalFileError, match=r"missing\.png: no such file"):
        before_after(tmp_path / "missing.png", TARGET)


def test_notebook_says_how_to_install_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "hndsr_client._pictures")
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match=r"pip install 'hndsr-client\[notebook\]'"):
        import_module("hndsr_client._pictures")
