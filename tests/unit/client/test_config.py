"""Parsing of PaddleX pipeline configurations, and `create_pipeline`'s arguments."""

import copy
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml

from tritonpose import ConfigError, create_async_pipeline, create_pipeline
from tritonpose.config import DetectorConfig, KeypointConfig, PipelineConfig
from tritonpose_pipeline.keypoint_schema import KeypointSchema

NAME = "human_keypoint_detection"
SERVER = "grpc://localhost:8001"

# As PaddleX ships it.
SHIPPED = files("tritonpose.cli").joinpath("human_keypoint_detection.yaml").read_text("utf-8")


def configuration(**changes: object) -> dict[str, Any]:
    """A minimal configuration with changed values; keys are written ``det_KEY``, ``kpt_KEY``."""
    content: dict[str, Any] = {
        "pipeline_name": NAME,
        "SubModules": {
            "ObjectDetection": {"model_name": "PP-YOLOE-S_human"},
            "KeypointDetection": {"model_name": "PP-TinyPose_128x96"},
        },
    }
    sections = {"det": "ObjectDetection", "kpt": "KeypointDetection"}
    for name, value in changes.items():
        section, key = name.split("_", 1)
        content["SubModules"][sections[section]][key] = value
    return content


def write(folder: Path, text: str) -> Path:
    path = folder / "pipeline.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_bare_name_says_nothing() -> None:
    assert PipelineConfig.load(NAME) == PipelineConfig()
    assert PipelineConfig().detector.model_name is None
    assert PipelineConfig().keypoint.flip is None


def test_shipped_yaml(tmp_path: Path) -> None:
    path = write(tmp_path, SHIPPED)
    expected = PipelineConfig(
        DetectorConfig(model_name="PP-YOLOE-S_human", batch_size=1),
        KeypointConfig(model_name="PP-TinyPose_128x96", batch_size=1, flip=False),
    )
    assert PipelineConfig.load(str(path)) == PipelineConfig.load(path) == expected
    # Python's literals are read as PaddleX reads them.
    text = SHIPPED.replace("model_dir: null", "model_dir: None")
    text = text.replace("threshold: null", 'threshold: "0.25"')
    assert PipelineConfig.load(write(tmp_path, text)) == replace(
        expected, detector=replace(expected.detector, threshold=0.25)
    )


def test_text_that_looks_like_a_literal_stays(tmp_path: Path) -> None:
    path = write(tmp_path, SHIPPED.replace("model_dir: null", 'model_dir: "{[]}"'))
    assert PipelineConfig.load(path).detector.model_dir == Path.cwd() / "{[]}"


@pytest.mark.parametrize(
    ("change", "module", "field", "expected"),
    [
        ({"det_threshold": 0}, "detector", "threshold", 0.0),
        ({"det_threshold": 1}, "detector", "threshold", 1.0),
        ({"det_threshold": None}, "detector", "threshold", None),
        (
            {"det_threshold": {"工人": 0.25, 1: 1}},
            "detector",
            "threshold",
            {"工人": 0.25, "1": 1.0},
        ),
        ({"det_classes": ["工人", 2, "2"]}, "detector", "classes", ("工人", "2")),
        ({"det_classes": "worker"}, "detector", "classes", ("worker",)),
        ({"det_classes": 0}, "detector", "classes", ("0",)),
        ({"det_classes": None}, "detector", "classes", None),
        ({"det_img_size": 320}, "detector", "img_size", (320, 320)),
        ({"det_imgsz": [192, 320]}, "detector", "img_size", (192, 320)),
        ({"det_img_size": 320, "det_imgsz": [320, 320]}, "detector", "img_size", (320, 320)),
        ({"det_model_dir": "/models/mine"}, "detector", "model_dir", Path("/models/mine")),
        ({"det_model_dir": "mine"}, "detector", "model_dir", Path.cwd() / "mine"),
        ({"kpt_model_dir": Path("mine")}, "keypoint", "model_dir", Path.cwd() / "mine"),
        ({"kpt_flip": True}, "keypoint", "flip", True),
        ({"kpt_use_udp": False}, "keypoint", "use_udp", False),
        ({"kpt_batch_size": 4}, "keypoint", "batch_size", 4),
    ],
)
def test_values(change: dict[str, object], module: str, field: str, expected: object) -> None:
    parsed = PipelineConfig.load(config=configuration(**change))
    assert getattr(getattr(parsed, module), field) == expected


