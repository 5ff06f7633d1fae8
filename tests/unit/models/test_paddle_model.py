"""Paddle models: their files, exporting and running them, with stand-ins for Paddle."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from paddle_fakes import write_program
from paddle_networks import Graph, detector_network, normalize, pixels, run_model
from tritonpose_server.models.errors import ConversionError
from tritonpose_server.models.paddle.model import PaddleModel

Opener = Callable[[str], PaddleModel]
X = np.array([[1, 2, 3]], np.float32)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A directory with what looks like a Paddle model."""
    directory = tmp_path / "source"
    directory.mkdir()
    (directory / "inference.json").write_text('{"base_code": {}, "program": {}}')
    (directory / "inference.pdiparams").write_bytes(b"weights")
    return directory


class Environment:
    """Stands for the environment of Paddle, which has another Python or none."""

    def __init__(self, python: Path | None) -> None:
        self.python = python

    def find(self) -> Path | None:
        return self.python

    def ensure(self, _progress: object) -> Path:
        assert self.python is not None, "an environment was asked for"
        return self.python


@pytest.fixture
def opener(tmp_path: Path, source: Path) -> Opener:
    """Opens the source, with statements in the place of Paddle."""

    def open_source(body: str, timeout_s: float = 60.0) -> PaddleModel:
        program = write_program(tmp_path / "environment" / "python", body)
        return PaddleModel(source, Environment(program), timeout_s)  # type: ignore[arg-type]

    return open_source


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
def test_export(tmp_path: Path, source: Path, opener: Opener, program: str) -> None:
    (source / "inference.json").rename(source / program)
    seen = tmp_path / "seen"
    log = f"Path({str(seen)!r}).write_text(chr(10).join(sys.argv[1:]))\n"
    model = opener(log + exported(tmp_path / "model"))
    lines: list[str] = []
    graph = model.export(lines.append)
    np.testing.assert_array_equal(run_model(graph, x=X)["y"], [[4, 6, 8]])
    assert [node.op_type for node in graph.graph.node] == ["Add", "Mul"]
    isolated, script, model_path, parameters, _, opset = seen.read_text().splitlines()
    assert isolated == "-I"
    assert Path(script).is_file()
    assert Path(model_path) == source / program
    assert Path(parameters) == source / "inference.pdiparams"
    assert opset == "16"
    # Once, however often it is asked for.
    assert model.export(lines.append) is graph
    assert lines == [f"converting {source / program} to ONNX"]


