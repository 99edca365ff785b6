"""The program of a worker process: `python -I -m hndsr_gateway.images.worker`, with its socket as standard input."""

from __future__ import annotations

from hndsr_gateway.images.decode import decode
from hndsr_gateway.images.encode import encode
from hndsr_gateway.images.serving import inherited_channel, serve


def main() -> None:
    """Answer jobs until the gateway is gone."""
    serve(inherited_channel(), decode=decode, encode=encode)


if __name__ == "__main__":
    main()
