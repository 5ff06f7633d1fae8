"""The models that are known by name: PaddleX's, and the open models that can stand in for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tritonpose_pipeline.repository import NmsSettings
from tritonpose_server.models.open_models.npm_package import Member
from tritonpose_server.models.open_models.tfjs.graph_model import GraphModel

if TYPE_CHECKING:
    import onnx

Role = Literal["detector", "keypoint"]

DEFAULT_DETECTOR = "NanoDet_person_416"
DEFAULT_KEYPOINT_MODEL = "MoveNet-Thunder_256x192"

PADDLEX_DEFAULTS: dict[Role, str] = {
    "detector": "PP-YOLOE-S_human",
    "keypoint": "PP-TinyPose_128x96",
}
"""The models of PaddleX's own pipeline file."""

STAND_INS: dict[Role, str] = {"detector": DEFAULT_DETECTOR, "keypoint": DEFAULT_KEYPOINT_MODEL}
"""The open models that are served where PaddleX's can't be fetched."""


@dataclass(frozen=True)
class KnownModel:
    """A model of PaddleX; published accuracy and size in MB are empty and None where unknown."""

    name: str
    role: Role
    accuracy: str = ""
    size_mb: float | None = None


@dataclass(frozen=True)
class Detection:
    """How an open detector is used.

    From the score ``threshold`` on a box counts as a person; ``nms`` comes before. With
    ``letterbox``, images keep their aspect ratio within the network's size.
    """

    threshold: float
    letterbox: bool
    nms: NmsSettings


@dataclass(frozen=True, kw_only=True)
class OpenModel(KnownModel):
    """A public network, from a pinned npm package that has it as a TensorFlow.js graph model.

    ``license`` is the SPDX identifier where it was published first, ``upstream``. ``topology`` is
    the graph model's JSON file, ``weights`` the file beside it. From 0..255 pixels ``mean`` is
    subtracted, then ``std`` divides, each in the network's channel order: BGR if ``bgr``, else RGB.
    ``detection`` is None for a keypoint model.
    """

    upstream: str
    license: str
    topology: Member
    weights: Member
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    bgr: bool = False
    detection: Detection | None = None
    build: Callable[[GraphModel], onnx.ModelProto]


PADDLEX_MODELS = {
    model.name: model
    for model in (
        KnownModel("PP-YOLOE-S_human", "detector", "mAP 42.5", 28.8),
        KnownModel("PP-YOLOE-L_human", "detector", "mAP 48.0", 196.0),
        KnownModel("PP-TinyPose_128x96", "keypoint", "AP 58.4"),
        KnownModel("PP-TinyPose_256x192", "keypoint", "AP 68.3", 4.9),
    )
}


def _build_movenet(model: GraphModel) -> onnx.ModelProto:
    # It takes long to import, and only a model that is converted needs it.
    from tritonpose_server.models.open_models.tfjs.movenet import build_movenet

    return build_movenet(model)


def _build_nanodet(model: GraphModel) -> onnx.ModelProto:
    from tritonpose_server.models.open_models.tfjs.nanodet import build_nanodet

    return build_nanodet(model)


def _movenet(variant: str, topology: str, weights: str) -> OpenModel:
    """Describe a variant of MoveNet by the hashes of its files."""
    lower = variant.lower()
    return OpenModel(
        name=f"MoveNet-{variant}_256x192",
        role="keypoint",
        upstream=f"https://tfhub.dev/google/movenet/singlepose/{lower}/4",
        license="Apache-2.0",
        topology=Member(f"package/models/movenet-{lower}.json", topology),
        weights=Member(f"package/models/movenet-{lower}.bin", weights),
        mean=(127.5, 127.5, 127.5),
        std=(127.5, 127.5, 127.5),
        build=_build_movenet,
    )


OPEN_MODELS = {
    model.name: model
    for model in (
        OpenModel(
            name=DEFAULT_DETECTOR,
            role="detector",
            upstream="https://github.com/RangiLyu/nanodet",
            license="Apache-2.0",
            topology=Member(
                "package/models/nanodet.json",
                "4495eb0ec74bd33ee40a79aa06ebc1ccd7e28be1bf7355d93ffb570b8d77f45d",
            ),
            weights=Member(
                "package/models/nanodet.bin",
                "5d0e4f8c4eded666287330be03017d494787d35f523fd77ca23f59db984a4ad9",
            ),
            mean=(103.53, 116.28, 123.675),
            std=(57.375, 57.12, 58.395),
            bgr=True,
            detection=Detection(
                threshold=0.4,
                letterbox=True,
                nms=NmsSettings(
                    score_threshold=0.05, iou_threshold=0.6, top_k=1000, keep_top_k=100
                ),
            ),
            build=_build_nanodet,
        ),
        _movenet(
            "Thunder",
            topology="7ac4e2a8449fc279f71b8b0ba52f7c5daafc124ce9b6bf7549289ca432e342b6",
            weights="a2925747fccaf737c0f20eacdeff919efd5d514e90242397002a0de349dff18c",
        ),
        _movenet(
            "Lightning",
            topology="df8cbde44d00f533ccc4916a7c6ebc17316532fb3fadad114ec667fef22872e9",
            weights="bf97bc10d9c8a11200b0190ed64ce039b6252f1aff7cb552aca99b3d191c2f34",
        ),
    )
}

KNOWN_MODELS: dict[str, KnownModel] = {**PADDLEX_MODELS, **OPEN_MODELS}
