"""Which models a pipeline configuration means."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from composing_models import DETECTOR_PARAMETERS, KEYPOINT_PARAMETERS, model_config
from paddle_networks import keypoint_network
from tritonpose.config import DetectorConfig, KeypointConfig, PipelineConfig
from tritonpose_pipeline.keypoint_schema import KeypointSchema
from tritonpose_pipeline.settings import PipelineSettings
from tritonpose_server.errors import EmbeddedServerError
from tritonpose_server.models import choice as choice_module
from tritonpose_server.models import commands as manage
from tritonpose_server.models.catalog import (
    DEFAULT_DETECTOR,
    DEFAULT_KEYPOINT_MODEL,
    KNOWN_MODELS,
    OPEN_MODELS,
)
from tritonpose_server.models.choice import (
    Installers,
    ModelChoice,
    choose_models,
    local_stand_ins,
)
from tritonpose_server.models.errors import ConversionError, FetchError, HomeError
from tritonpose_server.models.store import ModelFiles, ModelStore

LIGHTNING = "MoveNet-Lightning_256x192"
YOLOE, TINYPOSE = "PP-YOLOE-S_human", "PP-TinyPose_128x96"
MINE = Path("/models/mine")


class World:
    """What installs models: puts models without weights into the store and keeps the calls.

    Attributes:
        store: The user's store.
        online: Whether PaddleX's models can be fetched.
        calls: What was installed, and from where.
        facts: Further parameters of the models that are put into the store.
    """

    def __init__(self, home: Path) -> None:
        self.store = ModelStore(home / "models")
        self.online = True
        self.calls: list[tuple[object, ...]] = []
        self.facts: dict[str, str] = {}

    def put(self, name: str, role: str) -> Path:
        facts = DETECTOR_PARAMETERS if role == "detector" else KEYPOINT_PARAMETERS
        config = model_config((32, 24, 3), {**facts, **self.facts})
        return self.store.add(name, ModelFiles(keypoint_network(), config, {"source": "nowhere"}))

    def install(self, name: str, store: ModelStore, *_: object, **__: object) -> Path:
        assert store.root == self.store.root
        self.calls.append(("fetch", name))
        if not self.online:
            raise FetchError("offline")
        return self.put(name, KNOWN_MODELS[name].role)

    def install_open(self, names: list[str], store: ModelStore, _: object) -> None:
        assert store.root == self.store.root
        for name in names:
            if name in OPEN_MODELS:
                self.calls.append(("open", name))
                self.put(name, OPEN_MODELS[name].role)

    def install_paddle(self, directory: Path, role: str, store: ModelStore, **options: Any) -> Path:
        assert store.root == self.store.root
        self.calls.append(("convert", directory, role, options["model_name"]))
        return self.put(f"{options['model_name']}-{directory.name}", role)

    def choose(
        self, pipeline: PipelineConfig, *, strict: bool = False
    ) -> tuple[ModelChoice, list[str]]:
        """What is chosen, and the lines for the user."""
        lines: list[str] = []
        installers = Installers(self.install, self.install_open, self.install_paddle, tuple)
        choice = choose_models(pipeline, lines.append, strict=strict, installers=installers)
        return choice, lines


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("TRITONPOSE_HOME", str(tmp_path))
    return World(tmp_path)


def config(
    detector: str | None = None,
    keypoint: str | None = None,
    detector_dir: Path | None = None,
    keypoint_dir: Path | None = None,
) -> PipelineConfig:
    return PipelineConfig(
        DetectorConfig(model_name=detector, model_dir=detector_dir),
        KeypointConfig(model_name=keypoint, model_dir=keypoint_dir),
    )


@pytest.mark.parametrize(
    ("detector", "keypoint", "calls"),
    [
        (None, None, [("fetch", YOLOE), ("fetch", TINYPOSE)]),
        ("PP-YOLOE-L_human", TINYPOSE, [("fetch", "PP-YOLOE-L_human"), ("fetch", TINYPOSE)]),
        (DEFAULT_DETECTOR, LIGHTNING, [("open", DEFAULT_DETECTOR), ("open", LIGHTNING)]),
        (YOLOE, LIGHTNING, [("fetch", YOLOE), ("open", LIGHTNING)]),
    ],
)
def test_models_by_name(
    world: World, detector: str | None, keypoint: str | None, calls: list[tuple[str, str]]
) -> None:
    choice, lines = world.choose(config(detector, keypoint))
    models = [name for _, name in calls]
    assert choice.models == tuple(world.store.path(name) for name in models)
    assert choice.settings == PipelineSettings(*models)
    assert world.calls == calls
    assert [line for line in lines if line.startswith(f"detector model: {models[0]} ")]
    assert [line for line in lines if line.startswith(f"keypoint model: {models[1]} ")]


def test_stand_ins_are_announced_until_the_models_can_be_fetched(world: World) -> None:
    world.online = False
    for _ in range(2):
        choice, lines = world.choose(config())
        assert choice.stand_ins == {YOLOE: DEFAULT_DETECTOR, TINYPOSE: DEFAULT_KEYPOINT_MODEL}
        for name, stand_in in choice.stand_ins.items():
            assert f"{stand_in} stands in for {name}, which can't be fetched from here" in lines
    world.online = True
    choice, lines = world.choose(config())
    assert choice.models == (world.store.path(YOLOE), world.store.path(TINYPOSE))
    assert choice.stand_ins == {}
    assert not [line for line in lines if "stands in" in line]


def test_a_store_that_cannot_be_written_serves_what_it_has(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.put(DEFAULT_DETECTOR, "detector")

    def refuse(directory: Path) -> Path:
        raise HomeError(f"{directory} can't be used")

    with monkeypatch.context() as patched:
        patched.setattr(choice_module, "writable_directory", refuse)
        with pytest.raises(HomeError, match="can't be used"):
            world.choose(config())
    world.put(DEFAULT_KEYPOINT_MODEL, "keypoint")
    monkeypatch.setattr(choice_module, "writable_directory", refuse)
    found, lines = world.choose(config())
    assert found.stand_ins == {YOLOE: DEFAULT_DETECTOR, TINYPOSE: DEFAULT_KEYPOINT_MODEL}
    assert [line for line in lines if "stands in" in line and str(world.store.root) in line]
    with pytest.raises(HomeError, match="can't be used"):
        world.choose(config(), strict=True)


def test_nothing_stands_in_where_that_is_forbidden(world: World) -> None:
    world.online = False
    world.put(DEFAULT_DETECTOR, "detector")
    with pytest.raises(FetchError, match="offline\nNo open model stands in"):
        world.choose(config(keypoint=DEFAULT_KEYPOINT_MODEL), strict=True)
    world.online = True
    assert world.choose(config(), strict=True)[0].models[0] == world.store.path(YOLOE)


def test_installed_models_are_not_fetched_or_read(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading large models would take seconds at every start."""
    world.put(YOLOE, "detector")
    world.put("mine", "keypoint")
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail(f"{path} is read"))
    choice, lines = world.choose(config(YOLOE, "mine"))
    assert choice.models == (world.store.path(YOLOE), world.store.path("mine"))
    assert world.calls == []
    expected = [f"detector model: {YOLOE} (from nowhere)", "keypoint model: mine (from nowhere)"]
    assert lines == expected


