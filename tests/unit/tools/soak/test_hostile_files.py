"""Files made by hand, which cost nothing, and damage at random, which can be repeated."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tools.soak.hostile import bombs
from tools.soak.mutations import corpus, mutated

MEASURE = """
import sys
from tools.peak_memory import peak_mb
from tritonpose_pipeline.errors import BadRequestError
from tritonpose_pipeline.image import check_file
from tritonpose_pipeline.limits import Limits

data, before = sys.stdin.buffer.read(), peak_mb()
try:
    check_file(data, Limits(workers=1))
except BadRequestError as error:
    print(peak_mb() - before, error)
"""


@pytest.mark.parametrize("name", bombs())
def test_bombs_cost_no_memory(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MEASURE],
        input=bombs()[name],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        check=True,
    )
    megabytes, message = done.stdout.decode().split(" ", 1)
    assert int(megabytes) < 10
    assert message.startswith("the image is ")


def test_a_seed_reproduces_the_damage() -> None:
    files = corpus()
    damaged = [mutated(seed, files) for seed in range(50)]
    assert damaged == [mutated(seed, files) for seed in range(50)]
    assert len(set(damaged)) > 40
