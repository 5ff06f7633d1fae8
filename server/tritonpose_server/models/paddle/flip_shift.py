"""Decides whether mirrored heatmaps of a keypoint model are shifted by a pixel when averaged."""

from __future__ import annotations

import onnx

from tritonpose_server.models.paddle.inference_yml import InferenceYml

# In the names of the models that PaddleX shifts.
_SHIFTED = "tinypose"

# Lite-HRNet, of which PP-TinyPose is made, has a third of its convolutions channel by channel;
# HRNet has none of that kind.
_LEAST_DEPTHWISE = 0.15


def needs_flip_shift(
    model: onnx.ModelProto, yml: InferenceYml, model_name: str | None, chosen: bool | None
) -> tuple[bool, str | None]:
    """Return whether to shift, and a sentence for the user where that was a guess.

    PaddleX decides by the model's name: that of ``inference.yml``, else ``model_name`` of the
    pipeline file. A network without a known name is judged by its kind.
    """
    if chosen is not None:
        return chosen, None
    name = yml.model_name if yml.is_named else model_name or ""
    if _SHIFTED in name.lower():
        return True, None
    shift = _is_lite_hrnet(model)
    if yml.is_named and not shift:
        return False, None
    return shift, (
        f"{yml.model_name}: whether mirrored heatmaps are shifted by a pixel (with `flip`) is not "
        f"known by the model's name; taken is {'yes' if shift else 'no'}, as the network is "
        f"{'' if shift else 'not '}of PP-TinyPose's kind. `--flip_shift yes` or `no`, or "
        "Global.model_name in inference.yml, decides it"
    )


def _is_lite_hrnet(model: onnx.ModelProto) -> bool:
    groups = [
        next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)
        for node in model.graph.node
        if node.op_type == "Conv"
    ]
    return sum(group > 1 for group in groups) > _LEAST_DEPTHWISE * len(groups)
