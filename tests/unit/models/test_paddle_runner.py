"""What the script that runs beside paddle2onnx does by itself, without Paddle."""

from __future__ import annotations

import copy
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import tritonpose_server.models

SCRIPT = Path(tritonpose_server.models.__file__).parent / "paddle" / "runner" / "export_onnx.py"
LISTED = ["abs", "batch_norm", "elementwise_add", "elementwise_div", "hard_swish", "matmul_v2"]
LISTED += ["reduce_mean", "elementwise_floordiv", "pool2d"]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script as a module, with stand-ins for what it imports."""
    paddle2onnx = ModuleType("paddle2onnx")
    convert = ModuleType("convert")
    convert.c_p2o = ModuleType("c_p2o")  # type: ignore[attr-defined]
    convert.c_p2o.get_all_supported_operators_pir = lambda: LISTED  # type: ignore[attr-defined]
    paddle2onnx.convert = convert  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "paddle", ModuleType("paddle"))
    monkeypatch.setitem(sys.modules, "paddle2onnx", paddle2onnx)
    spec = importlib.util.spec_from_file_location("export_onnx", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def number(kind: str, value: float) -> dict[str, Any]:
    return {"#": f"0.a_{kind}", "D": value}


def array(*values: dict[str, Any]) -> dict[str, Any]:
    return {"#": "0.a_array", "D": list(values)}


def program(*operators: dict[str, Any]) -> dict[str, Any]:
    """A program as Paddle serializes it, with a parameter, whose attributes are positional."""
    parameter = {"#": "p", "A": [0, 1, 1, "weight"], "DA": [], "OA": [1, 1, 0]}
    block = {"#": "b", "ops": [parameter, *operators]}
    return {
        "base_code": {"magic": "pir", "version": 4},
        "program": {"regions": [{"#": "r", "blocks": [block]}]},
    }


def operator(name: str, *attributes: dict[str, Any], **more: Any) -> dict[str, Any]:
    types = {"TT": {"#": "0.t_dtensor", "D": [{"#": "0.t_f64"}, [1]]}}
    named = [{"N": "scale", "AT": value} for value in attributes]
    return {"#": name, "A": named, "I": [], "O": [types], **more}


def branch(*operators: dict[str, Any]) -> dict[str, Any]:
    return operator("1.if", regions=[{"blocks": [{"ops": list(operators)}]}])


def of_kind(kind: str) -> list[dict[str, Any]]:
    """Operators that have attributes of a kind."""
    value = number(kind, 0.5)
    return [
        operator("1.leaky_relu", value),
        operator("1.nearest_interp", array(value, value)),
        operator("1.x", number("f32", 1), array(array(value))),
        branch(operator("1.x", value)),
    ]


def test_float64_attributes_become_float32(script: Any) -> None:
    changed = program(*of_kind("f64"))
    assert script.narrow_attributes(changed) is True
    assert changed == program(*of_kind("f32"))


def test_what_stays_as_it_is(script: Any) -> None:
    unchanged = program(
        operator("1.full", number("f64", 1.5)),
        operator("1.full_like", number("f64", 1.5)),
        operator("1.assign_value_", array(number("f64", 1.5))),
        operator("1.scale", number("f32", 1.5), number("i64", 3)),
        operator("1.relu"),
        {"#": "0.constant"},
    )
    before = copy.deepcopy(unchanged)
    assert script.narrow_attributes(unchanged) is False
    assert unchanged == before


@pytest.mark.parametrize(
    ("names", "unlisted"),
    [
        (["1.abs", "1.batch_norm_", "1.add", "1.hardswish", "1.matmul", "1.mean"], []),
        (["1.divide", "1.floor_divide", "1.pool2d"], []),
        (["1.data", "1.feed", "1.fetch", "0.combine", "0.split", "p"], []),
        (["1.erfinv", "1.abs", "1.digamma", "1.erfinv"], ["digamma", "erfinv"]),
        (["1.multiply"], ["multiply"]),
    ],
)
def test_unlisted_operators(script: Any, names: list[str], unlisted: list[str]) -> None:
    operators = [operator(name) for name in names]
    assert script.unlisted_operators(program(*operators)) == unlisted
    assert script.unlisted_operators(program(branch(*operators))) == sorted([*unlisted, "if"])
