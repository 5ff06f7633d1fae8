"""The PaddleX models that the pipeline is known to serve."""

from __future__ import annotations

from dataclasses import dataclass

from tritonpose_server.models.paddle.inference_yml import Role


@dataclass(frozen=True)
class KnownModel:
    """A model of PaddleX.

    Attributes:
        name: As PaddleX names it.
        role: What the model is for.
        accuracy: As PaddleX publishes it.
        size_mb: Size of its files in MB, None where PaddleX does not publish it.
    """

    name: str
    role: Role
    accuracy: str
    size_mb: float | None


_MODELS = (
    KnownModel("PP-YOLOE-S_human", "detector", "mAP 42.5", 28.8),
    KnownModel("PP-YOLOE-L_human", "detector", "mAP 48.0", 196.0),
    KnownModel("PP-TinyPose_128x96", "keypoint", "AP 58.4", None),
    KnownModel("PP-TinyPose_256x192", "keypoint", "AP 68.3", 4.9),
)

CATALOG: dict[str, KnownModel] = {model.name: model for model in _MODELS}
