"""The command `hndsr`."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from hndsr_client._exit_codes import INTERRUPTED, LOCAL_FILE, OK, exit_code
from hndsr_client._messages import error_message
from hndsr_client._otel import exporting
from hndsr_client.errors import HndsrError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    # Why a call failed is said in one line; gRPC, which reads this when it is imported, would add its own.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        with exporting("hndsr-cli", _warn):
            return _ended(arguments)
    except KeyboardInterrupt:
        return _fail("interrupted", INTERRUPTED)


def _ended(arguments: Sequence[str] | None) -> int:
    try:
        return _run(arguments)
    except HndsrError as error:
        return _fail(error_message(error), exit_code(error))
    except OSError as error:
        return _fail_output(error)
    except KeyboardInterrupt:
        return _fail("interrupted", INTERRUPTED)


def _run(arguments: Sequence[str] | None) -> int:
    from hndsr_client._core.tracing import Operation  # noqa: PLC0415  gRPC takes long to import, and may be interrupted
    from hndsr_client._parser import make_parser  # noqa: PLC0415
    from hndsr_client._pauses import telling_pauses  # noqa: PLC0415

    _prepare_streams()
    namespace = make_parser().parse_args(arguments)
    told = telling_pauses(shown=not getattr(namespace, "quiet", False))
    with told, Operation(f"hndsr {namespace.command}").current():
        code = namespace.run(namespace)
    if sys.stdout is not None:
        sys.stdout.flush()
    return OK if code is None else int(code)


def _prepare_streams() -> None:
    """Let no name of a file, and no stream that was closed before the start, end a command when its work is done."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  it stays open


def _warn(message: str) -> None:
    # A standard error that was closed before the start is None until the command runs.
    if sys.stderr is not None:
        sys.stderr.write(f"hndsr: warning: {message}\n")


def _fail(message: str, code: int) -> int:
    sys.stderr.write(f"hndsr: error: {message}\n")
    return code


def _fail_output(error: OSError) -> int:
    """End quietly for a reader that has gone, with a message for any other failure of the standard streams."""
    # Python would flush the output once more as it ends, and fail again.
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return LOCAL_FILE if isinstance(error, BrokenPipeError) else _fail(str(error), LOCAL_FILE)


if __name__ == "__main__":
    sys.exit(main())
