"""Converting Paddle models to ONNX, with stand-ins for the environment that does it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from paddle_fakes import write_program
from paddle_networks import Graph, run_model
from tritonpose_server.models.errors import ConversionError
from tritonpose_server.models.paddle import export as paddle_export
from tritonpose_server.models.paddle import reference as paddle_reference
from tritonpose_server.models.paddle.export import export_to_onnx
from tritonpose_server.models.paddle.reference import PaddleRunError, run_paddle

Python = Callable[[str], None]
X = np.array([[1, 2, 3]], np.float32)


@pytest.fixture
def python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Python:
    """Puts statements in the place of the environment's Python."""

    def use(body: str) -> None:
        program = write_program(tmp_path / "environment" / "python", body)
        monkeypatch.setattr(paddle_export, "ensure_environment", lambda _: program)
        monkeypatch.setattr(paddle_reference, "find_environment", lambda: program)

    return use


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A directory with what looks like a Paddle model."""
    directory = tmp_path / "source"
    directory.mkdir()
    (directory / "inference.json").write_text('{"base_code": {}, "program": {}}')
    (directory / "inference.pdiparams").write_bytes(b"weights")
    return directory


@pytest.fixture
def target(tmp_path: Path) -> Path:
    directory = tmp_path / "target"
    directory.mkdir()
    return directory / "new.onnx"


def exported(path: Path, weight: str = "weight") -> str:
    """Statements that export a network that adds 1 and multiplies with its weight, 2."""
    graph = Graph(constants_as_nodes=True)
    graph.input("x", "N", 3)
    graph.constant("one", 1, np.float32)
    graph.constant("weight", 2, np.float32)
    graph.node("Add", ["x", "one"], "sum")
    graph.node("Identity", ["sum"], "same")
    graph.node("Mul", ["same", weight], "y")
    graph.output("y", "N", 3)
    path.write_bytes(graph.model().SerializeToString())
    return f"Path(sys.argv[-2]).write_bytes(Path({str(path)!r}).read_bytes())"


# Exporting

UNSUPPORTED = """
print("unlisted operators: {}")
print("[ERROR][Paddle2ONNX] Due to the unsupported operators, the conversion is aborted.")
sys.stdout.flush()
os.abort()
"""

NO_PARAMETERS = """
print("[Paddle2ONNX] [ERROR] Failed to load parameters of PaddlePaddle model.")
Path(sys.argv[-2]).write_bytes(b"")
"""


@pytest.mark.parametrize("program", ["inference.json", "inference.pdmodel"])
def test_export(tmp_path: Path, source: Path, target: Path, python: Python, program: str) -> None:
    (source / "inference.json").rename(source / program)
    seen = tmp_path / "seen"
    log = f"Path({str(seen)!r}).write_text(chr(10).join(sys.argv[1:]))\n"
    python(log + exported(tmp_path / "model"))
    lines: list[str] = []
    export_to_onnx(source, target, lines.append)
    model = onnx.load(target)
    np.testing.assert_array_equal(run_model(model, x=X)["y"], [[4, 6, 8]])
    assert [node.op_type for node in model.graph.node] == ["Add", "Mul"]
    isolated, script, model_path, parameters, _, opset = seen.read_text().splitlines()
    assert isolated == "-I"
    assert Path(script).is_file()
    assert Path(model_path) == source / program
    assert Path(parameters) == source / "inference.pdiparams"
    assert opset == "16"
    assert lines == [f"converting {source / program} to ONNX"]
    assert list(target.parent.iterdir()) == [target]


def test_the_newer_form_is_preferred(
    tmp_path: Path, source: Path, target: Path, python: Python
) -> None:
    (source / "inference.pdmodel").write_bytes(b"old")
    python('assert sys.argv[3].endswith("inference.json"), sys.argv\n' + exported(tmp_path / "m"))
    export_to_onnx(source, target, print)
    assert target.exists()


def test_relative_paths(
    tmp_path: Path, source: Path, target: Path, python: Python, monkeypatch: pytest.MonkeyPatch
) -> None:
    python(f'os.chdir("/")\n{exported(tmp_path / "model")}')
    monkeypatch.chdir(tmp_path)
    export_to_onnx(source.relative_to(tmp_path), target.relative_to(tmp_path), print)
    assert target.exists()


@pytest.mark.parametrize(
    ("tool_does", "words"),
    [
        (
            UNSUPPORTED.format("digamma, erfinv"),
            ["does not support some of its operators (probably digamma, erfinv)", "without them"],
        ),
        (
            UNSUPPORTED.format(""),
            ["does not support some of its operators. Export"],
        ),
        (
            'sys.exit("Failed: (Unimplemented) the 0th elementwise MUST be ir::FloatAttribute")',
            ["Export it again with paddlepaddle 3.0", "ir::FloatAttribute"],
        ),
        (
            'sys.exit("no such attribute (at /x/paddle2onnx/parser/pir_parser.cc:814)")',
            ["Export it again with paddlepaddle 3.0"],
        ),
        ('sys.exit("OSError: [Errno 28] No space left on device")', ["the disk is full"]),
        (
            NO_PARAMETERS,
            ["inference.pdiparams in", "cut short or of another model"],
        ),
        ('print("strange")', ["paddle2onnx failed with status 0", "strange"]),
        ('sys.exit("Traceback\\nValueError: it")', ["failed with status 1", "ValueError: it"]),
        ("os.kill(os.getpid(), 11)", ["failed with status -11"]),
        ("time.sleep(60)", ["paddle2onnx did not finish in 2 s"]),
        ('Path(sys.argv[-2]).write_bytes(b"\\xff" * 9)', ["made invalid ONNX"]),
    ],
)
def test_failures(
    source: Path,
    target: Path,
    python: Python,
    monkeypatch: pytest.MonkeyPatch,
    tool_does: str,
    words: list[str],
) -> None:
    monkeypatch.setattr(paddle_export, "_TIMEOUT_S", 2.0)
    python(tool_does)
    with pytest.raises(ConversionError) as caught:
        export_to_onnx(source, target, print)
    for part in words:
        assert part in str(caught.value)
    if "did not finish" not in words[0]:
        assert str(source) in str(caught.value)
    assert list(target.parent.iterdir()) == []


def test_weights_that_were_not_found(
    tmp_path: Path, source: Path, target: Path, python: Python
) -> None:
    """paddle2onnx writes such a model and says that all is well."""
    python(exported(tmp_path / "model", weight="lost_weight"))
    with pytest.raises(ConversionError, match=r"does not have the weights .* cut short or of ano"):
        export_to_onnx(source, target, print)
    assert list(target.parent.iterdir()) == []


POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "holds no Paddle model"),
        ({"inference.json": "{}"}, "inference.pdiparams is missing"),
        ({"inference.pdmodel": "x"}, "inference.pdmodel without its weights"),
        ({"inference.pdiparams": "x"}, "without the network: inference.json"),
        ({"inference.json": "", "inference.pdiparams": "x"}, "inference.json is empty"),
        ({"inference.pdmodel": "x", "inference.pdiparams": ""}, "inference.pdiparams is empty"),
        ({"inference.json": '{"a', "inference.pdiparams": "x"}, "damaged or cut short"),
        ({"inference.json": "\udcff", "inference.pdiparams": "x"}, "damaged or cut short"),
        ({"inference.json": "[1]", "inference.pdiparams": "x"}, "not a model of Paddle"),
        ({"inference.json": '{"a": 1}', "inference.pdiparams": "x"}, "it has no `program`"),
        ({"inference.json": POINTER, "inference.pdiparams": "x"}, "inference.json is only a poi"),
        ({"inference.pdmodel": "x", "inference.pdiparams": POINTER}, "git lfs pull"),
    ],
)
def test_models_that_are_incomplete_or_damaged(
    tmp_path: Path,
    target: Path,
    monkeypatch: pytest.MonkeyPatch,
    files: dict[str, str],
    words: str,
) -> None:
    """They are refused before an environment is made."""

    def refuse(_: object) -> Path:
        raise AssertionError("an environment was asked for")

    monkeypatch.setattr(paddle_export, "ensure_environment", refuse)
    directory = tmp_path / "model"
    directory.mkdir()
    for name, content in files.items():
        (directory / name).write_text(content, "utf-8", "surrogateescape")
    with pytest.raises(ConversionError) as caught:
        export_to_onnx(directory, target, print)
    assert words in str(caught.value)
    assert str(directory) in str(caught.value)


# Running with Paddle

RUNS = """
import numpy as np
assert sys.argv[1] == "-I"
assert Path(sys.argv[2]).is_file()
with np.load(sys.argv[5]) as arrays:
    arrays = dict(arrays)
