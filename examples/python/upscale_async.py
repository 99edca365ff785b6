"""Upscale several image files at once: `python upscale_async.py HOST:PORT FOLDER SOURCE...`."""

import asyncio
import sys
from pathlib import Path

from hndsr_client import AsyncClient, HndsrError, ServiceError

AT_ONCE = 4
"""Calls under way at a time; the server works on GetModelInfo's `max_concurrent_requests` and lets more wait."""


async def upscale_all(target: str, folder: Path, sources: list[Path]) -> bool:
    """Upscale every file by 4 into the folder under its own name; whether none was refused."""
    places = asyncio.Semaphore(AT_ONCE)
    async with AsyncClient(target) as client:
        return all(await asyncio.gather(*(upscale(client, source, folder, places) for source in sources)))


async def upscale(client: AsyncClient, source: Path, folder: Path, places: asyncio.Semaphore) -> bool:
    """Upscale one file; a refusal is printed and costs the others nothing."""
    async with places:
        try:
            done = await client.upscale_file(source, folder / source.name, overwrite=True, scale=4)
        except HndsrError as error:
            reason = error.reason if isinstance(error, ServiceError) else type(error).__name__
            print(f"{source}: {reason}: {error}", file=sys.stderr)
            return False
    print(f"{folder / source.name}: {done.target_width_px} x {done.target_height_px} px")
    return True


def main(target: str, folder: str, *sources: str) -> int:
    """Make the folder, fill it, and return the exit code."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    return 0 if asyncio.run(upscale_all(target, Path(folder), [Path(source) for source in sources])) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
