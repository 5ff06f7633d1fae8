"""CVAT's XML for images."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from tritonpose.drawing import VISIBLE_SCORE
from tritonpose.export.images import image_name, image_size

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tritonpose.result import KeypointResult

# What XML can't hold.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def cvat_image(
    result: KeypointResult, image_id: int = 0, *, name: str | None = None, label: str = "person"
) -> ET.Element:
    """Make the ``image`` element of one image: a skeleton per person.

    The format: https://docs.cvat.ai/docs/dataset_management/formats/format-cvat/, version 1.1.

    Args:
        result: The people in one image.
        image_id: The image's number in the task, from 0.
        name: The image's name in the task; default: that of the input's path.
        label: The label with the skeleton, whose points have the keypoints' names.

    Returns:
        Points that are not drawn (score below 0.1) are ``outside``: CVAT hides them.

    Raises:
        TritonPoseError: The result has an `error`.
    """
    width, height = image_size(result)
    shown = image_name(result) if name is None else name
    image = ET.Element(
        "image",
        id=str(int(image_id)),
        name=_CONTROL.sub("_", shown),
        width=str(width),
        height=str(height),
    )
    people = result.arrays
    for keypoints in people.keypoints.tolist():
        skeleton = ET.SubElement(image, "skeleton", label=label, source="auto", z_order="0")
        for point, (x, y, score) in zip(people.schema.names, keypoints, strict=True):
            ET.SubElement(
                skeleton,
                "points",
                label=_CONTROL.sub("_", point),
                source="auto",
                outside=str(int(score < VISIBLE_SCORE)),
                occluded="0",
                points=f"{x:.2f},{y:.2f}",
            )
    return image


def cvat_xml(images: Iterable[ET.Element]) -> str:
    """Write a file of images, each from `cvat_image`, for CVAT's "Upload annotations"."""
    found = list(images)
    annotations = ET.Element("annotations")
    ET.SubElement(annotations, "version").text = "1.1"
    labels = ET.SubElement(ET.SubElement(ET.SubElement(annotations, "meta"), "task"), "labels")
    # Each once, in the order in which they occur: a skeleton, then its points.
    skeletons = {each.get("label"): each for image in found for each in image}
    for label, skeleton in skeletons.items():
        _add_label(labels, "skeleton", name=label)
        for point in skeleton:
            _add_label(labels, "points", name=point.get("label"), parent=label)
    annotations.extend(found)
    ET.indent(annotations)
    return ET.tostring(annotations, encoding="unicode", xml_declaration=True) + "\n"


def _add_label(labels: ET.Element, kind: str, **texts: str | None) -> None:
    label = ET.SubElement(labels, "label")
    for tag, text in {**texts, "type": kind}.items():
        ET.SubElement(label, tag).text = text
    ET.SubElement(label, "attributes")
