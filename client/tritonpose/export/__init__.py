"""Results in the formats of other tools, as functions of one result or of a video's.

Beside these, results have the methods `to_coco`, `to_supervision` and `to_dataframe`.
"""

from __future__ import annotations

from tritonpose.export.coco import coco_category, coco_results
from tritonpose.export.cvat import cvat_image, cvat_xml
from tritonpose.export.fiftyone import fiftyone_labels, fiftyone_skeleton
from tritonpose.export.label_studio import label_studio_config, label_studio_task
from tritonpose.export.openpose import openpose_json
from tritonpose.export.supervision import supervision_keypoints
from tritonpose.export.tables import csv_text, keypoint_table
from tritonpose.export.tracks import coco_tracks, mot_text, posetrack_json

__all__ = [
    "coco_category",
    "coco_results",
    "coco_tracks",
    "csv_text",
    "cvat_image",
    "cvat_xml",
    "fiftyone_labels",
    "fiftyone_skeleton",
    "keypoint_table",
    "label_studio_config",
    "label_studio_task",
    "mot_text",
    "openpose_json",
    "posetrack_json",
    "supervision_keypoints",
]
