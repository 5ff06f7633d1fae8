"""Runs Paddle models in their own environment, to compare with what they are converted to."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tritonpose_server.models.errors import ConversionError
from tritonpose_server.models.paddle.environment import find_environment
from tritonpose_server.models.paddle.files import find_paddle_files
from tritonpose_server.models.paddle.tool_process import run_tool

_SCRIPT = Path(__file__).with_name("runner") / "run_model.py"
_TIMEOUT_S = 600.0

Arrays = list[npt.NDArray[Any]]


class PaddleRunError(ConversionError):
    """Paddle does not run a model; the message says what it wrote."""


def run_paddle(
    directory: Path, cases: Sequence[Mapping[str, npt.NDArray[np.float32]]]
) -> list[Arrays]:
    """Run the Paddle model of a directory as PaddleX does on a CPU.

    Args:
        directory: Holds the model.
        cases: Inputs by name, one mapping for each run.

    Returns:
        For each case the model's outputs, in its order.

    Raises:
        ConversionError: The model is incomplete or damaged.
        PaddleRunError: There is no model or no environment, or Paddle fails.
    """
    files, python = find_paddle_files(directory), find_environment()
    if files is None or python is None:
        missing = "Paddle model" if files is None else "environment to run it in"
        raise PaddleRunError(f"can't run {directory} with Paddle: there is no {missing}")
    with tempfile.TemporaryDirectory() as work:
        inputs, outputs = Path(work, "inputs.npz"), Path(work, "outputs.npz")
        named: dict[str, Any] = {
            f"{index}/{name}": array
            for index, case in enumerate(cases)
            for name, array in case.items()
        }
        np.savez(inputs, **named)
        paths = (files.program, files.parameters, inputs, outputs)
        outcome = run_tool(
            "Paddle",
            [str(python), "-I", str(_SCRIPT), *(str(path.absolute()) for path in paths)],
            timeout_s=_TIMEOUT_S,
        )
        if outcome.status != 0 or not outputs.exists():
            raise PaddleRunError(
                f"Paddle can't run the model in {directory} (status {outcome.status}). "
                f"{outcome.last_lines()}"
            )
        with np.load(outputs) as results:
            counts = [sum(n.startswith(f"{case}/") for n in results) for case in range(len(cases))]
            return [
                [results[f"{case}/{index}"] for index in range(count)]
                for case, count in enumerate(counts)
            ]
