"""Makes the pipeline's settings of a configuration, checked against the models that it uses."""

from __future__ import annotations

from pathlib import Path

from tritonpose.config import PipelineConfig
from tritonpose_pipeline.errors import ModelError
from tritonpose_pipeline.repository import CONFIG_FILE, DetectorModel, KeypointModel
from tritonpose_pipeline.settings import PipelineSettings
from tritonpose_pipeline.thresholds import (
    ThresholdError,
    class_ids,
    class_thresholds,
    describe_classes,
)
from tritonpose_server.errors import EmbeddedServerError
from tritonpose_server.models.store import installed_config


def make_settings(config: PipelineConfig, detector: Path, keypoint: Path) -> PipelineSettings:
    """Make the settings; the paths are of the installed models.

    An `EmbeddedServerError` says which setting doesn't fit its model, before a request meets it.
    """
    try:
        finder = DetectorModel.from_config(detector.name, installed_config(detector / CONFIG_FILE))
        pose = KeypointModel.from_config(keypoint.name, installed_config(keypoint / CONFIG_FILE))
    except ModelError as error:
        raise EmbeddedServerError(str(error)) from error
    if config.detector.threshold is not None:
        try:
            class_thresholds(
                config.detector.threshold,
                "ObjectDetection.threshold",
                finder.labels,
                finder.classes,
            )
        except ThresholdError as error:
            raise EmbeddedServerError(str(error)) from None
    schema, joints = config.keypoints, len(pose.schema.names)
    if schema is not None and len(schema.names) != joints:
        raise EmbeddedServerError(
            f"`Keypoints` of the pipeline file are {len(schema.names)}, but the model "
            f"{keypoint.name!r} has {joints}"
        )
    if config.keypoint.flip and (schema or pose.schema).mirrored is None:
        raise EmbeddedServerError(
            f"KeypointDetection.flip needs to know which keypoints of {keypoint.name!r} change "
            "places in a mirrored image: give them as `flip_pairs` in the section `Keypoints` of "
            "the pipeline file, or in keypoints.yml beside the model"
        )
    return PipelineSettings(
        detector=detector.name,
        keypoint_model=keypoint.name,
        threshold=config.detector.threshold,
        flip=bool(config.keypoint.flip),
        use_udp=config.keypoint.use_udp,
        classes=_chosen_classes(config, finder),
        keypoint_schema=schema,
    )


def _chosen_classes(config: PipelineConfig, model: DetectorModel) -> tuple[int, ...] | None:
    """Return the classes to count of an installed detector; None for all that it was made for."""
    wanted = config.detector.classes
    if wanted is None or config.detector.model_dir is not None:
        return None
    chosen: set[int] = set()
    for key in wanted:
        ids = class_ids(key, model.labels, model.classes)
        if not ids or not set(ids) <= set(model.classes):
            made_for = ", ".join(map(str, model.classes))
            raise EmbeddedServerError(
                f"ObjectDetection.classes has {key!r}, but the detector {model.name!r} was "
                f"installed to count {made_for} of its classes "
                f"{describe_classes(model.labels, model.classes)}: install it again with --classes"
            )
        chosen.update(ids)
    return tuple(sorted(chosen)) if chosen != set(model.classes) else None
