"""Reads the file that says what a model's keypoints are, beside the model."""

from __future__ import annotations

from pathlib import Path

from tritonpose.yaml_files import read_yaml
from tritonpose_pipeline.keypoint_schema import KeypointSchema, KeypointSchemaError
from tritonpose_server.models.errors import ConversionError

NAMES = ("keypoints.yml", "keypoints.yaml", "keypoints.json")
"""What it may be called; its content is that of the section `Keypoints` of a pipeline file."""


def read_keypoints(directory: Path) -> KeypointSchema | None:
    """Read it; None where there is none. A `ConversionError` says what is wrong."""
    found = [path for name in NAMES if (path := directory / name).exists()]
    if len(found) > 1:
        raise ConversionError(f"{found[0]} and {found[1].name} are one too many: remove one")
    if not found:
        return None
    path = found[0]
    try:
        content = read_yaml(path)
    except OSError as error:
        raise ConversionError(f"{path} can't be read: {error.strerror}") from error
    except ValueError as error:
        raise ConversionError(str(error)) from error
    if isinstance(content, dict) and set(content) == {"Keypoints"}:
        content = content["Keypoints"]
    try:
        return KeypointSchema.from_mapping(content, str(path))
    except KeypointSchemaError as error:
        raise ConversionError(str(error)) from None
