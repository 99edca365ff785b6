"""Images of any size: `upscale_array` and `stream_tiles` of both kinds of client, and what they take and give.

with Client("127.0.0.1:50051") as client:
    client.upscale_array("scene.npy", "scene_x4.npy", scale=4, on_progress=print)

    with client.stream_tiles(source, scale=4) as tiles:
        for tile in tiles:
            write(tile.rows, tile.columns, tile.pixels)
"""

from hndsr_client._stream.blocking import TileStream
from hndsr_client._stream.tasks import AsyncTileStream
from hndsr_client._stream.windows import WindowedSink, WindowedSource
from hndsr_client.results import Progress, StreamResult, TargetTile

__all__ = [
    "AsyncTileStream",
    "Progress",
    "StreamResult",
    "TargetTile",
    "TileStream",
    "WindowedSink",
    "WindowedSource",
]
