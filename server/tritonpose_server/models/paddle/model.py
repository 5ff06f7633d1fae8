"""A model directory of PaddleX: its files, its export to ONNX, and running it for comparison."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

from tritonpose_server.models.errors import ConversionError
from tritonpose_server.models.graph import onnx_graph
from tritonpose_server.models.paddle.tool_environment import PADDLE_ENVIRONMENT, ToolEnvironment
from tritonpose_server.models.programs import Outcome, run_tool
from tritonpose_server.models.store import Progress, digest_files

Arrays = list[npt.NDArray[Any]]
FloatArray = npt.NDArray[np.float32]

_PROGRAMS = ("inference.json", "inference.pdmodel")
_PARAMETERS = "inference.pdiparams"
_LFS_POINTER = b"version https://git-lfs"

_RUNNER = Path(__file__).with_name("runner")
_OPSET = 16

# The largest of PaddleX's pose detectors takes 6 s on one core.
_TIMEOUT_S = 600.0

_UNLISTED = re.compile(r"^unlisted operators: (.+)$", re.MULTILINE)


class PaddleModel:
    """A model directory whose files were found and checked; ``inference.yml`` may be missing."""

    def __init__(
        self,
        directory: Path,
        environment: ToolEnvironment = PADDLE_ENVIRONMENT,
        timeout_s: float = _TIMEOUT_S,
    ) -> None:
        """Find and check the files; a `ConversionError` says what is missing or damaged.

        They are ``inference.onnx``, or a Paddle model: ``inference.json`` or ``inference.pdmodel``,
        and ``inference.pdiparams``.
        """
        if not directory.is_dir():
            raise ConversionError(f"model directory {directory} does not exist")
        self.directory = directory
        self.yml = directory / "inference.yml"
        self._environment, self._timeout_s = environment, timeout_s
        self._onnx = directory / "inference.onnx"
        self._exported: onnx.ModelProto | None = None
        self._session: onnxruntime.InferenceSession | None = None
        if not self._onnx.exists():
            self._paddle = _find_paddle(directory)
            if not self._paddle:
                raise ConversionError(
                    f"{directory} holds no model: expected inference.yml and either inference.json "
                    "(or inference.pdmodel) with inference.pdiparams, or inference.onnx"
                )
        else:
            self._paddle = self._paddle_beside_onnx()
        self.runs_with = "Paddle" if self._paddle else "the unconverted ONNX model"

    @cached_property
    def digest(self) -> str:
        """SHA-256 over all that the model is made from."""
        network = [self._onnx] if self._onnx.exists() else self._paddle
        return digest_files(*network, self.yml)

    def export(self, progress: Progress) -> onnx.ModelProto:
        """Return the model as ONNX, converted once where it is a Paddle model.

        The first time on a machine the environment for that is made. A `ConversionError` says what
        to do.
        """
        if self._exported is None:
            self._exported = (
                onnx_graph.load_model(self._onnx)
                if self._onnx.exists()
                else self._export_paddle(progress)
            )
        return self._exported

    def run(self, images: Sequence[FloatArray], progress: Progress) -> list[Arrays]:
        """Run the model before conversion on images one by one, detectors with ``scale_factor`` 1.

        Paddle runs it where that is possible, else ONNX Runtime. Images are normalized float32
        ``[1, 3, h, w]``; there are outputs for each.
        """
        model = self.export(progress)
        constants = {tensor.name for tensor in model.graph.initializer}
        ranks = {
            tensor.name: len(onnx_graph.tensor_shape(tensor))
            for tensor in model.graph.input
            if tensor.name not in constants
        }
        factor = np.ones((1, 2), np.float32)
        cases = [
            {name: image if rank == 4 else factor for name, rank in ranks.items()}
            for image in images
        ]
        if self._paddle:
            try:
                return self._run_paddle(cases)
            except ConversionError as error:
                if not self._onnx.exists():
                    # Nothing else could confirm the export.
                    raise
                progress(f"{error}; comparing with inference.onnx instead")
                self._paddle, self.runs_with = [], "the unconverted ONNX model"
        if self._session is None:
            self._session = onnxruntime.InferenceSession(
                model.SerializeToString(), providers=["CPUExecutionProvider"]
            )
        return [list(self._session.run(None, case)) for case in cases]

    def _paddle_beside_onnx(self) -> list[Path]:
        """Return the Paddle model that ``inference.onnx`` came from, if it can be run."""
        try:
            return _find_paddle(self.directory) if self._environment.find() else []
        except ConversionError:
            # A damaged one is as good as none.
            return []

    def _export_paddle(self, progress: Progress) -> onnx.ModelProto:
        python = self._environment.ensure(progress)
        progress(f"converting {self._paddle[0]} to ONNX")
        with tempfile.TemporaryDirectory() as work:
            raw = Path(work, "raw.onnx")
            outcome = self._run_script(python, "export_onnx.py", raw, str(_OPSET))
            # paddle2onnx also succeeds with an empty file.
            if outcome.status != 0 or not raw.exists() or raw.stat().st_size == 0:
                raise ConversionError(self._explain(outcome))
            try:
                model = onnx_graph.load_model(raw)
            except ConversionError as error:
                if "is not output of any previous nodes" in str(error):
                    # paddle2onnx leaves out the weights that it does not find.
                    raise ConversionError(self._wrong_parameters()) from None
                raise ConversionError(
                    f"paddle2onnx made invalid ONNX of {self.directory}: {error}"
                ) from error
        onnx_graph.fold_constants(model)
        return model

    def _run_paddle(self, cases: Sequence[Mapping[str, FloatArray]]) -> list[Arrays]:
        """Run the Paddle model as PaddleX does on a CPU."""
        python = self._environment.find()
        if python is None:
            raise ConversionError(f"can't run {self.directory} with Paddle: it is not installed")
        with tempfile.TemporaryDirectory() as work:
            inputs, outputs = Path(work, "inputs.npz"), Path(work, "outputs.npz")
            named: dict[str, Any] = {
                f"{index}/{name}": array
                for index, case in enumerate(cases)
                for name, array in case.items()
            }
            np.savez(inputs, **named)
            outcome = self._run_script(python, "run_model.py", inputs, outputs)
            if outcome.status != 0 or not outputs.exists():
                raise ConversionError(
                    f"Paddle can't run the model in {self.directory} (status {outcome.status}). "
                    f"{outcome.last_lines()}"
                )
            with np.load(outputs) as results:
                found: list[Arrays] = [[] for _ in cases]
                # In the order in which they were saved: by case, then by output.
                for name in results.files:
                    found[int(name.partition("/")[0])].append(results[name])
        return found

    def _run_script(self, python: Path, script: str, *arguments: Path | str) -> Outcome:
        paths = (path.absolute() for path in self._paddle)
        command = [python, "-I", _RUNNER / script, *paths, *arguments]
        name = "paddle2onnx" if script == "export_onnx.py" else "Paddle"
        return run_tool(name, list(map(str, command)), timeout_s=self._timeout_s)

    def _explain(self, outcome: Outcome) -> str:
        failed = f"{self.directory} can't be converted to ONNX: "
        output = outcome.output
        if "unsupported operators" in output:
            unlisted = _UNLISTED.search(output)
            names = f" (probably {unlisted[1]})" if unlisted else ""
            return (
                f"{failed}paddle2onnx does not support some of its operators{names}. Export the "
                "network without them."
            )
        if "Failed to load parameters" in output:
            return self._wrong_parameters()
        if "pir_parser" in output or "MUST be ir::" in output:
            return (
                f"{failed}paddle2onnx can't read how its Paddle version wrote it. Export it again "
                f"with paddlepaddle 3.0. {outcome.last_lines()}"
            )
        if "No space left on device" in output:
            return f"{failed}the disk is full. {outcome.last_lines()}"
        return f"{failed}paddle2onnx failed with status {outcome.status}. {outcome.last_lines()}"

    def _wrong_parameters(self) -> str:
        return (
            f"inference.pdiparams in {self.directory} does not have the weights that the network "
            "names: it is cut short or of another model. Copy or export both again"
        )


def _find_paddle(directory: Path) -> list[Path]:
    """Return program and parameters of a Paddle model, none where a directory has neither."""
    programs = [directory / name for name in _PROGRAMS if (directory / name).exists()]
    parameters = directory / _PARAMETERS
    if not programs and not parameters.exists():
        return []
    if not programs:
        raise ConversionError(
            f"{directory} holds {_PARAMETERS} without the network: inference.json (or, from "
            "Paddle 2, inference.pdmodel) is missing"
        )
    if not parameters.exists():
        raise ConversionError(
            f"{directory} holds {programs[0].name} without its weights: {_PARAMETERS} is missing"
        )
    for path in (programs[0], parameters):
        _check(path)
    return [programs[0], parameters]


def _check(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(len(_LFS_POINTER))
    if not start:
        raise ConversionError(f"{path} is empty: copy or export the model again")
    if start == _LFS_POINTER:
        raise ConversionError(
            f"{path} is only a pointer of Git LFS; run `git lfs pull` where it was cloned"
        )
    if path.suffix != ".json":
        return
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise ConversionError(
            f"{path} is damaged or cut short ({error}): copy or export the model again"
        ) from error
    if not isinstance(content, dict) or "program" not in content:
        raise ConversionError(f"{path} is not a model of Paddle: it has no `program`")
