"""Decode damaged images one after the other, in a process of its own, which they may crash.

Usage: ``python -m tools.soak.decode_worker FIRST_SEED COUNT``. The last line printed is a
report; the current seed is printed to the standard error.
"""

from __future__ import annotations

import json
import sys
import time

from tools.peak_memory import peak_mb
from tools.soak.mutations import corpus, mutated
from tritonpose_pipeline.errors import BadRequestError
from tritonpose_pipeline.image import check_file, decode_image
from tritonpose_pipeline.limits import Limits
from tritonpose_pipeline.opencv import set_up_opencv

MAX_PIXELS = 2_000_000


def main(first: int, count: int) -> None:
    """Decode the damaged images of consecutive seeds, and print a report."""
    set_up_opencv()
    limits = Limits(workers=1, max_pixels=MAX_PIXELS)
    files = corpus()
    decoded, slowest, wrong_sizes = 0, 0.0, []
    for seed in range(first, first + count):
        print(f"seed {seed}", file=sys.stderr)
        data = mutated(seed, files)
        start = time.process_time()
        try:
            file = check_file(data, limits)
            height, width = decode_image(file).shape[:2]
        except BadRequestError:
            continue
        finally:
            slowest = max(slowest, time.process_time() - start)
        decoded += 1
        # EXIF orientation may have swapped the sides.
        if sorted((width, height)) != sorted(file.header[:2]):
            wrong_sizes.append(seed)
    report = {
        "decoded": decoded,
        "refused": count - decoded,
        "wrong_sizes": wrong_sizes,
        "slowest_s": slowest,
        "peak_mb": peak_mb(),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
