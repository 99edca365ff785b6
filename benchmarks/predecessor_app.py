"""What one would write first: FastAPI around a loop of PyTorch over overlapping tiles, at scale 4.

It has the networks of this service and nothing else of it: float Hann blending, one image at a time, no cache. It ends
with its standard input.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import math
import os
import socket
import sys
import threading
from collections.abc import Iterator
from itertools import pairwise, product
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import uvicorn
from fastapi import FastAPI, Form, HTTPException, Response, UploadFile
from PIL import Image
from torch import Tensor, nn

from hndsr_ensemble.manifest import model_repository
from hndsr_ensemble.networks import FNO, Autoencoder, UNet, load_weights

SCALE, TILE_PX, OVERLAP_PX = 4, 64, 8
LATENT_PX = TILE_PX
TEXTURE = 1.0
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class Networks:
    """FNO, UNet and decoder, fp32 as shipped."""

    def __init__(self, repository: Path, device: torch.device) -> None:
        self.device = device
        self._fno, self._unet, self._decoder = (
            _plain(load_weights(network, repository / name / "1" / "weights.safetensors")).to(device)
            for name, network in (("fno", FNO()), ("unet", UNet()), ("decoder", Autoencoder()))
        )

    def __call__(self, lr: Tensor, noise: Tensor, steps: int) -> Tensor:
        """Tiles in [-1, 1] to four times as large ones."""
        scale = torch.full((len(lr),), float(SCALE), device=self.device)
        origin = torch.zeros(len(lr), 2, device=self.device)
        latent = prior = self._fno(lr, scale, origin, (LATENT_PX, LATENT_PX))
        if steps:
            latent = prior + TEXTURE * self._unet.residual_std * self._ddim(noise, prior, scale, steps)
        return self._decoder.decode(latent)

    def _ddim(self, x: Tensor, prior: Tensor, scale: Tensor, steps: int) -> Tensor:
        times = [1 - step / steps for step in range(steps + 1)]
        for now, following in pairwise(times):
            v = self._unet(x, torch.full_like(scale, now), prior, scale)
            alpha, sigma = math.cos(math.pi / 2 * now), math.sin(math.pi / 2 * now)
            data, epsilon = alpha * x - sigma * v, sigma * x + alpha * v
            x = math.cos(math.pi / 2 * following) * data + math.sin(math.pi / 2 * following) * epsilon
        return x


def _plain(network: nn.Module) -> nn.Module:
    """With PyTorch's own convolutions: ours round to their weights' type first, which autocast does by itself."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.__class__ = nn.Conv2d
    return network


def upscale(networks: Networks, pixels: np.ndarray, *, steps: int, batch: int, seed: int = 0) -> np.ndarray:
    """Cut into tiles, run them `batch` at a time, blend them."""
    device = networks.device
    source = torch.from_numpy(pixels).to(device).permute(2, 0, 1).float() / 127.5 - 1
    height, width = source.shape[1:]
    generator = torch.Generator(device).manual_seed(seed)
    total = torch.zeros(3, SCALE * height, SCALE * width, device=device)
    weight = torch.zeros(1, SCALE * height, SCALE * width, device=device)
    ramp = _ramp().to(device)
    places = list(product(_starts(height), _starts(width)))
    for start in range(0, len(places), batch):
        chunk = places[start : start + batch]
        lr = torch.stack([source[:, y : y + TILE_PX, x : x + TILE_PX] for y, x in chunk])
        noise = torch.randn(len(chunk), 64, LATENT_PX, LATENT_PX, generator=generator, device=device)
        for (y, x), tile in zip(chunk, networks(lr, noise, steps).float(), strict=True):
            rows = slice(SCALE * y, SCALE * (y + TILE_PX))
            columns = slice(SCALE * x, SCALE * (x + TILE_PX))
            total[:, rows, columns] += ramp * tile
            weight[:, rows, columns] += ramp
    blended = ((total / weight).clamp(-1, 1) + 1) * 127.5
    return blended.round().to(torch.uint8).permute(1, 2, 0).contiguous().cpu().numpy()


def _starts(length: int) -> list[int]:
    """Where tiles begin along an axis; the last one ends where the image does."""
    return [*range(0, length - TILE_PX, TILE_PX - OVERLAP_PX), length - TILE_PX]


def _ramp() -> Tensor:
    side, overlap = SCALE * TILE_PX, SCALE * OVERLAP_PX
    rising = torch.sin(math.pi / 2 * (torch.arange(overlap) + 0.5) / overlap) ** 2
    profile = torch.cat([rising, torch.ones(side - 2 * overlap), rising.flip(0)])
    return profile[:, None] * profile


def build_app(networks: Networks) -> FastAPI:
    """The one route."""
    app, lock = FastAPI(), threading.Lock()

    @app.post("/upscale")
    def upscale_image(  # noqa: PLR0917 - FastAPI passes them by name
        image: UploadFile,
        steps: Annotated[int, Form()] = 4,
        batch: Annotated[int, Form()] = 8,
        threads: Annotated[int, Form()] = 0,
        precision: Annotated[str, Form()] = "float32",
        answer: Annotated[str, Form()] = "png",
    ) -> Response:
        pixels = np.array(Image.open(image.file).convert("RGB"))
        if min(pixels.shape[:2]) < TILE_PX:
            raise HTTPException(422, f"the image is smaller than {TILE_PX} px")
        with lock, torch.inference_mode(), _arithmetic(networks.device, precision):
            if threads:
                torch.set_num_threads(threads)
            target = upscale(networks, pixels, steps=steps, batch=batch)
        if answer == "raw":
            return Response(target.tobytes(), media_type="application/octet-stream")
        file = io.BytesIO()
        Image.fromarray(target).save(file, "PNG")
        return Response(file.getvalue(), media_type="image/png")

    return app


def _arithmetic(device: torch.device, precision: str) -> contextlib.AbstractContextManager[object]:
    dtype = PRECISIONS[precision]
    return torch.autocast(device.type, dtype=dtype, enabled=dtype is not torch.float32)


def main() -> None:
    """Serve on a free port of the loopback address, which is told in one line once the networks are loaded."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    app = build_app(Networks(model_repository(), torch.device(parser.parse_args().device)))
    threading.Thread(target=_end_with_input, daemon=True).start()
    with _bound() as listening:
        print(json.dumps({"address": "{}:{}".format(*listening.getsockname())}), flush=True)
        uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listening])


@contextlib.contextmanager
def _bound() -> Iterator[socket.socket]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening


def _end_with_input() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    main()
