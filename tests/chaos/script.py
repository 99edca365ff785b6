"""What happens in a round of chaos: all of it follows from a seed."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

CLIENT, GATEWAY, TRITON, STUB = "client", "gateway", "tritonserver", "stub"
VICTIMS = (CLIENT, GATEWAY, TRITON, STUB)
SCALES = ("1.5", "2", "22/7", "4", "5.3", "8")
DTYPES = ("uint8", "uint16")
STRIDE_PX = 224
"""Of the cores of `bicubic`."""


@dataclass(frozen=True)
class Kill:
    """The end of one process."""

    victim: str
    after_tiles: int
    """How many tiles the client is given first, counted from the kill before; 0: whatever is going on."""
    delay_s: float
    """How long it has after that."""
    which: int
    """Of several victims of this kind, modulo their number."""


@dataclass(frozen=True)
class Script:
    """An image to upscale, and what stands against it."""

    seed: str
    size_px: tuple[int, int]
    dtype: str
    scale: str
    masked: bool
    kills: tuple[Kill, ...]

    @classmethod
    def drawn(cls, seed: str) -> Script:
        """The round that belongs to a seed."""
        generator = random.Random(seed)  # noqa: S311 - to be drawn again, not to be kept secret
        scale = generator.choice(SCALES)
        height, width = (int(generator.uniform(4, 6) * STRIDE_PX / Fraction(scale)) for _ in range(2))
        return cls(
            seed=seed,
            size_px=(height, width),
            dtype=generator.choice(DTYPES),
            scale=scale,
            masked=generator.random() < 0.4,
            kills=tuple(_kill(generator) for _ in range(generator.randint(2, 4))),
        )

    def source(self) -> np.ndarray:
        """The image."""
        limit = np.iinfo(self.dtype).max
        return self._generator().integers(0, limit, (*self.size_px, 3), dtype=self.dtype, endpoint=True)

    def mask(self) -> np.ndarray | None:
        """Which of its pixels are valid, with a hole that windows disappear in."""
        if not self.masked:
            return None
        mask = self._generator().random(self.size_px) < 0.9
        height, width = self.size_px
        mask[height // 3 : height // 3 * 2, width // 4 :] = False
        return mask

    def _generator(self) -> np.random.Generator:
        return np.random.default_rng(random.Random(self.seed).getrandbits(64))  # noqa: S311 - as above

    def __str__(self) -> str:
        kills = Counter(kill.victim for kill in self.kills)
        image = f"{self.size_px[0]} x {self.size_px[1]} px {self.dtype} by {self.scale}" + ", masked" * self.masked
        return f"seed {self.seed}: {image}; " + ", ".join(f"{count} x {name}" for name, count in sorted(kills.items()))


def _kill(generator: random.Random) -> Kill:
    return Kill(
        victim=generator.choice(VICTIMS),
        after_tiles=generator.choice((0, 1, 2, 5)),
        delay_s=generator.uniform(0.0, 1.0) ** 2,
        which=generator.randrange(2**16),
    )
