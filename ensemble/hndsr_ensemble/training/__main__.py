"""`python -m hndsr_ensemble.training` is `hndsr-train`, as `torchrun -m` needs it."""

import sys

from hndsr_ensemble.training.command import main

if __name__ == "__main__":
    sys.exit(main())
