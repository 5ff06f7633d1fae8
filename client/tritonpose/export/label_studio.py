"""Label Studio's tasks with predictions, and the labeling interface for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from tritonpose.drawing import VISIBLE_SCORE
from tritonpose.export.images import image_size

if TYPE_CHECKING:
    from tritonpose.result import KeypointResult
    from tritonpose_pipeline.keypoint_schema import KeypointSchema

_IMAGE, _BOX, _KEYPOINT = "image", "box", "keypoint"
# Of a point, in percent of the image's width, as Label Studio draws it.
_POINT_WIDTH = 0.5


def label_studio_task(
    result: KeypointResult, image: str, *, model_version: str = "tritonpose"
) -> dict[str, Any]:
    """Make a task with a prediction, for "Import" of a project that has `label_studio_config`.

    The format: https://labelstud.io/guide/predictions.

    Args:
        result: The people in one image.
        image: Where Label Studio finds the image: a URL such as
            ``/data/local-files/?d=photos/a.jpg``.
        model_version: What Label Studio calls this prediction.

    Returns:
        JSON's types. Each person is a rectangle, and the keypoints that are drawn (score 0.1 and
        up) belong to it; places are in percent of the image.

    Raises:
        TritonPoseError: The result has an `error`.
    """
    width, height = image_size(result)
    people = result.arrays
    regions: list[dict[str, Any]] = []

    def region(identifier: str, tag: str, value: dict[str, Any], score: float) -> dict[str, Any]:
        return {
            "id": identifier,
            "from_name": tag,
            "to_name": _IMAGE,
            "original_width": width,
            "original_height": height,
            "image_rotation": 0,
            "value": value,
            "score": score,
        }

    for person, (box, score, keypoints) in enumerate(
        zip(
            people.boxes.tolist(),
            people.det_scores.tolist(),
            people.keypoints.tolist(),
            strict=True,
        )
    ):
        x1, y1, x2, y2 = box
        place = {
            "x": 100 * x1 / width,
            "y": 100 * y1 / height,
            "width": 100 * (x2 - x1) / width,
            "height": 100 * (y2 - y1) / height,
            "rotation": 0,
            "rectanglelabels": ["person"],
        }
        body = f"person{person}"
        regions.append({**region(body, _BOX, place, score), "type": "rectanglelabels"})
        for name, (x, y, certainty) in zip(people.schema.names, keypoints, strict=True):
            if certainty < VISIBLE_SCORE:
                continue
            place = {
                "x": 100 * x / width,
                "y": 100 * y / height,
                "width": _POINT_WIDTH,
                "keypointlabels": [name],
            }
            point = region(f"{body}-{name}", _KEYPOINT, place, certainty)
            regions.append({**point, "type": "keypointlabels", "parentID": body})
    mean = float(people.det_scores.mean()) if len(people.det_scores) else 0.0
    prediction = {"model_version": model_version, "score": mean, "result": regions}
    return {"data": {_IMAGE: image}, "predictions": [prediction]}


def label_studio_config(schema: KeypointSchema) -> str:
    """Write the labeling interface (XML) that a project needs for `label_studio_task`."""
    view = ET.Element("View")
    ET.SubElement(view, "Image", name=_IMAGE, value=f"${_IMAGE}")
    boxes = ET.SubElement(view, "RectangleLabels", name=_BOX, toName=_IMAGE)
    ET.SubElement(boxes, "Label", value="person")
    keypoints = ET.SubElement(view, "KeyPointLabels", name=_KEYPOINT, toName=_IMAGE)
    for index, name in enumerate(schema.names):
        color = "#{:02x}{:02x}{:02x}".format(*schema.color(index))
        ET.SubElement(keypoints, "Label", value=name, background=color, model_index=str(index))
    ET.indent(view)
    return ET.tostring(view, encoding="unicode")
