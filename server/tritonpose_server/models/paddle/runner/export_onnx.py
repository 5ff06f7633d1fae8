"""Converts a Paddle model to ONNX; runs inside the environment of `PADDLE_ENVIRONMENT`.

Usage: ``python -I export_onnx.py MODEL PARAMETERS TARGET OPSET``

MODEL is a ``.json`` or ``.pdmodel`` file. Beside what paddle2onnx writes, the standard output has
a line `UNLISTED_OPERATORS` with the operators that it probably does not support.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import paddle  # type: ignore[import-not-found]
import paddle2onnx  # type: ignore[import-not-found]
from paddle2onnx import convert

UNLISTED_OPERATORS = "unlisted operators:"

# Dialect of Paddle's operators in the serialized program.
_OPERATOR = "1."

# They take numbers of any type and always had them as float64.
_SCALAR_OPERATORS = ("1.full", "1.assign_value")

# The operators' names in paddle2onnx where they differ by more than underscores and affixes.
_OTHER_NAMES = {
    "divide": "div",
    "floordivide": "floordiv",
    "maximum": "max",
    "minimum": "min",
    "multiply": "mul",
    "remainder": "mod",
    "subtract": "sub",
}


def main(model: Path, parameters: Path, target: Path, opset: int) -> None:
    """Convert a model."""
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        if model.suffix == ".pdmodel":
            model, parameters = translate(model, work)
        program = json.loads(model.read_text("utf-8"))
        print(UNLISTED_OPERATORS, ", ".join(unlisted_operators(program)), flush=True)
        if narrow_attributes(program):
            model = work / "narrowed.json"
            model.write_text(json.dumps(program), "utf-8")
        # Its optimizers would install packages by themselves, and bind the batch size.
        paddle2onnx.export(
            str(model), str(parameters), str(target), opset_version=opset, optimize_tool="None"
        )


def translate(model: Path, work: Path) -> tuple[Path, Path]:
    """Bring a ``.pdmodel`` into the form that paddle2onnx reads: program and parameters.

    It would do so by itself, but with attributes that it can't read afterwards.
    """
    executor = paddle.static.Executor(paddle.CPUPlace())
    with paddle.pir_utils.OldIrGuard():
        program, _, _ = paddle.static.load_inference_model(str(model.with_suffix("")), executor)
    translated = paddle.pir.translate_to_pir(program.desc)
    convert.load_parameter(translated)
    convert.save_program(translated, str(work / "translated"))
    return work / "translated.json", work / "translated.pdiparams"


def narrow_attributes(program: dict[str, Any]) -> bool:
    """Make the operators' float64 attributes float32, in place; return whether there were any.

    Since Paddle 3.3 many are float64. paddle2onnx knows them only as float32: it fails at lists of
    them and takes arbitrary numbers for single ones.
    """
    changed = False
    for operator in operators(program):
        if operator["#"].startswith(_SCALAR_OPERATORS):
            continue
        pending = [operator.get("A")]
        while pending:
            value = pending.pop()
            if isinstance(value, dict):
                if value.get("#") == "0.a_f64":
                    value["#"] = "0.a_f32"
                    changed = True
                pending.extend(value.values())
            elif isinstance(value, list):
                pending.extend(value)
    return changed


def unlisted_operators(program: dict[str, Any]) -> list[str]:
    """Return the operators of a program that paddle2onnx does not list.

    paddle2onnx 2.1.0 aborts without naming them. The list is a good guess: it knows some operators
    by other names than Paddle.
    """
    listed = {_plain(name) for name in convert.c_p2o.get_all_supported_operators_pir()}
    names = {
        operator["#"].removeprefix(_OPERATOR)
        for operator in operators(program)
        if operator["#"].startswith(_OPERATOR)
    }
    return sorted(name for name in names - {"data", "feed", "fetch"} if _plain(name) not in listed)


def operators(node: Any) -> list[dict[str, Any]]:
    """Return all operators below a part of a program, also those in the blocks of others."""
    found: list[dict[str, Any]] = []
    pending = [node]
    while pending:
        value = pending.pop()
        if isinstance(value, list):
            pending.extend(value)
        elif isinstance(value, dict):
            found += [item for item in value.get("ops", ()) if isinstance(item, dict)]
            pending.extend(
                value[key] for key in ("program", "regions", "blocks", "ops") if key in value
            )
    return found


def _plain(name: str) -> str:
    """Reduce a name to what Paddle and paddle2onnx write alike."""
    for affix in ("elementwise_", "reduce_"):
        name = name.removeprefix(affix)
    name = name.removesuffix("_v2").replace("_", "")
    return _OTHER_NAMES.get(name, name)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
