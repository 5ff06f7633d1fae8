"""A model directory of PaddleX: its files, its export to ONNX, and running it for comparison."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import onnx

from tritonpose_server.models.errors import ConversionError
from tritonpose_server.models.graph import onnx_graph
from tritonpose_server.models.graph.external_data import external_files
from tritonpose_server.models.graph.network_inputs import Feed, network_inputs, unused_inputs
from tritonpose_server.models.home import work_directory
from tritonpose_server.models.paddle.files import find_files
from tritonpose_server.models.paddle.parameters import shared_weights
from tritonpose_server.models.paddle.tool_environment import PADDLE_ENVIRONMENT, ToolEnvironment
from tritonpose_server.models.programs import Outcome, run_tool
from tritonpose_server.models.store import Progress, digest_files

if TYPE_CHECKING:
    import onnxruntime

Arrays = list[npt.NDArray[Any]]
FloatArray = npt.NDArray[np.float32]

_RUNNER = Path(__file__).with_name("runner")
_OPSET = 16

# The largest of PaddleX's pose detectors takes 6 s on one core.
_TIMEOUT_S = 600.0

# Less is missing only where a weight was written otherwise.
_SAME = 0.99

_UNLISTED = re.compile(r"^unlisted operators: (.+)$", re.MULTILINE)


class PaddleModel:
    """An exported model whose files were found and checked; its yml may be missing."""

    def __init__(
        self,
        place: Path,
        environment: ToolEnvironment = PADDLE_ENVIRONMENT,
        timeout_s: float = _TIMEOUT_S,
    ) -> None:
        """Find and check the files; a `ConversionError` says what is missing or damaged.

        ``place`` is as for `find_files`, which says what there can be.
        """
        self._files = find_files(place)
        self.directory = place if place.is_dir() else place.parent
        self.yml, self.notes = self._files.yml, self._files.notes
        self._environment, self._timeout_s = environment, timeout_s
        self._onnx, self._paddle = self._files.onnx, self._files.paddle
        if self._onnx is not None and self._environment.find() is None:
            # Nothing can run it, and nothing needs to.
            self._paddle = None
        self._exported: onnx.ModelProto | None = None
        self._session: onnxruntime.InferenceSession | None = None
        self.runs_with = "Paddle" if self._paddle else "the unconverted ONNX model"

    @property
    def size(self) -> int:
        """The size of the files that it is made of, in bytes."""
        return sum(path.stat().st_size for path in self._sources())

    def digest(self) -> str:
        """Return the SHA-256 over all that the model is made from, as it is now."""
        digest = digest_files(*self._sources(), self.yml)
        if self._onnx is not None:
            return digest
        # Another version of the tools may convert it to something else.
        return hashlib.sha256(f"{digest} {self._environment.pins}".encode()).hexdigest()

    def _sources(self) -> list[Path]:
        """Return the files of the network that is converted."""
        if self._onnx is None:
            return [*(self._files.paddle or ())]
        graph = onnx_graph.load_graph(self._onnx)
        return [self._onnx, *external_files(graph, self._onnx.parent)]

    def check_paddle_beside(self) -> str | None:
        """Compare the weights of an ONNX file with those of the Paddle model beside it.

        If they have none in common, one of the two is stale: a `ConversionError` says how to name
        the one that is meant. Returned is a sentence where only some are different.
        """
        if self._onnx is None or self._files.paddle is None:
            return None
        if onnx_graph.precision(self.export(lambda _line: None)) == "int8":
            # Whole numbers are not those of any other file.
            return None
        share = shared_weights(self.export(lambda _line: None), self._files.paddle[1])
        if share == 0:
            raise ConversionError(
                f"{self._onnx} and {self._files.paddle[0].name} beside it have different weights: "
                "one of the two is stale. Remove that one, or name the one that is meant by its "
                f"path: {self._onnx} or {self._files.paddle[0]}"
            )
        if share is None or share > _SAME:
            return None
        return (
            f"{1 - share:.0%} of the weights in {self._onnx.name} are not in "
            f"{self._files.paddle[1].name} beside it: it was optimized, or one of the two is stale"
        )

    def export(self, progress: Progress) -> onnx.ModelProto:
        """Return the model as ONNX, converted once where it is a Paddle model.

        The first time on a machine the environment for that is made. A `ConversionError` says what
        to do.
        """
        if self._exported is None:
            self._exported = (
                self._export_paddle(progress)
                if self._onnx is None
                else onnx_graph.load_model(self._onnx)
            )
        return self._exported

    def run(self, images: Sequence[FloatArray], progress: Progress) -> list[Arrays]:
        """Run the model before conversion on images one by one, detectors with ``scale_factor`` 1.

        Paddle runs it where that is possible, else ONNX Runtime. Images are normalized float32
        ``[1, 3, h, w]``; there are outputs for each.
        """
        model = self.export(progress)
        inputs = network_inputs(model, *images[0].shape[2:])
        cases = [inputs.feed(image) for image in images]
        if self._paddle:
            try:
                return self._run_paddle(cases)
            except ConversionError as error:
                if self._onnx is None:
                    # Nothing else could confirm the export.
                    raise
                progress(f"{error}; comparing with {self._onnx.name} instead")
                self._paddle, self.runs_with = None, "the unconverted ONNX model"
        if self._session is None:
            self._session = onnx_graph.open_session(model)
        return [self._run_onnx(self._session, case, inputs.batch or 1) for case in cases]

    def _run_onnx(self, session: onnxruntime.InferenceSession, case: Feed, batch: int) -> Arrays:
        """Run ONNX Runtime; of a fixed batch, which is one image repeated, take the first."""
        try:
            outputs = session.run(None, case)
        except Exception as error:  # ONNX Runtime's errors have no public base class
            raise ConversionError(f"{self._onnx} can't be run: {error}") from error
        # Tables of detections have no dimension for images.
        return [
            output[:1] if output.ndim > 2 and len(output) == batch else output for output in outputs
        ]

    def _export_paddle(self, progress: Progress) -> onnx.ModelProto:
        python = self._environment.ensure(progress)
        progress(f"converting {self._paddle[0] if self._paddle else self.directory} to ONNX")
        with work_directory() as work:
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

    def _run_paddle(self, cases: Sequence[Feed]) -> list[Arrays]:
        """Run the Paddle model as PaddleX does on a CPU."""
        python = self._environment.find()
        if python is None:
            raise ConversionError(f"can't run {self.directory} with Paddle: it is not installed")
        with work_directory() as work:
            inputs, outputs = Path(work, "inputs.npz"), Path(work, "outputs.npz")
            # Inputs that the export found unused are still inputs of the Paddle model.
            named: dict[str, Any] = {
                f"{index}/{name}": array
                for index, case in enumerate(cases)
                for name, array in {**unused_inputs(case), **case}.items()
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
        paths = (path.absolute() for path in self._paddle or ())
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
        parameters = self._paddle[1].name if self._paddle else "its file"
        return (
            f"{parameters} in {self.directory} does not have the weights that the network "
            "names: it is cut short or of another model. Copy or export both again"
        )
