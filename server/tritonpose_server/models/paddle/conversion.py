"""Converts an exported model to a graph that is served, and checks that it gives the same."""

from __future__ import annotations

from typing import NamedTuple

import onnx

from tritonpose_pipeline.keypoint_schema import KeypointSchema
from tritonpose_server.models import triton_config
from tritonpose_server.models.graph.channels.shuffles import absorb_shuffles
from tritonpose_server.models.graph.detector_graph import servable_detector
from tritonpose_server.models.graph.keypoint_graph import servable_keypoint_model
from tritonpose_server.models.paddle.flip_shift import needs_flip_shift
from tritonpose_server.models.paddle.inference_yml import InferenceYml
from tritonpose_server.models.paddle.model import PaddleModel
from tritonpose_server.models.paddle.verification import Agreement, verify_model
from tritonpose_server.models.store import Progress


class Conversion(NamedTuple):
    """A servable graph, the facts for its ``config.pbtxt``, and how it agrees with its source."""

    servable: onnx.ModelProto
    parameters: dict[str, str]
    agreement: Agreement


def convert_detector(
    model: PaddleModel, yml: InferenceYml, progress: Progress, *, keep_shuffles: bool
) -> Conversion:
    """Convert a detector; `ConversionError` where that fails or it does not agree."""
    detector = servable_detector(model.export(progress), yml)
    if detector.raw is not None and not yml.has_nms:
        progress(
            f"the detector has no suppression of overlapping boxes and {model.yml.name} no `NMS`: "
            f"using PP-YOLOE's, IoU {yml.nms.iou_threshold:g} and score "
            f"{yml.nms.score_threshold:g}; `NMS` with nms_threshold and score_threshold changes it"
        )
    servable = detector.model
    if not keep_shuffles:
        servable = _without_shuffles(servable, yml.model_name, progress)
    agreement = verify_model(
        servable, yml, model, progress, classes=detector.classes, raw=detector.raw
    )
    parameters = triton_config.detector_parameters(
        interpolation=yml.interpolation,
        keep_ratio=yml.keep_ratio,
        pad_value=yml.normalization.zero_color(),
        threshold=yml.threshold,
        nms=detector.nms,
        labels=yml.labels,
        classes=detector.classes,
    )
    return Conversion(servable, parameters, agreement)


def convert_keypoint_model(
    model: PaddleModel,
    yml: InferenceYml,
    schema: KeypointSchema | None,
    progress: Progress,
    *,
    model_name: str | None,
    flip_shift: bool | None,
    keep_shuffles: bool,
) -> Conversion:
    """Convert a keypoint model; `ConversionError` where that fails or it does not agree.

    Options are those of `install_paddle_model`; ``schema`` is what the user says of its keypoints.
    """
    exported = model.export(progress)
    shift, guess = needs_flip_shift(exported, yml, model_name, flip_shift)
    if guess is not None:
        progress(guess)
    servable = servable_keypoint_model(exported, yml, None if schema is None else len(schema.names))
    if not keep_shuffles:
        servable = _without_shuffles(servable, yml.model_name, progress)
    agreement = verify_model(servable, yml, model, progress)
    parameters = triton_config.keypoint_parameters(
        flip_shift=shift, use_udp=yml.use_udp, schema=schema
    )
    return Conversion(servable, parameters, agreement)


def _without_shuffles(servable: onnx.ModelProto, name: str, progress: Progress) -> onnx.ModelProto:
    servable, note = absorb_shuffles(servable)
    if note is not None:
        progress(f"{name}: {note}")
    return servable
