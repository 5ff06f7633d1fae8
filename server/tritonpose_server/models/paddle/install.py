"""Installs a PaddleX or PaddleDetection model directory as a model for Triton."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import onnx

from tritonpose_pipeline.keypoint_schema import KeypointSchema
from tritonpose_server.models import triton_config
from tritonpose_server.models.catalog import Role
from tritonpose_server.models.errors import ConversionError
from tritonpose_server.models.graph import model_graph
from tritonpose_server.models.keypoints_file import read_keypoints
from tritonpose_server.models.paddle.inference_yml import InferenceYml, read_inference_yml
from tritonpose_server.models.paddle.model import PaddleModel
from tritonpose_server.models.paddle.verification import verify_model
from tritonpose_server.models.store import (
    CONVERTER_VERSION,
    ModelFiles,
    ModelStore,
    Progress,
    check_model_name,
)


def install_paddle_model(
    directory: Path,
    role: Role | None,
    store: ModelStore,
    *,
    model_name: str | None = None,
    name: str | None = None,
    img_size: tuple[int, int] | None = None,
    classes: tuple[str, ...] | None = None,
    progress: Progress = lambda _line: None,
    open_model: Callable[[Path], PaddleModel] = PaddleModel,
) -> Path:
    """Convert a directory with ``inference.yml`` and a `PaddleModel`, and install the model.

    Unless a name is given, the model's name carries a digest of the source, so that one name never
    stands for different weights; one that is there already is kept. Only a model that was found to
    agree with its source is installed, else a `ConversionError` says what is wrong. ``role`` and
    ``model_name`` default to those of ``inference.yml``, and so does ``img_size``, height and width
    in pixels, for a graph that leaves them open. ``classes`` are the labels or ids of a detector's
    classes that count, by default that of persons.
    """
    model = open_model(directory)
    yml = read_inference_yml(model.yml)
    if role is not None and yml.role != role:
        raise ConversionError(
            f"{directory} holds a {yml.role} model, but it is configured as {role} model"
        )
    source = model.digest
    if img_size is not None and img_size != (yml.height, yml.width):
        yml = replace(yml, height=img_size[0], width=img_size[1])
        source = f"{source} at {yml.height}x{yml.width}"
    schema = None
    if yml.role == "keypoint":
        schema = read_keypoints(directory)
        if classes is not None:
            raise ConversionError(
                f"{directory} holds a keypoint model: only detectors have classes"
            )
    if schema is not None:
        source = f"{source} of {hashlib.sha256(schema.to_json().encode()).hexdigest()}"
    if classes is not None:
        yml = replace(yml, classes=classes)
        source = f"{source} for {json.dumps(sorted(classes))}"
    key = hashlib.sha256(f"{source} {CONVERTER_VERSION}".encode()).hexdigest()
    name = name or f"{model_name or yml.model_name}-{key[:8]}"
    check_model_name(name)
    made_from = {"source_sha256": source, "converter_version": CONVERTER_VERSION}
    installed = store.provenance(name)
    if installed is not None:
        if made_from.items() <= installed.items():
            return store.path(name)
        raise ConversionError(
            f"another model is installed as {name!r}; remove it first, or choose another name"
        )

    servable, parameters = convert(model.export(progress), yml, schema)
    agreement = verify_model(servable, yml, model, progress)
    progress(f"{name}: {agreement}")
    config = triton_config.make_config(
        name,
        servable,
        parameters,
        max_batch_size=triton_config.MAX_BATCH_SIZE if agreement.batches else 1,
    )
    provenance = {"source": str(directory.absolute()), **made_from, "agreement": asdict(agreement)}
    configs = {triton_config.ONNXRUNTIME: triton_config.onnxruntime_config(config)}
    return store.add(name, ModelFiles(servable, config, provenance, configs))


def convert(
    model: onnx.ModelProto, yml: InferenceYml, schema: KeypointSchema | None = None
) -> tuple[onnx.ModelProto, dict[str, str]]:
    """Convert a model's graph to what Triton serves and what the pipeline must know of it.

    ``schema`` is what a keypoint model's keypoints are, None where no file says it.
    """
    if yml.role == "keypoint":
        servable = model_graph.servable_keypoint_model(
            model, yml, None if schema is None else len(schema.names)
        )
        # PaddleX decides by name which models need the one-pixel shift when flipping.
        shift = "PP-TinyPose" in yml.model_name
        return servable, triton_config.keypoint_parameters(
            flip_shift=shift, use_udp=yml.use_udp, schema=schema
        )
    servable, nms, classes = model_graph.servable_detector(model, yml)
    return servable, triton_config.detector_parameters(
        interpolation=yml.interpolation,
        keep_ratio=yml.keep_ratio,
        pad_value=yml.normalization.zero_color(),
        threshold=yml.threshold,
        nms=nms,
        labels=yml.labels,
        classes=classes,
    )