def test_digests_are_listed(world: World) -> None:
    model = world.put(YOLOE, "detector")
    digest = hashlib.sha256((model / "1" / "model.onnx").read_bytes()).hexdigest()
    entries = {entry.name: entry for entry in manage.list_models(world.store)}
    assert entries[YOLOE].sha256 == digest
    assert entries[YOLOE].installed
    assert not entries[TINYPOSE].installed


def test_models_half_installed_or_removed_are_not_seen(world: World) -> None:
    """What a process that was killed leaves behind must not keep a server from starting."""
    installed = world.put(YOLOE, "detector")
    world.put(TINYPOSE, "keypoint")
    shutil.copytree(installed, world.store.path(f".{YOLOE}-removed"))
    (world.store.path(f".{YOLOE}-removed") / "1" / "model.onnx").unlink()
    assert world.choose(config(YOLOE, TINYPOSE))[0].models[0] == installed
    assert not [entry for entry in manage.list_models(world.store) if entry.name.startswith(".")]


@pytest.mark.parametrize("file", ["config.pbtxt", "1/model.onnx"])
def test_damaged_models_are_named(world: World, file: str) -> None:
    """Where they are asked for."""
    world.put(YOLOE, "detector")
    damaged = world.put(TINYPOSE, "keypoint") / file
    damaged.unlink()
    if file == "config.pbtxt":
        damaged.write_text("name: [")
    world.put("mine", "keypoint")
    assert world.choose(config(YOLOE, "mine"))[0].models[1] == world.store.path("mine")
    with pytest.raises(HomeError, match=f"{damaged} is damaged .* install it again"):
        world.choose(config(YOLOE, TINYPOSE))


