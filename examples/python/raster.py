"""Upscale a raster into a GeoTIFF, and check it: `python raster.py HOST:PORT SOURCE DESTINATION.tif [SCALE]`."""

import sys

from hndsr_client import Client, HndsrError, RasterProgress, ServiceError, verify_raster


def tell(progress: RasterProgress) -> None:
    """Say how far it is."""
    share = f" {progress.done / progress.total:.0%}" if progress.total else ""
    print(f"{progress.stage}{share}, {progress.tiles_done} of {progress.tiles_total} tiles", file=sys.stderr)


def main(target: str, source: str, destination: str, scale: str = "4") -> int:
    """Make it, or go on with it, then read back all of it; the exit code says whether it is what was made."""
    with Client(target) as client:
        made = client.upscale_raster(source, destination, scale=scale, on_progress=tell)
    print(f"{made.path}: {made.width_px} x {made.height_px} px, {made.bands} bands of {made.dtype} by {made.model}")
    verification = verify_raster(destination)
    bad = len(verification.bad_tiles)
    print(f"{bad} of {verification.tiles} tiles are not what was made" if bad else "all of it is as it was made")
    return 0 if verification.ok else 1


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    try:
        sys.exit(main(*sys.argv[1:]))
    except ServiceError as error:  # the server's refusal: `reason` is stable, for programs
        sys.exit(f"{error.reason}: {error}")
    except HndsrError as error:  # the call or a file on this machine
        sys.exit(str(error))
