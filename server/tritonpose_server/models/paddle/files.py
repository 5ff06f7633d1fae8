"""Finds and checks the files of a Paddle inference model."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from tritonpose_server.models.errors import ConversionError

_PROGRAMS = ("inference.json", "inference.pdmodel")
_PARAMETERS = "inference.pdiparams"
_LFS_POINTER = b"version https://git-lfs"


@dataclass(frozen=True)
class PaddleFiles:
    """The files of a Paddle inference model.

    Attributes:
        program: ``inference.json``, or ``inference.pdmodel`` of Paddle 2.
        parameters: ``inference.pdiparams``.
    """

    program: Path
    parameters: Path


def find_paddle_files(directory: Path) -> PaddleFiles | None:
    """The Paddle model in a directory, None where it holds neither program nor parameters.

    Raises:
        ConversionError: It is incomplete or damaged; the message says how.
    """
    programs = [directory / name for name in _PROGRAMS if (directory / name).exists()]
    parameters = directory / _PARAMETERS
    if not programs and not parameters.exists():
        return None
    if not programs:
        raise ConversionError(
            f"{directory} holds {_PARAMETERS} without the network: inference.json (or, from "
            "Paddle 2, inference.pdmodel) is missing"
        )
    if not parameters.exists():
        raise ConversionError(
            f"{directory} holds {programs[0].name} without its weights: {_PARAMETERS} is missing"
        )
    for path in (programs[0], parameters):
        _check(path)
    return PaddleFiles(programs[0], parameters)


def _check(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(len(_LFS_POINTER))
    if not start:
        raise ConversionError(f"{path} is empty: copy or export the model again")
    if start == _LFS_POINTER:
        raise ConversionError(
            f"{path} is only a pointer of Git LFS; run `git lfs pull` where it was cloned"
        )
    if path.suffix != ".json":
        return
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise ConversionError(
            f"{path} is damaged or cut short ({error}): copy or export the model again"
        ) from error
    if not isinstance(content, dict) or "program" not in content:
        raise ConversionError(f"{path} is not a model of Paddle: it has no `program`")
