"""Image files of all kinds, and random damage to them, which a seed reproduces."""

from __future__ import annotations

import random

import cv2
import numpy as np
import numpy.typing as npt

from tools.soak.hostile import unusual_files

_INTERESTING = (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\0\0\0\0")


def _pixels() -> npt.NDArray[np.uint8]:
    noise = np.random.default_rng(0).integers(0, 255, (9, 12, 3), np.uint8)
    return np.asarray(cv2.resize(noise, (64, 48), interpolation=cv2.INTER_CUBIC), np.uint8)


PIXELS = _pixels()
"""A small picture, uint8 ``[48, 64, 3]``."""


def corpus() -> list[bytes]:
    """Make small images in every format and color mode, with and without metadata and animation."""
    return [
        file.data
        for file in unusual_files(PIXELS)
        if "orientation" not in file.name or file.name.endswith("6")
    ]


def mutated(seed: int, files: list[bytes]) -> bytes:
    """Change one of the files up to eight times: bits, lengths, cuts, insertions, splices."""
    rng = random.Random(seed)
    data = bytearray(rng.choice(files))
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        if len(data) < 4:
            break
        _change(rng, data, files)
    return bytes(data)


def _change(rng: random.Random, data: bytearray, files: list[bytes]) -> None:
    # Every other change is near the beginning, where headers are.
    at = rng.randrange(min(len(data), 120) if rng.random() < 0.5 else len(data))
    kind = rng.randrange(8)
    if kind == 0:
        data[at] ^= 1 << rng.randrange(8)
    elif kind == 1:
        data[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    elif kind == 2:
        data[at : at + 4] = rng.choice((*_INTERESTING, rng.randbytes(4)))
    elif kind == 3:
        del data[at : at + rng.randrange(1, 32)]
    elif kind == 4:
        data[at:at] = rng.randbytes(rng.randrange(1, 32))
    elif kind == 5:
        start = rng.randrange(len(data))
        data[at:at] = data[start : start + rng.randrange(1, 200)]
    elif kind == 6:
        del data[at:]
    else:
        other = rng.choice(files)
        start = rng.randrange(len(other))
        data[at : at + 16] = other[start : start + rng.randrange(1, 64)]
