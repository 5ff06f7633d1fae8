"""Converts Paddle inference models to ONNX."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import onnx

from tritonpose_server.models.errors import ConversionError
from tritonpose_server.models.graph.constant_folding import fold_constants
from tritonpose_server.models.paddle.environment import ensure_environment
from tritonpose_server.models.paddle.files import find_paddle_files
from tritonpose_server.models.paddle.tool_process import Outcome, run_tool
from tritonpose_server.models.store import Progress

_SCRIPT = Path(__file__).with_name("runner") / "export_onnx.py"
_OPSET = 16

# The largest of PaddleX's pose detectors takes 6 s on one core.
_TIMEOUT_S = 600.0

_UNLISTED = re.compile(r"^unlisted operators: (.+)$", re.MULTILINE)


def export_to_onnx(directory: Path, target: Path, progress: Progress) -> None:
    """Convert the Paddle model of a directory.

    The first time on a machine the environment for it is made.

    Args:
        directory: Holds ``inference.json`` or ``inference.pdmodel``, and ``inference.pdiparams``.
        target: ONNX file to write. It appears only when it is whole and valid.
        progress: Called with lines for the user.

    Raises:
        ConversionError: The model or the environment does not allow it; the message says what to
            do.
    """
    files = find_paddle_files(directory)
    if files is None:
        raise ConversionError(f"{directory} holds no Paddle model")
    python = ensure_environment(progress)
    progress(f"converting {files.program} to ONNX")
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as work:
        raw = Path(work, "raw.onnx")
        paths = (files.program.absolute(), files.parameters.absolute(), raw.absolute())
        outcome = run_tool(
            "paddle2onnx",
            [str(python), "-I", str(_SCRIPT), *map(str, paths), str(_OPSET)],
            timeout_s=_TIMEOUT_S,
        )
        # It also succeeds with an empty file.
        if outcome.status != 0 or not raw.exists() or raw.stat().st_size == 0:
            raise ConversionError(_explain(outcome, directory))
        model = _load(raw, directory)
        fold_constants(model)
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, raw)
        raw.replace(target)


def _load(path: Path, directory: Path) -> onnx.ModelProto:
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # protobuf's and the checker's errors have no common base
        if "is not output of any previous nodes" in str(error):
            # paddle2onnx leaves out the weights that it does not find.
            raise ConversionError(_wrong_parameters(directory)) from None
        raise ConversionError(f"paddle2onnx made invalid ONNX of {directory}: {error}") from error
    return model


def _explain(outcome: Outcome, directory: Path) -> str:
    failed = f"{directory} can't be converted to ONNX: "
    output = outcome.output
    if "unsupported operators" in output:
        unlisted = _UNLISTED.search(output)
        names = f" (probably {unlisted[1]})" if unlisted else ""
        return (
            f"{failed}paddle2onnx does not support some of its operators{names}. Export the "
            "network without them."
        )
    if "Failed to load parameters" in output:
        return _wrong_parameters(directory)
    if "pir_parser" in output or "MUST be ir::" in output:
        return (
            f"{failed}paddle2onnx can't read how its Paddle version wrote it. Export it again "
            f"with paddlepaddle 3.0. {outcome.last_lines()}"
        )
    if "No space left on device" in output:
        return f"{failed}the disk is full. {outcome.last_lines()}"
    return f"{failed}paddle2onnx failed with status {outcome.status}. {outcome.last_lines()}"


def _wrong_parameters(directory: Path) -> str:
    return (
        f"inference.pdiparams in {directory} does not have the weights that the network names: it "
        "is cut short or of another model. Copy or export both again"
    )
