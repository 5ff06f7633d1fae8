"""Facts of made-up models, and their `config.pbtxt`."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonpose_pipeline.repository import DetectorModel, KeypointModel
from tritonpose_pipeline.request import PoseOptions

DETECTOR_PARAMETERS = {
    "role": "detector",
    "interpolation": "cubic",
    "keep_ratio": "false",
    "pad_value": "10,20,30",
    "nms_score_threshold": "0.025",
    "nms_iou_threshold": "0.6",
    "nms_top_k": "1000",
    "nms_keep_top_k": "100",
    "threshold": "0.5",
}
KEYPOINT_PARAMETERS = {"role": "keypoint", "flip_shift": "false", "use_udp": "false"}


def model_config(
    dims: Sequence[int],
    parameters: Mapping[str, str],
    max_batch_size: int = 1,
    joints: int | None = None,
) -> ModelConfig:
    config = ModelConfig(max_batch_size=max_batch_size)
    config.input.add(name="image", dims=dims)
    if joints is not None:
        config.output.add(name="heatmap", dims=(joints, dims[0] // 4, dims[1] // 4))
    for key, value in parameters.items():
        config.parameters[key].string_value = value
    return config


def parse_detector(name: str, dims: Sequence[int], parameters: Mapping[str, str]) -> DetectorModel:
    return DetectorModel.from_config(name, model_config(dims, parameters))


def parse_keypoint(
    name: str, dims: Sequence[int], max_batch_size: int, parameters: Mapping[str, str]
) -> KeypointModel:
    return KeypointModel.from_config(name, model_config(dims, parameters, max_batch_size))


def detector_network(height: int = 32, width: int = 48, **changes: str) -> DetectorModel:
    return parse_detector("detector", (height, width, 3), {**DETECTOR_PARAMETERS, **changes})


def keypoint_network(
    height: int = 64,
    width: int = 48,
    max_batch_size: int = 8,
    joints: int | None = None,
    **changes: str,
) -> KeypointModel:
    parameters = {**KEYPOINT_PARAMETERS, **changes}
    config = model_config((height, width, 3), parameters, max_batch_size, joints)
    return KeypointModel.from_config("keypoint", config)


def pose_options(
    detector: DetectorModel | None = None,
    keypoint_model: KeypointModel | None = None,
    threshold: float | Sequence[float] = 0.5,
    flip: bool = False,
    use_udp: bool = False,
) -> PoseOptions:
    model = keypoint_model or keypoint_network()
    thresholds = (threshold,) if isinstance(threshold, float | int) else tuple(threshold)
    return PoseOptions(
        detector or detector_network(), model, thresholds, flip, use_udp, model.schema
    )


def config_text(
    parameters: Mapping[str, str], dims: tuple[int, ...] = (320, 256, 3), tensor: str = "image"
) -> str:
    lines = [
        "max_batch_size: 4",
        f'input [ {{ name: "{tensor}" data_type: TYPE_UINT8 dims: {list(dims)} }} ]',
    ]
    lines += [
        f'parameters [ {{ key: "{key}" value: {{ string_value: "{value}" }} }} ]'
        for key, value in parameters.items()
    ]
    return "\n".join(lines)


def write_config(root: Path, name: str, text: str, modified_s: int = 1_000_000_000) -> Path:
    """Write a model's `config.pbtxt`, last changed at a given second."""
    path = root / name / "config.pbtxt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    os.utime(path, (modified_s, modified_s))
    return path
