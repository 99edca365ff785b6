"""`python docs/generate.py` writes the pages that are made from the code."""  # noqa: INP001 - a script

from __future__ import annotations

from pathlib import Path

from hndsr_gateway.settings import ENVIRONMENT_PREFIX, Settings

SETTINGS_PAGE = Path(__file__).with_name("settings.md")
HEAD = """# Settings

All settings of the gateway are environment variables; a misspelt one stops the start. `hndsr-gateway --help` shows the
same list. This page is made from the code by `python docs/generate.py`.

| variable | default | meaning |
|---|---|---|
"""


def settings_page() -> str:
    """Every setting with its default and what it decides."""
    rows = (
        f"| `{ENVIRONMENT_PREFIX}{name.upper()}` | {_shown(field.default)} | {field.description} |\n"
        for name, field in Settings.model_fields.items()
    )
    return HEAD + "".join(rows)


def _shown(default: object) -> str:
    return f"`{default}`" if default != "" else ""


def main() -> None:
    """Write them all."""
    SETTINGS_PAGE.write_text(settings_page(), encoding="utf-8")


if __name__ == "__main__":
    main()
