"""Write all people of a job as one COCO file."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from pyarrow import parquet

from tritonpose.export.coco import coco_annotations, coco_category
from tritonpose.transport.messages import PoseResponse
from tritonpose.whole_files import whole_file
from tritonpose_pipeline.keypoint_schema import KeypointSchema, default_schema, schema_from_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


def write_coco(parts: Sequence[Path], path: Path) -> None:
    """Write the parts of a job as a COCO data set: images, annotations, categories.

    Images have ids from 1 in the order of the rows; rows with an error are left out. Annotations
    are those of `coco_annotations`. The parts are read
    three times, a few rows at a time, so that memory doesn't grow with the job. Keypoints have the
    category of their schema: there is one, unless the server's model was replaced meanwhile. The
    file appears when it is complete.
    """
    schemas = _schemas(parts)
    categories = {schema: number for number, schema in enumerate(schemas, start=1)}
    images = map(_image, _numbered(parts, ["item", "path", *_PLACE]))
    with whole_file(path, durable=True) as file:
        described = json.dumps([coco_category(*entry) for entry in categories.items()])
        file.write(f'{{"categories": {described},\n"images": ['.encode())
        _write_list(file, images)
        file.write(b'],\n"annotations": [')
        _write_list(file, _annotations(_numbered(parts, _PEOPLE), categories))
        file.write(b"]}\n")


_PLACE = ["width", "height", "page_index", "frame_index"]
_ARRAYS = ["boxes", "det_scores", "keypoints", "kpt_scores"]
_PEOPLE = [*_ARRAYS, "keypoint_schema"]


def _schemas(parts: Sequence[Path]) -> list[KeypointSchema]:
    """List the schemas of all people, in the order in which they occur; COCO's for nobody."""
    found = {
        _schema(row): None
        for _, row in _numbered(parts, ["keypoints", "keypoint_schema"])
        if row["keypoints"]
    }
    return list(found) or [default_schema(17)]


def _schema(row: Mapping[str, Any]) -> KeypointSchema:
    text = row["keypoint_schema"]
    return schema_from_json(text) if text else default_schema(len(row["keypoints"][0]))


def _numbered(
    parts: Sequence[Path], columns: Sequence[str]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Read the rows without an error, with the ids of their images."""
    image_id = 0
    for part in parts:
        with part.open("rb") as opened, parquet.ParquetFile(opened) as file:
            for batch in file.iter_batches(256, columns=[*columns, "error_class"]):
                for row in batch.to_pylist():
                    if row.pop("error_class") is None:
                        image_id += 1
                        yield image_id, row


def _image(numbered: tuple[int, dict[str, Any]]) -> dict[str, Any]:
    image_id, row = numbered
    place = {key: row[key] for key in _PLACE if row[key] is not None}
    # With the columns that tell rows of the Parquet files apart.
    return {"id": image_id, "file_name": row["path"], "item": row["item"], **place}


def _annotations(
    rows: Iterable[tuple[int, dict[str, Any]]], categories: Mapping[KeypointSchema, int]
) -> Iterator[dict[str, Any]]:
    ids = itertools.count(1)
    for image_id, row in rows:
        if not row["keypoints"]:
            continue
        boxes, det_scores, keypoints, kpt_scores = (
            np.array(row[name], np.float32) for name in _ARRAYS
        )
        people = PoseResponse(boxes, det_scores, keypoints, kpt_scores)
        category = categories[_schema(row)]
        for person in coco_annotations(people, image_id, category):
            yield {"id": next(ids), **person}


def _write_list(file: BinaryIO, entries: Iterable[dict[str, Any]]) -> None:
    for number, entry in enumerate(entries):
        file.write(f"{',' if number else ''}\n{json.dumps(entry)}".encode())
