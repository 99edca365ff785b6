"""`make docs`: write the reference pages from the code and from the contract's descriptors."""  # noqa: INP001 - a script

from __future__ import annotations

import argparse
from pathlib import Path

from pages.api import api_page
from pages.errors import errors_page
from pages.settings import settings_page


def main() -> None:
    """Write them all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("descriptors", type=Path, help="FileDescriptorSet of the contract, made with its comments")
    parser.add_argument("folder", type=Path, help="where the pages go")
    options = parser.parse_args()
    pages = {
        "api": api_page(options.descriptors.read_bytes()),
        "errors": errors_page(),
        "settings": settings_page(),
    }
    for name, page in pages.items():
        (options.folder / f"{name}.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
