"""`python -m hndsr_ensemble.export MODEL_REPOSITORY` writes the repository's ONNX files again."""

import argparse
import sys
from pathlib import Path

from hndsr_ensemble.export import EXPORTS, ParityError, export_model


def main() -> int:
    """Export every network; 1 if one of them does not agree with PyTorch."""
    parser = argparse.ArgumentParser(prog="python -m hndsr_ensemble.export", description=__doc__)
    parser.add_argument("repository", metavar="MODEL_REPOSITORY", type=Path, help="folder of fno/, unet/ and decoder/")
    repository = parser.parse_args().repository
    for entry in EXPORTS:
        try:
            error = export_model(entry, repository)
        except ParityError as mismatch:
            sys.stderr.write(f"{entry.model}: {mismatch}\n")
            return 1
        sys.stdout.write(f"{entry.model}: max abs error {error:.1e} against PyTorch\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