def test_a_damaged_model_hides_no_stand_in(world: World) -> None:
    world.put(DEFAULT_DETECTOR, "detector")
    (world.put(TINYPOSE, "keypoint") / "provenance.json").write_text("{")
    assert local_stand_ins(world.store)[YOLOE] == DEFAULT_DETECTOR


@pytest.mark.parametrize(
    ("directories", "models", "calls"),
    [
        ((MINE, None), ("D-mine", LIGHTNING), ["open", "detector"]),
        ((None, MINE), (YOLOE, f"{LIGHTNING}-mine"), ["fetch", "keypoint"]),
        ((MINE / "d", MINE / "k"), ("D-d", f"{LIGHTNING}-k"), ["detector", "keypoint"]),
    ],
)
def test_own_models(
    world: World,
    directories: tuple[Path | None, Path | None],
    models: tuple[str, str],
    calls: list[str],
) -> None:
    detector_dir, keypoint_dir = directories
    pipeline = config("D" if detector_dir else None, LIGHTNING, detector_dir, keypoint_dir)
    choice, lines = world.choose(pipeline)
    made = {
        "open": ("open", LIGHTNING),
        "fetch": ("fetch", YOLOE),
        "detector": ("convert", detector_dir, "detector", "D"),
        "keypoint": ("convert", keypoint_dir, "keypoint", LIGHTNING),
    }
    assert world.calls == [made[call] for call in calls]
    assert choice.models == tuple(world.store.path(name) for name in models)
    assert (choice.settings.detector, choice.settings.keypoint_model) == models
    if detector_dir:
        assert f"detector model: {models[0]} (from {detector_dir})" in lines


@pytest.mark.parametrize(
    ("detector", "keypoint", "visualize", "settings"),
    [
        ({}, {}, None, (None, False, None, True)),
        ({"threshold": 0.0}, {"flip": False, "use_udp": False}, False, (0.0, False, False, False)),
        ({"threshold": 0.7}, {"flip": True, "use_udp": True}, True, (0.7, True, True, True)),
    ],
)
def test_settings(
    world: World,
    detector: dict[str, Any],
    keypoint: dict[str, Any],
    visualize: bool | None,
    settings: tuple[object, ...],
) -> None:
    pipeline = PipelineConfig(DetectorConfig(**detector), KeypointConfig(**keypoint), visualize)
    choice, _ = world.choose(pipeline)
    chosen = choice.settings
    assert (chosen.threshold, chosen.flip, chosen.use_udp, choice.visualize) == settings
    assert type(chosen.flip) is bool


def test_classes_of_an_installed_detector(world: World) -> None:
    world.facts = {"labels": '["worker", "dog", "visitor"]', "classes": "0,2"}
    world.put("mine", "detector")
    for classes, expected in (
        (("worker",), (0,)),
        (("2",), (2,)),
        (("visitor", "0"), None),
        (None, None),
    ):
        detector = DetectorConfig(model_name="mine", classes=classes, threshold={"visitor": 0.25})
        choice, _ = world.choose(PipelineConfig(detector))
        assert choice.settings.classes == expected
        assert choice.settings.threshold == {"visitor": 0.25}
        assert choice.threshold == 0.25
    for setting, words in (
        ({"classes": ("dog",)}, "classes has 'dog', but the detector 'mine' was installed to"),
        ({"classes": ("cat",)}, "classes has 'cat'"),
        ({"threshold": {"cat": 0.5}}, "ObjectDetection.threshold has the class 'cat'"),
    ):
        with pytest.raises(EmbeddedServerError, match=words):
            world.choose(PipelineConfig(DetectorConfig(model_name="mine", **setting)))


