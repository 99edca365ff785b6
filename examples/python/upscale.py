"""Upscale an image file: `python upscale.py HOST:PORT SOURCE DESTINATION [SCALE]`."""

import sys

from hndsr_client import Client, HndsrError, ServiceError


def main(target: str, source: str, destination: str, scale: str = "4") -> None:
    """Say what is served, upscale the file, say what was done."""
    with Client(target) as client:
        for model in client.info().models:
            print(f"{model.name}: scales {model.min_scale} to {model.max_scale}, {model.engine} on {model.device}")
        done = client.upscale_file(source, destination, overwrite=True, scale=scale)
    print(f"{destination}: {done.target_width_px} x {done.target_height_px} px by {done.model} {done.revision[:12]}")


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except ServiceError as error:  # the server's refusal: `reason` is stable, for programs
        sys.exit(f"{error.reason}: {error}")
    except HndsrError as error:  # the call or a file on this machine
        sys.exit(str(error))
