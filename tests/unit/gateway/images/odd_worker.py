"""A worker whose image files say what is to happen to it: the name of a function below, a blank, its argument."""

from __future__ import annotations

import array
import ctypes
import io
import json
import mmap
import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hndsr_gateway.errors import DamagedImageError, ImageTooLargeError, ValueRangeError
from hndsr_gateway.images import limits
from hndsr_gateway.images.exchange import Channel, Decoded, Encoded, Ready, Response
from hndsr_gateway.images.layout import pack
from hndsr_gateway.images.memory import SharedMemory
from hndsr_gateway.images.picture import Attributes, Encoding, Enlarged, Georeference, ImageFormat, Picture
from hndsr_gateway.images.serving import inherited_channel, serve
from hndsr_gateway.types import Raster

MIB = 2**20
channel: Channel
measured: Callable[[int], None]


def one_pixel(value: int) -> Picture:
    return Picture(Raster(np.full((1, 1, 3), value, np.uint8)), ImageFormat.PNG)


def value(number: str) -> Picture:
    return one_pixel(int(number))


def pid(_: str) -> Picture:
    digits = np.frombuffer(f"{os.getpid():012d}".encode(), np.uint8)
    return Picture(Raster(digits.reshape(1, 4, 3)), ImageFormat.PNG)


def wait(folder: str) -> Picture:
    """Leave one's process id in a folder and go on when its file `go` appears."""
    (Path(folder) / str(os.getpid())).touch()
    while not (Path(folder) / "go").exists():
        time.sleep(0.01)
    return one_pixel(1)


def hang(_: str) -> Picture:
    while True:
        time.sleep(60)


def segfault(_: str) -> Picture:
    ctypes.string_at(0)
    raise AssertionError


def abort(_: str) -> Picture:
    os.abort()


def exit_quietly(code: str) -> Picture:
    os._exit(int(code))


def be_killed(_: str) -> Picture:
    os.kill(os.getpid(), 9)
    raise AssertionError


def be_killed_once(path: str) -> Picture:
    if not Path(path).exists():
        Path(path).touch()
        os.kill(os.getpid(), 9)
    return one_pixel(9)


def bad_alloc(_: str) -> Picture:
    os.write(2, b"terminate called after throwing an instance of 'std::bad_alloc'\n")
    os.abort()


def allocate(mib: str) -> Picture:
    np.ones(int(mib) * MIB, np.uint8)
    return one_pixel(1)


def measure_and_allocate(pixels_and_mib: str) -> Picture:
    pixels, mib = pixels_and_mib.split()
    measured(int(pixels))
    return allocate(mib)


def allocate_outside_of_numpy(mib: str) -> Picture:
    mmap.mmap(-1, int(mib) * MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return one_pixel(1)


def large(pixels: str) -> Picture:
    return Picture(Raster(np.zeros((1, int(pixels), 3), np.uint8)), ImageFormat.PNG)


def long_profile(mib: str) -> Picture:
    return replace(one_pixel(1), attributes=Attributes(icc=b"\0" * (int(mib) * MIB)))


def damaged(text: str) -> Picture:
    raise DamagedImageError(text)


def too_large(_: str) -> Picture:
    raise ImageTooLargeError(which="source", height=30, width=40, limit_px=1000)


def unknown_refusal(_: str) -> Picture:
    raise ValueRangeError("a secret")


def defect(text: str) -> Picture:
    raise ZeroDivisionError(text)


def complain(lines: str) -> Picture:
    for number in range(int(lines)):
        os.write(2, f"line {number} \x1b[31m\n".encode())
    return one_pixel(1)


def leave_a_child(path: str) -> Picture:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], close_fds=False)
    Path(path).write_text(str(child.pid))
    os._exit(1)