def test_keypoints(tmp_path: Path) -> None:
    """A section of its own, whose texts PaddleX would evaluate where they spell a literal."""
    section = {"names": ["a", "b"], "skeleton": [["a", 1]], "colors": ["#ff0000"]}
    expected = KeypointSchema(("a", "b"), ((0, 1),), ((255, 0, 0),))
    content = configuration() | {"Keypoints": section}
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(content))
    for loaded in (PipelineConfig.load(config=content), PipelineConfig.load(path)):
        assert loaded.keypoints == expected
    halpe = PipelineConfig.load(config=configuration() | {"Keypoints": {"preset": "halpe26"}})
    assert halpe.keypoints is not None
    assert len(halpe.keypoints.names) == 26
    for wrong in ([], {"preset": "coco"}, {"name": ["a"]}):
        with pytest.raises(ConfigError, match=r"^config: Keypoints"):
            PipelineConfig.load(config=configuration() | {"Keypoints": wrong})


@pytest.mark.parametrize(
    ("serving", "expected"),
    [
        ({}, None),
        ({"visualize": None}, None),
        ({"visualize": False, "extra": {"max_num_input_imgs": 1}}, False),
        ({"visualize": True}, True),
    ],
)
def test_serving(serving: dict[str, Any], expected: bool | None) -> None:
    config = configuration() | {"Serving": serving}
    assert PipelineConfig.load(config=config).visualize is expected


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"det_threshold": "high"}, ["ObjectDetection.threshold", "'high'", "0 to 1"]),
        ({"det_threshold": True}, ["ObjectDetection.threshold", "True"]),
        ({"det_threshold": {"worker": 2}}, ["ObjectDetection.threshold['worker']", "got 2"]),
        ({"det_threshold": {True: 0.5}}, ["ObjectDetection.threshold has the class True"]),
        *(
            ({"det_classes": classes}, ["ObjectDetection.classes", "labels, or ids from 0"])
            for classes in ([], [True], [0.5], [["worker"]], {"worker": 1}, " ")
        ),
        ({"det_threshold": 1.5}, ["ObjectDetection.threshold", "1.5"]),
        ({"det_threshold": float("nan")}, ["ObjectDetection.threshold", "nan"]),
        ({"det_img_size": [320]}, ["ObjectDetection.img_size", "[320]", "[height, width]"]),
        ({"det_imgsz": 0}, ["ObjectDetection.imgsz", "0"]),
        ({"det_img_size": 320, "det_imgsz": 416}, ["img_size and imgsz disagree"]),
        ({"det_model_dir": 3}, ["ObjectDetection.model_dir", "3", "directory"]),
        ({"det_model_dir": ""}, ["ObjectDetection.model_dir", "''"]),
        ({"det_batch_size": "two"}, ["ObjectDetection.batch_size", "'two'"]),
        ({"kpt_model_name": None}, ["KeypointDetection.model_name", "None"]),
        ({"kpt_flip": "sometimes"}, ["KeypointDetection.flip", "'sometimes'"]),
        ({"kpt_use_udp": 1}, ["KeypointDetection.use_udp", "1", "true, false or null"]),
    ],
)
def test_wrong_values_are_named(change: dict[str, object], words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        PipelineConfig.load(config=configuration(**change))
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize(
    ("pipeline", "config", "word"),
    [
        (None, None, "give a pipeline"),
        ("OCR", None, "'OCR'"),
        (5, None, "pipeline = 5"),
        (b"mine.yaml", None, "pipeline = b'mine.yaml'"),
        ("OCR", configuration(), "'OCR'"),
        (NAME, configuration() | {"pipeline_name": "OCR"}, "pipeline_name = 'OCR'"),
        (None, {"pipeline_name": NAME}, "SubModules is missing"),
        (None, {"pipeline_name": NAME, "SubModules": []}, "SubModules = []"),
        (None, {"pipeline_name": NAME, "SubModules": {}}, "ObjectDetection is missing"),
        (None, configuration() | {"Serving": []}, "Serving = []"),
        (None, configuration() | {"Serving": {"visualize": 1}}, "Serving.visualize = 1"),
        (None, "pipeline.yaml", "expected a dict"),
        ("nowhere/to_be_found.yaml", None, "to_be_found.yaml"),
    ],
)
def test_wrong_arguments(pipeline: str | None, config: Any, word: str) -> None:
    with pytest.raises(ConfigError) as caught:
        PipelineConfig.load(pipeline, config)
    assert word in str(caught.value)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("pipeline_name: [", "valid YAML"),
        ("pipeline_name: 2026-13-45", "valid YAML"),
        ("- 1\n- 2\n", "mapping"),
        ("", "mapping"),
    ],
)
def test_wrong_files(tmp_path: Path, text: str, word: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError, match=f"{path}.*{word}"):
        PipelineConfig.load(path)


def test_config_takes_precedence_and_is_left_alone() -> None:
    config = configuration(kpt_flip=True)
    before = copy.deepcopy(config)
    assert PipelineConfig.load(NAME, config).keypoint.flip is True
    assert PipelineConfig.load("not/read.yaml", config).keypoint.flip is True
    assert config == before


