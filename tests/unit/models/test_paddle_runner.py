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


def f64(value: float) -> dict[str, Any]:
    return {"#": "0.a_f64", "D": value}


def f32(value: float) -> dict[str, Any]:
    return {"#": "0.a_f32", "D": value}


def attribute(value: dict[str, Any], name: str = "scale") -> dict[str, Any]:
    return {"N": name, "AT": value}


def array(*values: dict[str, Any]) -> dict[str, Any]:
    return {"#": "0.a_array", "D": list(values)}


def program(*operators: dict[str, Any]) -> dict[str, Any]:
    """A program as Paddle serializes it."""
    return {
        "base_code": {"magic": "pir", "version": 4},
        "program": {"regions": [{"#": "r", "blocks": [{"#": "b", "ops": list(operators)}]}]},
    }


def operator(name: str, *attributes: dict[str, Any], **more: Any) -> dict[str, Any]:
    types = {"TT": {"#": "0.t_dtensor", "D": [{"#": "0.t_f64"}, [1]]}}
    return {"#": name, "A": list(attributes), "I": [], "O": [types], **more}


# A parameter, whose attributes are positional.
PARAMETER = {"#": "p", "A": [0, 1, 1, "weight"], "DA": [], "OA": [1, 1, 0]}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            operator("1.leaky_relu", attribute(f64(0.3))),
            operator("1.leaky_relu", attribute(f32(0.3))),
        ),
        (
            operator("1.nearest_interp", attribute(array(f64(2), f64(0.5)))),
            operator("1.nearest_interp", attribute(array(f32(2), f32(0.5)))),
        ),
        (
            operator("1.x", attribute(f32(1)), attribute(array(array(f64(3))))),
            operator("1.x", attribute(f32(1)), attribute(array(array(f32(3))))),
        ),
        (
            operator("1.if", regions=[{"blocks": [{"ops": [operator("1.x", attribute(f64(1)))]}]}]),
            operator("1.if", regions=[{"blocks": [{"ops": [operator("1.x", attribute(f32(1)))]}]}]),
        ),
    ],
)
def test_float64_attributes_become_float32(
    script: Any, before: dict[str, Any], after: dict[str, Any]
) -> None:
    changed = program(PARAMETER, before)
    assert script.narrow_attributes(changed) is True
    assert changed == program(PARAMETER, after)


@pytest.mark.parametrize(
    "kept",
    [
        operator("1.full", attribute(f64(1.5), "value")),
        operator("1.full_like", attribute(f64(1.5), "value")),
        operator("1.assign_value_", attribute(array(f64(1.5)), "values")),
        operator("1.scale", attribute(f32(1.5)), attribute({"#": "0.a_i64", "D": 3})),
        operator("1.relu"),
        {"#": "0.constant"},
    ],
)
def test_what_stays_as_it_is(script: Any, kept: dict[str, Any]) -> None:
    unchanged = program(PARAMETER, kept)
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
    assert script.unlisted_operators(program(*map(operator, names))) == unlisted


def test_unlisted_operators_of_inner_blocks(script: Any) -> None:
    inner = operator("1.if", regions=[{"blocks": [{"ops": [operator("1.erfinv")]}]}])
    assert script.unlisted_operators(program(inner)) == ["erfinv", "if"]
