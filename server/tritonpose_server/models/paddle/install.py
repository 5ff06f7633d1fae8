"""Installs an exported model, from its directory or file, as a model for Triton."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from tritonpose_server.models import triton_config
from tritonpose_server.models.catalog import Role
from tritonpose_server.models.errors import ConversionError
from tritonpose_server.models.home import writable_directory
from tritonpose_server.models.keypoints_file import read_keypoints
from tritonpose_server.models.paddle.inference_yml import InferenceYml, read_inference_yml
from tritonpose_server.models.paddle.model import PaddleModel
from tritonpose_server.models.store import (
    CONVERTER_VERSION,
    ModelFiles,
    ModelStore,
    Progress,
    check_model_name,
)

KEEP_VARIABLE = "TRITONPOSE_KEEP_SHUFFLES"
"""Set to 1 it leaves the channel shuffles of models that are converted as they are."""

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
    keep_shuffles = keeps_shuffles(os.environ)
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
        **({"shuffles": "kept"} if keep_shuffles else {}),
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
    # It takes long to import, and models that are installed need none of it.
    from tritonpose_server.models.paddle.conversion import convert_detector, convert_keypoint_model

    servable, parameters, agreement = (
        convert_detector(model, yml, progress, keep_shuffles=keep_shuffles)
        if yml.role == "detector"
        else convert_keypoint_model(
            model,
            yml,
            schema,
            progress,
            model_name=model_name,
            flip_shift=flip_shift,
            keep_shuffles=keep_shuffles,
        )
    )
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


def keeps_shuffles(environ: Mapping[str, str]) -> bool:
    """Whether the user wants networks as they come; `ConversionError` if that is not clear."""
    text = environ.get(KEEP_VARIABLE, "0")
    if text not in ("", "0", "1"):
        raise ConversionError(f"{KEEP_VARIABLE} must be 0 or 1, it is {text!r}")
    return text == "1"


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
