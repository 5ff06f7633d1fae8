"""Installs an exported model, from its directory or file, as a model for Triton."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import onnx

from tritonpose_server.models import triton_config
from tritonpose_server.models.catalog import Role
from tritonpose_server.models.errors import ConversionError
from tritonpose_server.models.graph.channels.shuffles import absorb_shuffles, keeps_shuffles
from tritonpose_server.models.graph.detector_graph import servable_detector
from tritonpose_server.models.graph.keypoint_graph import servable_keypoint_model
from tritonpose_server.models.home import writable_directory
from tritonpose_server.models.keypoints_file import read_keypoints
from tritonpose_server.models.paddle.flip_shift import needs_flip_shift
from tritonpose_server.models.paddle.inference_yml import InferenceYml, read_inference_yml
from tritonpose_server.models.paddle.model import PaddleModel
from tritonpose_server.models.paddle.verification import Agreement, verify_model
from tritonpose_server.models.store import (
    CONVERTER_VERSION,
    ModelFiles,
    ModelStore,
    Progress,
    check_model_name,
)

# What a model is made from, in its provenance: where any of it differs, the model may.
_MADE_FROM = (
    "source_sha256",
    "converter_version",
    "classes",
    "flip_shift",
    "keypoints",
    "shuffles",
)

# Of these, how it was converted: what is there is replaced.
_CONVERSION = {"converter_version", "shuffles"}


def install_paddle_model(
    place: Path,
    role: Role | None,
    store: ModelStore,
    *,
    model_name: str | None = None,
    name: str | None = None,
    img_size: tuple[int, int] | None = None,
    classes: tuple[str, ...] | None = None,
    flip_shift: bool | None = None,
    origin: Path | None = None,
    progress: Progress = lambda _line: None,
    open_model: Callable[[Path], PaddleModel] = PaddleModel,
) -> Path:
    """Convert a `PaddleModel` with its ``inference.yml``, and install it.

    Unless a name is given, the model's name carries a digest of all that it is made from, so that
    one name never stands for different weights; one that is there already is kept. Only a model
    that was found to agree with its source is installed, else a `ConversionError` says what is
    wrong. ``role`` and ``model_name`` default to those of ``inference.yml``, and so does
    ``img_size``, height and width in pixels, for a graph that leaves them open. ``classes``, labels
    or ids, are those of a detector that count as people; ``flip_shift`` says whether mirrored
    heatmaps of a keypoint model are shifted, which is else found out. ``origin`` is where the model
    came from, if not from ``place``.
    """
    model = open_model(place)
    yml = read_inference_yml(model.yml)
    _check_role(place, yml, role, classes, flip_shift)
    schema = read_keypoints(model.directory) if yml.role == "keypoint" else None
    digest = model.digest()
    source = digest
    if img_size is not None and img_size != (yml.height, yml.width):
        yml = replace(yml, height=img_size[0], width=img_size[1])
        source = f"{source} at {yml.height}x{yml.width}"
    made_from: dict[str, object] = {
        "source_sha256": source,
        "converter_version": CONVERTER_VERSION,
        **({"classes": sorted(classes)} if classes else {}),
        **({} if flip_shift is None else {"flip_shift": flip_shift}),
        **({} if schema is None else {"keypoints": schema.to_json()}),
        **({"shuffles": "kept"} if keeps_shuffles(os.environ) else {}),
    }
    yml = replace(yml, classes=classes)
    key = hashlib.sha256(json.dumps(made_from).encode()).hexdigest()
    name = name or f"{model_name or yml.model_name}-{key[:8]}"
    check_model_name(name)
    # Also of what is there already: a newer Paddle model may have come beside it.
    for note in model.notes:
        progress(note)
    if (warning := model.check_paddle_beside()) is not None:
        progress(f"warning: {warning}")
    if _is_installed(store, name, made_from):
        return store.path(name)

    writable_directory(store.root, 2 * model.size)
    exported = model.export(progress)
    if yml.role == "keypoint":
        shift, guess = needs_flip_shift(exported, yml, model_name, flip_shift)
        if guess is not None:
            progress(guess)
        joints = None if schema is None else len(schema.names)
        servable = _without_shuffles(
            servable_keypoint_model(exported, yml, joints), yml.model_name, progress
        )
        agreement = verify_model(servable, yml, model, progress)
        parameters = triton_config.keypoint_parameters(
            flip_shift=shift, use_udp=yml.use_udp, schema=schema
        )
    else:
        servable, parameters, agreement = _detector(exported, yml, model, progress)
    progress(f"{name}: {agreement}")
    if model.digest() != digest:
        raise ConversionError(f"{place} changed while it was converted: install it again")
    config = triton_config.make_config(
        name,
        servable,
        parameters,
        max_batch_size=triton_config.MAX_BATCH_SIZE if agreement.batches else 1,
    )
    provenance = {
        "source": str((origin or place).absolute()),
        **made_from,
        "agreement": asdict(agreement),
    }
    configs = {triton_config.ONNXRUNTIME: triton_config.onnxruntime_config(config)}
    return store.add(name, ModelFiles(servable, config, provenance, configs))


def _check_role(
    place: Path,
    yml: InferenceYml,
    role: Role | None,
    classes: Sequence[str] | None,
    flip_shift: bool | None,
) -> None:
    """Check that a model is of the role that it is to have, and options are of that role."""
    if role is not None and yml.role != role:
        raise ConversionError(
            f"{place} holds a {yml.role} model, but it is configured as {role} model"
        )
    if classes and yml.role != "detector":
        raise ConversionError(f"{place} holds a keypoint model: only detectors have classes")
    if flip_shift is not None and yml.role != "keypoint":
        raise ConversionError(f"a flip shift is of keypoint models, and {place} holds a detector")


def _is_installed(store: ModelStore, name: str, made_from: Mapping[str, object]) -> bool:
    """Whether the very model is there; another one of its name is a `ConversionError`."""
    installed = store.provenance(name)
    if installed is None:
        return False
    different = [key for key in _MADE_FROM if installed.get(key) != made_from.get(key)]
    if set(different) <= _CONVERSION:
        return not different
    raise ConversionError(
        f"another model is installed as {name!r}; remove it first, or choose another name"
    )


def _detector(
    exported: onnx.ModelProto,
    yml: InferenceYml,
    model: PaddleModel,
    progress: Progress,
) -> tuple[onnx.ModelProto, dict[str, str], Agreement]:
    detector = servable_detector(exported, yml)
    if detector.raw is not None and not yml.has_nms:
        progress(
            f"the detector has no suppression of overlapping boxes and {model.yml.name} no `NMS`: "
            f"using PP-YOLOE's, IoU {yml.nms.iou_threshold:g} and score "
            f"{yml.nms.score_threshold:g}; `NMS` with nms_threshold and score_threshold changes it"
        )
    servable = _without_shuffles(detector.model, yml.model_name, progress)
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
    return servable, parameters, agreement


def _without_shuffles(servable: onnx.ModelProto, name: str, progress: Progress) -> onnx.ModelProto:
    if keeps_shuffles(os.environ):
        return servable
    servable, note = absorb_shuffles(servable)
    if note is not None:
        progress(f"{name}: {note}")
    return servable
