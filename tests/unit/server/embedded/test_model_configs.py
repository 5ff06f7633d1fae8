"""A tuning in Triton's configurations, and the defaults where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup

from composing_models import DETECTOR_PARAMETERS, KEYPOINT_PARAMETERS, config_text, write_config
from tritonpose_pipeline.repository import CONFIG_FILE, read_config
from tritonpose_server.embedded.model_configs import stage_models, tune_model
from tritonpose_server.embedded.tuning import ModelTuning, PipelineTuning, Tuning
from tritonpose_server.errors import EmbeddedServerError

ALL = ModelTuning(instances=2, streams=3, threads=4, max_batch_size=5, queue_delay_us=250)


def model_config(text: str = "") -> ModelConfig:
    config = text_format.Parse(text, ModelConfig(name="m", backend="openvino", max_batch_size=8))
    config.dynamic_batching.SetInParent()
    return config


def model(folder: Path, name: str, parameters: dict[str, str]) -> Path:
    directory = write_config(folder, name, config_text(parameters)).parent
    (directory / "1").mkdir()
    (directory / "1" / "model.onnx").write_text(name)
    return directory


# --- one configuration ---


def test_everything_is_set() -> None:
    config = model_config("instance_group { kind: KIND_CPU count: 1 }")
    tuned = tune_model(config, ALL)
    assert tuned.instance_group[0].count == 2
    assert tuned.max_batch_size == 5
    assert tuned.dynamic_batching.max_queue_delay_microseconds == 250
    assert {key: value.string_value for key, value in tuned.parameters.items()} == {
        "NUM_STREAMS": "3",
        "INFERENCE_NUM_THREADS": "4",
    }
    # The model's own is left as it is.
    assert config == model_config("instance_group { kind: KIND_CPU count: 1 }")


def test_nothing_chosen_changes_nothing() -> None:
    config = model_config('parameters { key: "NUM_STREAMS" value { string_value: "7" } }')
    assert tune_model(config, ModelTuning()) == config


def test_each_gpu_gets_its_instances() -> None:
    config = model_config("instance_group { kind: KIND_GPU count: 1 gpus: [0, 1] }")
    (group,) = tune_model(config, ModelTuning(instances=3)).instance_group
    assert (group.count, group.kind, list(group.gpus)) == (3, ModelInstanceGroup.KIND_GPU, [0, 1])


def test_no_queue_without_batches() -> None:
    tuned = tune_model(model_config(), ModelTuning(max_batch_size=1, queue_delay_us=100))
    assert tuned.max_batch_size == 1
    assert not tuned.HasField("dynamic_batching")
    # It takes no more.
    again = tune_model(tuned, ModelTuning(max_batch_size=4, queue_delay_us=100))
    assert again == tuned


def test_threads_win_over_those_of_a_batch() -> None:
    config = model_config('parameters { key: "intra_op_thread_count" value { string_value: "1" } }')
    assert dict(tune_model(config, ModelTuning(threads=2)).parameters).keys() == {
        "INFERENCE_NUM_THREADS"
    }


# --- directories ---


def test_models_are_served_from_elsewhere(tmp_path: Path) -> None:
    store = tmp_path / "store"
    models = [model(store, "det", DETECTOR_PARAMETERS), model(store, "kpt", KEYPOINT_PARAMETERS)]
    model(store, "spare", KEYPOINT_PARAMETERS)
    write_config(store, "notes", "name: 'no model'")
    write_config(store, "broken", "name: {")
    write_config(store, ".half", config_text(DETECTOR_PARAMETERS))
    before = [(path / "config.pbtxt").read_text() for path in models]
    tuning = Tuning(ModelTuning(streams=1), ModelTuning(streams=2))
    served = stage_models(models, None, tuning, tmp_path / "tuned")
    assert served == [tmp_path / "tuned" / "det", tmp_path / "tuned" / "kpt"]
    # One that a request may name is tuned by its role, too.
    streams = {
        path.name: read_config(path / CONFIG_FILE).parameters["NUM_STREAMS"].string_value
        for path in (tmp_path / "tuned").iterdir()
    }
    assert streams == {"det": "1", "kpt": "2", "spare": "2"}
    assert (served[1] / "1" / "model.onnx").read_text() == "kpt"
    assert [(path / "config.pbtxt").read_text() for path in models] == before


def test_models_stay_where_they_are_if_only_the_pipeline_is_tuned(tmp_path: Path) -> None:
    models = [model(tmp_path, "det", DETECTOR_PARAMETERS)]
    tuning = Tuning(pipeline=PipelineTuning(workers=3))
    assert stage_models(models, None, tuning, tmp_path / "tuned") == models
    assert not (tmp_path / "tuned").exists()


def test_the_given_one_of_two_with_one_name(tmp_path: Path) -> None:
    given = model(tmp_path / "one", "det", DETECTOR_PARAMETERS)
    other = model(tmp_path / "two", "kpt", KEYPOINT_PARAMETERS)
    beside = model(tmp_path / "two", "det", DETECTOR_PARAMETERS)
    (beside / "1" / "model.onnx").write_text("not this one")
    tuning = Tuning(ModelTuning(streams=1))
    served = stage_models([given, other], None, tuning, tmp_path / "tuned")
    assert (served[0] / "1" / "model.onnx").read_text() == "det"
    with pytest.raises(
        EmbeddedServerError, match=r"two of the models to serve have one name: .*/one/det"
    ):
        stage_models([given, other, beside], None, tuning, tmp_path / "again")