def test_the_newer_form_is_preferred(
    tmp_path: Path, source: Path, opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And paths may be relative."""
    (source / "inference.pdmodel").write_bytes(b"old")
    body = 'os.chdir("/")\nassert sys.argv[3].endswith("inference.json"), sys.argv\n'
    environment = opener(body + exported(tmp_path / "model"))._environment
    monkeypatch.chdir(tmp_path)
    assert PaddleModel(source.relative_to(tmp_path), environment).export(print)


@pytest.mark.parametrize(
    ("tool_does", "words"),
    [
        (
            UNSUPPORTED.format("digamma, erfinv"),
            ["does not support some of its operators (probably digamma, erfinv)", "without them"],
        ),
        (UNSUPPORTED.format(""), ["does not support some of its operators. Export"]),
        (
            'sys.exit("Failed: (Unimplemented) the 0th elementwise MUST be ir::FloatAttribute")',
            ["Export it again with paddlepaddle 3.0", "ir::FloatAttribute"],
        ),
        (
            'sys.exit("no such attribute (at /x/paddle2onnx/parser/pir_parser.cc:814)")',
            ["Export it again with paddlepaddle 3.0"],
        ),
        ('sys.exit("OSError: [Errno 28] No space left on device")', ["the disk is full"]),
        (NO_PARAMETERS, ["inference.pdiparams in", "cut short or of another model"]),
        ('print("strange")', ["paddle2onnx failed with status 0", "strange"]),
        ('sys.exit("Traceback\\nValueError: it")', ["failed with status 1", "ValueError: it"]),
        ("os.kill(os.getpid(), 11)", ["failed with status -11"]),
        ("time.sleep(60)", ["paddle2onnx did not finish in 2 s"]),
        ('Path(sys.argv[-2]).write_bytes(b"\\xff" * 9)', ["made invalid ONNX"]),
    ],
)
def test_failures(source: Path, opener: Opener, tool_does: str, words: list[str]) -> None:
    with pytest.raises(ConversionError) as caught:
        opener(tool_does, timeout_s=2.0).export(print)
    for part in words:
        assert part in str(caught.value)
    if "did not finish" not in words[0]:
        assert str(source) in str(caught.value)


POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "holds no model"),
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
    tmp_path: Path, files: dict[str, str], words: str
) -> None:
    directory = tmp_path / "model"
    directory.mkdir()
    for name, content in files.items():
        (directory / name).write_text(content, "utf-8", "surrogateescape")
    with pytest.raises(ConversionError) as caught:
        PaddleModel(directory)
    assert words in str(caught.value)
    assert str(directory) in str(caught.value)


# Running

RUNS = """
import numpy as np
assert sys.argv[1] == "-I"
assert Path(sys.argv[2]).is_file()
with np.load(sys.argv[5]) as arrays:
    arrays = dict(arrays)
results = {}
for case in range(len(arrays) // 3):
    image, factor = arrays[f"{case}/image"], arrays[f"{case}/scale_factor"]
    results[f"{case}/0"] = image * factor[0, 0]
    results[f"{case}/1"] = np.array(Path(sys.argv[3]).name)
np.savez(sys.argv[6], **results)
"""


def images(count: int, height: int, width: int) -> list[np.ndarray]:
    """Normalized images, one by one."""
    return list(normalize(pixels(count, height, width)).astype(np.float32)[:, None])


def does(tmp_path: Path, runs: str) -> str:
    """Statements that export a detector, and others that run it."""
    path = tmp_path / "detector.onnx"
    onnx.save(detector_network(32, 48), path)
    export = f"Path(sys.argv[-2]).write_bytes(Path({str(path)!r}).read_bytes())"
    return f'if sys.argv[2].endswith("export_onnx.py"):\n    {export}\n    sys.exit(0)\n{runs}'


def test_run_with_paddle(tmp_path: Path, opener: Opener) -> None:
    """Detectors get the scale factor 1."""
    model = opener(does(tmp_path, RUNS))
    # More than ten, so that their order is not that of their names.
    given = images(12, 32, 48)
    results = model.run(given, print)
    assert model.runs_with == "Paddle"
    assert len(results) == 12
    for image, (product, name) in zip(given, results, strict=True):
        np.testing.assert_array_equal(product, image)
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
    tmp_path: Path, source: Path, opener: Opener, paddle_does: str, words: list[str]
) -> None:
    model = opener(does(tmp_path, paddle_does))
    with pytest.raises(ConversionError) as caught:
        model.run(images(1, 32, 48), print)
    for part in (f"Paddle can't run the model in {source}", *words):
        assert part in str(caught.value)


def test_paddle_that_fails_beside_onnx(source: Path, opener: Opener) -> None:
    onnx.save(detector_network(32, 48), source / "inference.onnx")
    model = opener('sys.exit("no")')
    assert model.runs_with == "Paddle"
    lines: list[str] = []
    assert len(model.run(images(2, 32, 48), lines.append)) == 2
    assert model.runs_with == "the unconverted ONNX model"
    (line,) = lines
    assert line.endswith("comparing with inference.onnx instead")


@pytest.mark.parametrize("damaged", [False, True])
def test_onnx_without_a_paddle_that_runs(source: Path, damaged: bool) -> None:
    onnx.save(detector_network(32, 48), source / "inference.onnx")
    if damaged:
        (source / "inference.json").write_text("{")
    environment = Environment(Path("python") if damaged else None)
    model = PaddleModel(source, environment)  # type: ignore[arg-type]
    assert model.runs_with == "the unconverted ONNX model"
