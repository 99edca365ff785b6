"""Shapes and sample types in annotations are checked while the tests run, and nothing is sent home."""

import os

from jaxtyping import install_import_hook

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
install_import_hook(["hndsr_ensemble"], "beartype.beartype")