def test_keypoints_of_a_configuration(world: World) -> None:
    """The section is about the model that the configuration names, with as many keypoints."""
    plain = KeypointSchema(tuple("abcdefghijklmnopq"))
    schema = replace(plain, flip_pairs=((0, 1),))
    flipped = PipelineConfig(keypoint=KeypointConfig(flip=True), keypoints=schema)
    assert world.choose(flipped)[0].settings.keypoint_schema == schema
    with pytest.raises(EmbeddedServerError, match="`Keypoints` of the pipeline file are 2, but"):
        world.choose(PipelineConfig(keypoints=KeypointSchema(("a", "b"))))
    with pytest.raises(EmbeddedServerError, match=r"flip needs to know .* `flip_pairs`"):
        world.choose(replace(flipped, keypoints=plain))


@pytest.mark.parametrize("pipeline", [config("YOLO"), config(YOLOE, "YOLO")])
def test_unknown_models(world: World, pipeline: PipelineConfig) -> None:
    world.put(YOLOE, "detector")
    with pytest.raises(ConversionError, match="no model 'YOLO' is installed or known") as caught:
        world.choose(pipeline)
    assert "model_dir" in str(caught.value)
    for name in (DEFAULT_DETECTOR, LIGHTNING, YOLOE, "PP-TinyPose_256x192"):
        assert name in str(caught.value)
    assert world.calls == []


@pytest.mark.parametrize(
    ("pipeline", "words"),
    [
        (config(detector=LIGHTNING), f"'{LIGHTNING}' is a keypoint model, not a detector model"),
        (config(keypoint=DEFAULT_DETECTOR), "is a detector model, not a keypoint model"),
        (config(keypoint="mine"), "'mine' is a detector model, not a keypoint model"),
        (config(detector=TINYPOSE), f"'{TINYPOSE}' is a keypoint model, not a detector model"),
    ],
)
def test_models_in_the_other_role(world: World, pipeline: PipelineConfig, words: str) -> None:
    world.put("mine", "detector")
    with pytest.raises(ConversionError, match=words):
        world.choose(pipeline)


def test_image_size(world: World) -> None:
    pipeline = PipelineConfig(DetectorConfig(img_size=(320, 320)), KeypointConfig())
    with pytest.raises(EmbeddedServerError, match=r"ObjectDetection\.img_size needs a model_dir"):
        world.choose(pipeline)
    assert world.calls == []


def test_models_of_earlier_versions(world: World) -> None:
    """Of PaddleX are converted again where that can be done; the user's are left alone."""
    for name, role in ((YOLOE, "detector"), ("mine", "keypoint")):
        world.put(name, role)
        provenance = world.store.path(name) / "provenance.json"
        provenance.write_text('{"source": "nowhere", "converter_version": 1}')
    world.online = False
    choice, lines = world.choose(config(YOLOE, "mine"))
    assert choice.stand_ins == {}
    assert any(line.startswith(f"{YOLOE}: keeping what an earlier version") for line in lines)
    assert any("mine was converted by an earlier version of tritonpose" in line for line in lines)
    world.online = True
    world.calls.clear()
    world.choose(config(YOLOE, "mine"))
    assert world.calls == [("fetch", YOLOE)]
    world.calls.clear()
    world.choose(config(YOLOE, "mine"))
    assert world.calls == []


def test_a_model_under_the_name_of_the_pipeline(world: World) -> None:
    """An earlier version installed it; no server could start beside it."""
    world.put("mine", "keypoint")
    world.store.path("mine").rename(world.store.path("human_keypoint_detection"))
    with pytest.raises(ConversionError, match="`tritonpose models remove human_keypoint"):
        world.choose(config())
