"""Installs a PaddleX or PaddleDetection model directory as a leaf."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from tritonpose_conversion import leaf_config, leaf_graph, onnx_graph
from tritonpose_conversion.errors import ConversionError
from tritonpose_conversion.inference_yml import InferenceYml, Role, read_inference_yml
from tritonpose_conversion.store import LeafFiles, LeafStore, digest_files

# Part of every cache key: raise it when the same source would give another leaf.
CONVERTER_VERSION = 1

MAX_BATCH_SIZE = 32


def install_paddle_model(
    directory: Path, role: Role, store: LeafStore, *, model_name: str | None = None
) -> Path:
    """Convert a model directory and put the leaf into the store, unless it is there already.

    The leaf's name carries a digest of the source, so that one name never stands for different
    weights.

    Args:
        directory: Holds ``inference.onnx`` and ``inference.yml``.
        role: What the model is to be used for.
        store: Where leaves are kept.
        model_name: Name given by the user's configuration; default: that of ``inference.yml``.

    Returns:
        The leaf's directory.

    Raises:
        ConversionError: The directory or the model does not fit; the message says how.
    """
    onnx_path, yml_path = _source_files(directory)
    yml = read_inference_yml(yml_path)
    if yml.role != role:
        raise ConversionError(
            f"{directory} holds a {yml.role} model, but it is configured as {role} model"
        )
    source = digest_files(onnx_path, yml_path)
    key = hashlib.sha256(f"{source} {CONVERTER_VERSION}".encode()).hexdigest()
    name = f"{model_name or yml.model_name}-{key[:8]}"
    if store.provenance(name) is not None:
        return store.path(name)

    leaf, parameters = convert(onnx_graph.load_model(onnx_path), yml)
    batch = MAX_BATCH_SIZE if batches_exactly(leaf) else 1
    files = LeafFiles(
        model=leaf,
        config=leaf_config.render_config(name, leaf, parameters, max_batch_size=batch),
        provenance={
            "source": str(directory.absolute()),
            "source_sha256": source,
            "converter_version": CONVERTER_VERSION,
        },
    )
    return store.add(name, files)


def convert(model: onnx.ModelProto, yml: InferenceYml) -> tuple[onnx.ModelProto, dict[str, str]]:
    """Convert a model to a leaf.

    Args:
        model: The model as PaddleX gives it.
        yml: What it says of itself.

    Returns:
        The leaf and what the pipeline must know of it.

    Raises:
        ConversionError: The model does not fit; the message says how.
    """
    if yml.role == "keypoint":
        leaf = leaf_graph.keypoint_leaf(model, yml)
        # PaddleX decides by name which models need the one-pixel shift when flipping.
        shift = "PP-TinyPose" in yml.model_name
        return leaf, leaf_config.keypoint_parameters(flip_shift=shift, use_udp=yml.use_udp)
    leaf, nms = leaf_graph.detector_leaf(model, yml)
    return leaf, leaf_config.detector_parameters(
        interpolation=yml.interpolation,
        keep_ratio=yml.keep_ratio,
        pad_value=yml.normalization.zero_color(),
        threshold=yml.threshold,
        nms=nms,
    )


def batches_exactly(leaf: onnx.ModelProto) -> bool:
    """Whether a batch gives what its images give one by one.

    A graph exported for batch 1 can hold that size in places that freeing the batch dimension
    does not reach; then only batch 1 is right.

    Args:
        leaf: Input ``image`` uint8 ``[batch, h, w, 3]``.
    """
    session = onnxruntime.InferenceSession(
        leaf.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    height, width = onnx_graph.tensor_shape(leaf.graph.input[0])[1:3]
    shape = (3, int(height or 0), int(width or 0), 3)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    singles = [session.run(None, {"image": images[i : i + 1]}) for i in range(len(images))]
    try:
        batch = session.run(None, {"image": images})
    except Exception:  # ONNX Runtime's errors have no public base class
        return False
    return all(
        together.shape == expected.shape
        and np.allclose(together, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
        for together, expected in zip(
            batch, (np.concatenate(parts) for parts in zip(*singles, strict=True)), strict=True
        )
    )


def _source_files(directory: Path) -> tuple[Path, Path]:
    if not directory.is_dir():
        raise ConversionError(f"model directory {directory} does not exist")
    onnx_path, yml_path = directory / "inference.onnx", directory / "inference.yml"
    if not onnx_path.exists():
        if list(directory.glob("inference.pd*")) or (directory / "inference.json").exists():
            raise ConversionError(
                f"{directory} holds a Paddle model without its ONNX form; export it with "
                f"`paddle2onnx --model_dir {directory} --model_filename inference.json "
                "--params_filename inference.pdiparams --save_file inference.onnx "
                "--opset_version 16` and put inference.onnx beside it"
            )
        raise ConversionError(
            f"{directory} holds no model: expected inference.onnx and inference.yml"
        )
    return onnx_path, yml_path
