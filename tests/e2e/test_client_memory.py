"""The client's memory over many images."""

from __future__ import annotations

import contextlib
import gc
import itertools
import resource
from pathlib import Path

import numpy as np

from tritonpose import KeypointResult
from tritonpose_server.embedded.server import EmbeddedServer
from twins import ONE_OF_EACH, predict_each

WARM_UP = 300
IMAGES = 1000


def resident_bytes() -> int:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


@ONE_OF_EACH
def test_memory_stays_flat_over_an_endless_source(
    scheme: str, asynchronous: bool, server: EmbeddedServer
) -> None:
    nobody = np.full((144, 192, 3), 90, np.uint8)
    seen = itertools.count(1)
    memory = {}

    class EnoughError(Exception):
        """Ends the endless source."""

    def visit(result: KeypointResult) -> None:
        assert result["input_img"].shape == nobody.shape
        number = next(seen)
        if number in (WARM_UP, IMAGES):
            memory[number] = resident_bytes()
        if number == IMAGES:
            raise EnoughError

    url = server.grpc_url if scheme == "grpc" else server.http_url
    with contextlib.suppress(EnoughError):
        predict_each(asynchronous, itertools.repeat(nobody), visit, url=url)
    # Were all images kept, it would be 58 MB.
    assert memory[IMAGES] - memory[WARM_UP] < 4e6
