"""Upscale a scene of any size, tile by tile: `python scene.py HOST:PORT SOURCE.npy DESTINATION.npy [SCALE]`."""

import sys

import numpy as np

from hndsr_client import Client, HndsrError, ServiceError


def main(target: str, source: str, destination: str, scale: str = "4") -> None:
    """Write each tile where it belongs as it comes, and say how far it is."""
    pixels = np.load(source, mmap_mode="r")
    with Client(target) as client, client.stream_tiles(pixels, scale=scale) as tiles:
        plan = tiles.plan
        shape = (plan.target_height_px, plan.target_width_px, 3)
        enlarged = np.lib.format.open_memmap(destination, mode="w+", dtype=pixels.dtype, shape=shape)
        for number, tile in enumerate(tiles, start=1):
            enlarged[tile.rows, tile.columns] = tile.pixels
            print(f"{number} of {len(plan.row_spans) * len(plan.column_spans)} tiles")
        enlarged.flush()


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except ServiceError as error:  # the server's refusal: `reason` is stable, for programs
        sys.exit(f"{error.reason}: {error}")
    except HndsrError as error:  # the call or a file on this machine
        sys.exit(str(error))
