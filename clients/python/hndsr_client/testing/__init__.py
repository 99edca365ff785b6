"""A service in your own process, for tests of programs that upscale: no models, no network, no pytest needed.

    from hndsr_client import Client
    from hndsr_client.testing import FakeServer

    def test_my_program_tries_again():
        with FakeServer() as server, Client(server.target) as client:
            server.fail_next(reason="OVERLOADED", retry_delay_s=0.01, times=2)
            assert client.upscale(image, scale=2).image.shape == (2 * height, 2 * width, 3)
            assert [request.method for request in server.requests] == ["Upscale"] * 3

It enlarges by the nearest neighbour, so that a test can tell each target pixel. What a gateway refuses it refuses too,
with the same status, reason and field, within the limits that its `info()` names. Beside raw pixels it reads and writes
PNG files of 8- or 16-bit grey and RGB, with alpha; other files need Pillow. What only a gateway can do, such as colours
of 16 bits in a TIFF file, is UNIMPLEMENTED. Asynchronous tests use it in the same way, with `AsyncClient`.

Streams are cut into tiles of `cores_per_tile` x 224 target pixels a side, three times 224 where nobody says. What may
happen to a long one happens as it is told:

    def test_my_program_goes_on():
        with FakeServer() as server, Client(server.target) as client:
            server.fail_tiles(retry_delay_s=0.01)
            server.drop_streams(after_tiles=2)
            assert client.upscale_array(image, cores_per_tile=1).reconnections == 1
            assert len(server.requests) == 2
"""

from hndsr_client.testing._recorded import RecordedRequest
from hndsr_client.testing._server import FakeServer

__all__ = ["FakeServer", "RecordedRequest"]
