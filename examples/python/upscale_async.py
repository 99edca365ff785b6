"""Upscale several image files at once: `python upscale_async.py HOST:PORT FOLDER SOURCE...`."""

import asyncio
import sys
from pathlib import Path

from hndsr_client import AsyncClient, FileOutcome, HndsrError, ServiceError, async_upscale_files

AT_ONCE = 4
"""Calls under way at a time; the server works on GetModelInfo's `max_concurrent_requests` and lets more wait."""


async def upscale_all(target: str, folder: str, sources: list[str]) -> int:
    """Upscale every file by 4 into the folder under its own name; how many were refused."""
    async with AsyncClient(target) as client:
        outcomes = async_upscale_files(client, sources, folder, max_concurrency=AT_ONCE, overwrite=True, scale=4)
        return sum([tell(outcome) async for outcome in outcomes])


def tell(outcome: FileOutcome) -> bool:
    """Say how it ended with one file; whether it was refused, which costs the others nothing."""
    if outcome.metadata is None:
        error = outcome.error
        reason = error.reason if isinstance(error, ServiceError) else type(error).__name__
        print(f"{outcome.source}: {reason}: {error}", file=sys.stderr)
        return True
    print(f"{outcome.destination}: {outcome.metadata.target_width_px} x {outcome.metadata.target_height_px} px")
    return False


def main(target: str, folder: str, *sources: str) -> int:
    """Make the folder, fill it, and return the exit code."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    return 1 if asyncio.run(upscale_all(target, folder, list(sources))) else 0


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    try:
        sys.exit(main(*sys.argv[1:]))
    except HndsrError as error:  # the call, or two sources of one name
        sys.exit(str(error))