results = {}
for case in range(len(arrays) // 2):
    image, factor = arrays[f"{case}/image"], arrays[f"{case}/scale_factor"]
    results[f"{case}/0"] = image * factor
    results[f"{case}/1"] = np.array(Path(sys.argv[3]).name)
np.savez(sys.argv[6], **results)
"""


def test_run_paddle(source: Path, python: Python) -> None:
    python(RUNS)
    # More than ten, so that their order is not that of their names.
    cases = [{"image": X + i, "scale_factor": np.float32([[2]])} for i in range(12)]
    results = run_paddle(source, cases)
    assert len(results) == 12
    for index, (product, name) in enumerate(results):
        np.testing.assert_array_equal(product, (X + index) * 2)
        assert name == "inference.json"


@pytest.mark.parametrize(
    ("paddle_does", "words"),
    [
        ('sys.exit("ValueError: shapes")', ["(status 1)", "ValueError: shapes"]),
        ("os.kill(os.getpid(), 6)", ["(status -6)"]),
        ("pass", ["(status 0)"]),
    ],
)
def test_paddle_that_fails(
    source: Path, python: Python, paddle_does: str, words: list[str]
) -> None:
    python(paddle_does)
    with pytest.raises(PaddleRunError) as caught:
        run_paddle(source, [{"image": X}])
    for part in (f"Paddle can't run the model in {source}", *words):
        assert part in str(caught.value)


def test_without_an_environment(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paddle_reference, "find_environment", lambda: None)
    with pytest.raises(PaddleRunError, match="there is no environment"):
        run_paddle(source, [{"image": X}])


def test_without_a_model(tmp_path: Path, python: Python) -> None:
    python("pass")
    with pytest.raises(PaddleRunError, match="there is no Paddle model"):
        run_paddle(tmp_path, [{"image": X}])
