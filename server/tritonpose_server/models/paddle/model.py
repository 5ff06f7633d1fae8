"""Installs a PaddleX or PaddleDetection model directory as a model."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import onnx

from tritonpose_server.models import gpu_config, model_config
from tritonpose_server.models.errors import ConversionError
from tritonpose_server.models.graph import model_graph, onnx_graph
from tritonpose_server.models.paddle.environment import find_environment
from tritonpose_server.models.paddle.export import export_to_onnx
from tritonpose_server.models.paddle.files import PaddleFiles, find_paddle_files
from tritonpose_server.models.paddle.inference_yml import InferenceYml, Role, read_inference_yml
from tritonpose_server.models.paddle.reference import PaddleRunError
from tritonpose_server.models.paddle.source_model import OnnxSource, PaddleSource
from tritonpose_server.models.paddle.verification import Agreement, verify_model
from tritonpose_server.models.store import ModelFiles, ModelStore, check_model_name, digest_files

# Part of every cache key: raise it when the same source would give another model.
CONVERTER_VERSION = 1

MAX_BATCH_SIZE = 32


def _silence(_line: str) -> None:
    pass


def install_paddle_model(
    directory: Path,
    role: Role | None,
    store: ModelStore,
    *,
    model_name: str | None = None,
    name: str | None = None,
    img_size: tuple[int, int] | None = None,
    progress: Callable[[str], None] = _silence,
) -> Path:
    """Convert a model directory and put the model into the store, unless it is there already.

    Unless a name is given, the model's name carries a digest of the source, so that one name never
    stands for different weights. Only a model that was found to agree with its source is installed.

    Args:
        directory: Holds ``inference.yml`` and ``inference.onnx``, or instead of the latter a Paddle
            model: ``inference.json`` or ``inference.pdmodel``, and ``inference.pdiparams``.
        role: What the model is to be used for, None for what it says of itself.
        store: Where models are kept.
        model_name: Name given by the user's configuration; default: that of ``inference.yml``.
        name: Name of the model.
        img_size: Height and width in pixels to run at, for a graph that leaves them open; default:
            those of ``inference.yml``.
        progress: Called with lines for the user.

    Returns:
        The model's directory.

    Raises:
        ConversionError: The directory or the model does not fit, or the model does not agree with
            it; the message says how.
    """
    files = _source_files(directory)
    yml = read_inference_yml(files.yml)
    if role is not None and yml.role != role:
        raise ConversionError(
            f"{directory} holds a {yml.role} model, but it is configured as {role} model"
        )
    source = digest_files(*files.network, files.yml)
    if img_size is not None and img_size != (yml.height, yml.width):
        yml = replace(yml, height=img_size[0], width=img_size[1])
        source = f"{source} at {yml.height}x{yml.width}"
    key = hashlib.sha256(f"{source} {CONVERTER_VERSION}".encode()).hexdigest()
    name = name or f"{model_name or yml.model_name}-{key[:8]}"
    check_model_name(name)
    installed = store.provenance(name)
    if installed is not None:
        if (installed.get("source_sha256"), installed.get("converter_version")) == (
            source,
            CONVERTER_VERSION,
        ):
            return store.path(name)
        raise ConversionError(
            f"another model is installed as {name!r}; remove it first, or choose another name"
        )

    model = _load(directory, files, progress)
    servable, parameters = convert(model, yml)
    agreement = _verify(directory, files, model, servable, yml, progress)
    progress(f"{name}: {agreement}")
    batch = MAX_BATCH_SIZE if agreement.batches else 1
    config = model_config.render_config(name, servable, parameters, max_batch_size=batch)
    return store.add(
        name,
        ModelFiles(
            model=servable,
            config=config,
            provenance={
                "source": str(directory.absolute()),
                "source_sha256": source,
                "converter_version": CONVERTER_VERSION,
                "agreement": asdict(agreement),
            },
            configs={gpu_config.ONNXRUNTIME: gpu_config.onnxruntime_config(config)},
        ),
    )


def convert(model: onnx.ModelProto, yml: InferenceYml) -> tuple[onnx.ModelProto, dict[str, str]]:
    """Convert a model to a model.

    Args:
        model: The model as PaddleX gives it.
        yml: What it says of itself.

    Returns:
        The model and what the pipeline must know of it.

    Raises:
        ConversionError: The model does not fit; the message says how.
    """
    if yml.role == "keypoint":
        servable = model_graph.servable_keypoint_model(model, yml)
        # PaddleX decides by name which models need the one-pixel shift when flipping.
        shift = "PP-TinyPose" in yml.model_name
        return servable, model_config.keypoint_parameters(flip_shift=shift, use_udp=yml.use_udp)
    servable, nms = model_graph.servable_detector(model, yml)
    return servable, model_config.detector_parameters(
        interpolation=yml.interpolation,
        keep_ratio=yml.keep_ratio,
        pad_value=yml.normalization.zero_color(),
        threshold=yml.threshold,
        nms=nms,
    )


@dataclass(frozen=True)
class _SourceFiles:
    """What a model is made from.

    Attributes:
        network: ``inference.onnx``, or the program and the parameters of a Paddle model.
        yml: ``inference.yml``.
    """

    network: tuple[Path, ...]
    yml: Path

    @property
    def is_onnx(self) -> bool:
        return len(self.network) == 1


def _source_files(directory: Path) -> _SourceFiles:
    if not directory.is_dir():
        raise ConversionError(f"model directory {directory} does not exist")
    yml = directory / "inference.yml"
    onnx_path = directory / "inference.onnx"
    if onnx_path.exists():
        return _SourceFiles((onnx_path,), yml)
    paddle = find_paddle_files(directory)
    if paddle is None:
        raise ConversionError(
            f"{directory} holds no model: expected inference.yml and either inference.json (or "
            "inference.pdmodel) with inference.pdiparams, or inference.onnx"
        )
    return _SourceFiles((paddle.program, paddle.parameters), yml)


def _load(directory: Path, files: _SourceFiles, progress: Callable[[str], None]) -> onnx.ModelProto:
    if files.is_onnx:
        return onnx_graph.load_model(files.network[0])
    with tempfile.TemporaryDirectory() as work:
        exported = Path(work, "inference.onnx")
        export_to_onnx(directory, exported, progress)
        return onnx_graph.load_model(exported)


def _verify(
    directory: Path,
    files: _SourceFiles,
    model: onnx.ModelProto,
    servable: onnx.ModelProto,
    yml: InferenceYml,
    progress: Callable[[str], None],
) -> Agreement:
    """Compare the model with the Paddle model where that can be run, else with the ONNX model."""
    if not files.is_onnx or (find_environment() and _paddle_beside_onnx(directory)):
        try:
            return verify_model(servable, yml, PaddleSource(directory, model), progress)
        except PaddleRunError as error:
            if not files.is_onnx:
                raise
            progress(f"{error}; comparing with inference.onnx instead")
    return verify_model(servable, yml, OnnxSource(model), progress)


def _paddle_beside_onnx(directory: Path) -> PaddleFiles | None:
    """The Paddle model that ``inference.onnx`` came from; a damaged one is as good as none."""
    try:
        return find_paddle_files(directory)
    except ConversionError:
        return None
