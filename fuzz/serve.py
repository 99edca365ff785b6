"""A gateway over a backend without Triton in a process of its own, until its standard input ends."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))

from fakes import FakeBackend
from in_process import served

from hndsr_gateway.settings import Settings

SETTINGS = {"max_source_px": 2**14, "max_target_px": 2**18, "max_message_bytes": 2**22, "stream_stall_s": 5}


async def main() -> None:
    """Print the address, and serve."""
    chosen = Settings(listen="127.0.0.1:0", drain_grace_s=0, image_workers=1, log_level="ERROR", **SETTINGS)
    async with served(FakeBackend(), chosen) as address:
        print(address, flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