@pytest.mark.parametrize(
    "device", [None, "cpu", "gpu:0", "gpu:0,1", "GPU", "npu:3", "xpu", "mlu:1"]
)
def test_devices_are_accepted_for_servers(device: str | None) -> None:
    create_pipeline(NAME, None, device, url=SERVER).close()


@pytest.mark.parametrize("url", [SERVER, "local:"])
@pytest.mark.parametrize(
    "given", [{"use_hpip": True}, {"hpi_config": {"backend": "openvino"}}, {"pp_option": object()}]
)
def test_arguments_of_paddlex_without_effect_are_warned_of(given: dict, url: str) -> None:
    with pytest.warns(UserWarning, match=next(iter(given))) as caught:
        create_pipeline(NAME, url=url, **given).close()
    assert caught[0].filename == __file__


def test_the_engine_is_the_servers_or_that_of_this_process() -> None:
    choice = {"engine": "onnxruntime", "engine_config": {"cpu_threads": 1}}
    with pytest.warns(UserWarning, match=r"engine, engine_config: .*local:"):
        create_pipeline(NAME, url=SERVER, **choice).close()
    create_pipeline(NAME, url="local:", **choice).close()
    with pytest.raises(ConfigError, match="cpu_threads=0"):
        create_pipeline(NAME, url="local:", engine_config={"cpu_threads": 0})


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"device": "tpu"}, "'tpu'"),
        ({"device": "cpu:0"}, "'cpu:0'"),
        ({"device": "gpu:a"}, "'gpu:a'"),
        ({"url": "localhost:8001"}, "HOST:PORT"),
        ({"timeout": float("inf")}, "timeout=inf"),
        ({"max_in_flight": 0}, "max_in_flight=0"),
        ({"url": "local:", "device": "tpu"}, "'tpu'"),
        ({"url": "local:", "timeout": 0}, "timeout=0"),
        ({"url": "local:", "api_key": "secret"}, "api_key: for a server"),
        ({"url": "local:", "engine": "paddle"}, "'paddle'"),
    ],
)
def test_wrong_arguments_of_create_pipeline(arguments: dict[str, Any], word: str) -> None:
    with pytest.raises(ConfigError) as caught:
        create_pipeline(NAME, **{"url": SERVER, **arguments})
    assert word in str(caught.value)


def test_url_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITONPOSE_URL", "ftp://pose:21")
    with pytest.raises(ConfigError, match="ftp://pose:21"):
        create_pipeline(NAME)
    create_pipeline(NAME, url="http://pose:8000").close()


@pytest.mark.parametrize(
    "change", [{"det_model_dir": "mine"}, {"kpt_model_dir": "mine"}, {"det_imgsz": 320}]
)
def test_settings_of_the_server_are_warned_of(change: dict[str, object]) -> None:
    with pytest.warns(UserWarning, match="server is started") as caught:
        create_pipeline(config=configuration(**change), url=SERVER).close()
    assert caught[0].filename == __file__


def test_an_unknown_argument_is_named_with_the_function() -> None:
    with pytest.raises(TypeError, match=r"^create_pipeline\(\) got an unexpected .* 'urls'"):
        create_pipeline(NAME, urls="grpc://pose:8001")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"^create_async_pipeline\(\) got an .* 'urls'"):
        create_async_pipeline(NAME, urls="grpc://pose:8001")  # type: ignore[call-arg]


def test_unknown_arguments_of_predict_are_warned_of() -> None:
    with (
        create_pipeline(NAME, url=SERVER) as pipeline,
        pytest.warns(UserWarning, match="layout_nms: unknown to this pipeline's predict"),
    ):
        pipeline.predict("x.jpg", layout_nms=True).close()


@pytest.mark.parametrize("url", ["", " ", [], [""]])
def test_an_empty_url_is_an_error(url: Any) -> None:
    with pytest.raises(ConfigError, match="url="):
        create_pipeline(NAME, url=url)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("threshold:", "thresholds:", "ObjectDetection.thresholds is .* mean 'threshold'"),
        ("flip:", "flips:", "KeypointDetection.flips is unknown .* did you mean 'flip'"),
        ("SubModules:", "Zzz: 1\nSubModules:", ": Zzz is unknown and has no effect$"),
        ("  KeypointD", "  Detection: {}\n  KeypointD", "SubModules.Detection is unknown"),
    ],
)
def test_unknown_keys_are_warned_of(tmp_path: Path, old: str, new: str, words: str) -> None:
    with pytest.warns(UserWarning, match=words):
        PipelineConfig.load(write(tmp_path, SHIPPED.replace(old, new)))


def test_keys_of_paddlex_are_known(tmp_path: Path) -> None:
    more = "use_hpip: False\nhpi_config: null\nServing: {visualize: null, extra: {a: 1}}\n"
    text = SHIPPED.replace("    batch_size", "    engine: x\n    module_name: x\n    batch_size")
    PipelineConfig.load(write(tmp_path, more + text))
