"""A real service in front of a pretended Triton."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from file_server import FileServer
from pretended_triton import answer, output, pretended_triton
from rest_service import rest_service


@pytest.fixture(scope="module")
def triton() -> Iterator[FileServer]:
    """Two people, both of them sure, in every image."""
    found = answer(2, det_scores=output("det_scores", np.float32([0.9, 0.8])))
    with pretended_triton(found) as running:
        yield running.http


@pytest.fixture(scope="module")
def address(triton: FileServer) -> Iterator[str]:
    with rest_service(triton.address) as running:
        yield running
