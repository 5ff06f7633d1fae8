"""Models found, and not found, beside the pipeline."""

from pathlib import Path

import pytest

from composing_models import (
    DETECTOR_PARAMETERS,
    KEYPOINT_PARAMETERS,
    config_text,
    parse_detector,
    parse_keypoint,
    write_config,
)
from tritonpose_pipeline.errors import ModelError
from tritonpose_pipeline.repository import ModelRepository

PIPELINE = config_text({"detector": "small", "keypoint_model": "pose"})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with two detectors, a keypoint model, the pipeline and clutter."""
    root = tmp_path / "models"
    write_config(root, "small", config_text(DETECTOR_PARAMETERS))
    write_config(root, "large-2.0_x+", config_text(DETECTOR_PARAMETERS, (640, 512, 3)))
    write_config(root, "pose", config_text(KEYPOINT_PARAMETERS, (128, 96, 3)))
    write_config(root, "pipeline", PIPELINE)
    write_config(root, "broken", "max_batch_size: [")
    (root / "empty").mkdir()
    (root / "README.md").write_text("models")
    write_config(tmp_path, "outside", config_text(DETECTOR_PARAMETERS))
    return root


def detector_refusal(repository: ModelRepository, name: str) -> str:
    with pytest.raises(ModelError) as caught:
        repository.detector(name)
    return str(caught.value)


def test_models_are_found(root: Path) -> None:
    repository = ModelRepository(root)
    detector = repository.detector("small")
    assert detector == parse_detector("small", (320, 256, 3), DETECTOR_PARAMETERS)
    large = repository.detector("large-2.0_x+")
    assert (large.name, large.height, large.width) == ("large-2.0_x+", 640, 512)
    keypoint_model = repository.keypoint_model("pose")
    assert keypoint_model == parse_keypoint("pose", (128, 96, 3), 4, KEYPOINT_PARAMETERS)


def test_names_by_role(root: Path) -> None:
    repository = ModelRepository(root)
    assert repository.names("detector") == ["large-2.0_x+", "small"]
    assert repository.names("keypoint") == ["pose"]


@pytest.mark.parametrize(
    "name",
    [
        *("tiny", "empty", "Small", "", ".", "..", "../outside", "x/../../outside", "a/b", "/etc"),
        *("small/", "./small", "small\0", "small\n", " small", "sm*ll", ".hidden", "größe"),
        *("x" * 129, "x" * 100_000),
    ],
)
def test_models_that_are_not_there_are_answered_with_those_that_are(root: Path, name: str) -> None:
    repository = ModelRepository(root)
    assert detector_refusal(repository, name) == (
        f"no detector model {name!r} is installed on this server; installed: large-2.0_x+, small"
    )
    with pytest.raises(ModelError, match=r"^no keypoint model .*; installed: pose$"):
        repository.keypoint_model(name)


def test_a_name_may_have_128_characters(root: Path) -> None:
    write_config(root, "x" * 128, config_text(DETECTOR_PARAMETERS))
    assert ModelRepository(root).detector("x" * 128).height == 320


def test_several_repositories_are_searched_in_order(root: Path, tmp_path: Path) -> None:
    more = tmp_path / "more"
    write_config(more, "extra", config_text(DETECTOR_PARAMETERS, (416, 416, 3)))
    repository = ModelRepository(tmp_path / "absent", more, root)
    assert repository.detector("extra").height == 416
    assert repository.detector("small").height == 320
    assert repository.names("detector") == ["extra", "large-2.0_x+", "small"]
    assert repository.names("keypoint") == ["pose"]
    # The first one wins, also where the later one was read before.
    write_config(more, "small", config_text(DETECTOR_PARAMETERS, (192, 192, 3)))
    assert repository.detector("small").height == 192
    assert ModelRepository(root, more).detector("small").height == 320


def test_directories_no_request_can_name_are_not_listed(root: Path) -> None:
    write_config(root, ".hidden", config_text(DETECTOR_PARAMETERS))
    write_config(root, "x" * 129, config_text(DETECTOR_PARAMETERS))
    assert ModelRepository(root).names("detector") == ["large-2.0_x+", "small"]
    assert "no detector model" in detector_refusal(ModelRepository(root), "x" * 129)


@pytest.mark.parametrize("seconds", [10, -10, 0])
def test_a_changed_file_is_read_again(root: Path, seconds: int) -> None:
    """Also when it became older or kept its date, as files unpacked from an archive do."""
    repository = ModelRepository(root)
    assert repository.detector("small").height == 320
    changed = config_text(DETECTOR_PARAMETERS, (416, 416, 3))
    write_config(root, "small", changed, 1_000_000_000 + seconds)
    assert repository.detector("small").height == 416


def test_models_that_come_and_go(root: Path) -> None:
    repository = ModelRepository(root)
    assert repository.names("keypoint") == ["pose"]
    assert "no detector model 'new'" in detector_refusal(repository, "new")
    write_config(root, "new", config_text(DETECTOR_PARAMETERS))
    assert repository.detector("new").name == "new"
    write_config(root, "new", "max_batch_size: [", 1_000_000_001)
    assert "config.pbtxt" in detector_refusal(repository, "new")
    write_config(root, "new", config_text(DETECTOR_PARAMETERS, tensor="x"), 1_000_000_002)
    assert "has no input `image`" in detector_refusal(repository, "new")
    write_config(root, "new", config_text(KEYPOINT_PARAMETERS), 1_000_000_003)
    assert repository.names("keypoint") == ["new", "pose"]
    for name in ("new", "large-2.0_x+", "small"):
        (root / name / "config.pbtxt").unlink()
    assert detector_refusal(repository, "small").endswith("; installed: none")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"max_batch_size: [", "model 'bad': config.pbtxt: 1:17"),
        (b"no_such_field: 1", 'has no field named "no_such_field"'),
        (b"name: '\xff\xfe'", "can't decode byte 0xff"),
    ],
)
def test_malformed_files_are_named(root: Path, content: bytes, words: str) -> None:
    path = write_config(root, "bad", "")
    path.write_bytes(content)
    repository = ModelRepository(root)
    message = detector_refusal(repository, "bad")
    assert message.startswith("model 'bad': config.pbtxt: ")
    assert words in message
    assert repository.names("detector") == ["large-2.0_x+", "small"]


def test_files_and_folders_in_odd_places_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("no model")
    (tmp_path / "odd" / "config.pbtxt").mkdir(parents=True)
    repository = ModelRepository(tmp_path)
    assert repository.names("detector") == []
    for name in ("README.md", "odd"):
        with pytest.raises(ModelError, match=f"no detector model '{name}' is installed"):
            repository.detector(name)