def private_mib(_: str) -> Picture:
    return large(str(1 + limits.private_bytes() // MIB))


def environment(_: str) -> Picture:
    return replace(one_pixel(1), attributes=Attributes(icc="\n".join(sorted(os.environ)).encode()))


def facts(_: str) -> Picture:
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    found = {
        "no_new_privileges": status["NoNewPrivs"].strip(),
        "core_bytes": resource.getrlimit(resource.RLIMIT_CORE)[0],
        "standard_input": str(Path("/proc/self/fd/0").readlink()),
        "folder": str(Path.cwd()),
        "oom_score": Path("/proc/self/oom_score_adj").read_text().strip(),
    }
    return replace(one_pixel(1), attributes=Attributes(exif=json.dumps(found).encode()))


# What only an enemy does.


def answer_with_more_than_allowed(_: str) -> Picture:
    for limit in (resource.RLIMIT_DATA, resource.RLIMIT_FSIZE):
        hard = resource.getrlimit(limit)[1]
        resource.setrlimit(limit, (hard, hard))
    return long_profile("300")


def say(text: str) -> Picture:
    channel.socket.send(text.encode())
    return hang("")


def say_too_much(_: str) -> Picture:
    channel.socket.send(b" " * 100_000)
    return hang("")


def answer(answer: Any, memory: SharedMemory | None, **change: object) -> Picture:
    response = Response(number=change.pop("number", 1), answer=answer.model_copy(update=change))
    channel.send(response, memory)
    return hang("")


def answer_something_else(_: str) -> Picture:
    return answer(Encoded(), SharedMemory.holding([b"x"]))


def be_ready_again(_: str) -> Picture:
    return answer(Ready(), None)


def answer_another_job(_: str) -> Picture:
    layout, memory = pack(one_pixel(1))
    return answer(Decoded(picture=layout), memory, number=7)


def answer_without_memory(_: str) -> Picture:
    layout, _ = pack(one_pixel(1))
    return answer(Decoded(picture=layout), None)


def claim_height(height: str) -> Picture:
    layout, memory = pack(one_pixel(1))
    return answer(Decoded(picture=layout.model_copy(update={"height": int(height)})), memory)


def claim_sample_type(name: str) -> Picture:
    layout, memory = pack(one_pixel(1))
    return answer(Decoded(picture=layout.model_copy(update={"sample_type": name})), memory)


def claim_text(_: str) -> Picture:
    picture = replace(one_pixel(1), attributes=Attributes(georeference=Georeference("crs", (1, 0, 0, 0, 1, 0))))
    layout, _ = pack(picture)
    return answer(Decoded(picture=layout), SharedMemory.holding([b"\1\1\1\xff\xff\xff"]))


def send_a_pipe(_: str) -> Picture:
    layout, _ = pack(one_pixel(1))
    return answer(Decoded(picture=layout), SharedMemory(os.pipe()[0]))


def send_many_memories(_: str) -> Picture:
    layout, memory = pack(one_pixel(1))
    content = Response(number=1, answer=Decoded(picture=layout)).model_dump_json().encode()
    many = array.array("i", [memory.descriptor] * 20)
    channel.socket.sendmsg([content], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, many)])
    return hang("")


def invalid_mask(_: str) -> Picture:
    picture = replace(one_pixel(1), raster=Raster(np.ones((1, 1, 3), np.uint8), np.ones((1, 1), bool)))
    layout, _ = pack(picture)
    return answer(Decoded(picture=layout), SharedMemory.holding([b"\1\1\1\x80"]))


def close_the_channel(_: str) -> Picture:
    channel.socket.close()
    return hang("")


def decode(encoded: bytes, *, max_px: int, enlarged: Enlarged | None, measured: Callable[[int], None]) -> Picture:
    """Do what the file says, blanks behind it apart, or restore what `encode` wrote."""
    globals()["measured"] = measured
    if encoded.startswith(b"PK"):
        return restored(encoded)
    name, _, argument = encoded.decode().rstrip(" ").partition(" ")
    behaviour: Callable[[str], Picture] = globals()[name]
    return behaviour(argument)


def restored(encoded: bytes) -> Picture:
    stored = np.load(io.BytesIO(encoded))
    crs, transform = stored["crs"].tobytes().decode(), tuple(stored["transform"].tolist())
    return Picture(
        Raster(stored["pixels"], stored.get("mask")),
        ImageFormat(str(stored["format"])),
        bool(stored["grey"]),
        stored.get("alpha"),
        Attributes(stored["icc"].tobytes(), stored["exif"].tobytes(), Georeference(crs, transform) if crs else None),
    )


def encode(picture: Picture, encoding: Encoding) -> bytes:
    """A picture whole, or what the file says that is in its EXIF block."""
    if picture.attributes.exif.startswith(b"do "):
        decode(picture.attributes.exif[3:], max_px=0, enlarged=None, measured=lambda _: None)
    planes = {"alpha": picture.alpha, "mask": picture.raster.mask}
    georeference = picture.attributes.georeference or Georeference("", (0, 0, 0, 0, 0, 0))
    file = io.BytesIO()
    np.savez(
        file,
        pixels=picture.raster.pixels,
        format=encoding.format.value,
        grey=picture.grey,
        icc=np.frombuffer(picture.attributes.icc, np.uint8),
        exif=np.frombuffer(picture.attributes.exif, np.uint8),
        crs=np.frombuffer(georeference.crs_wkt.encode(), np.uint8),
        transform=georeference.transform,
        **{name: plane for name, plane in planes.items() if plane is not None},
    )
    return file.getvalue()


if __name__ == "__main__":
    channel = inherited_channel()
    serve(channel, decode=decode, encode=encode)
