"""Finds the files of an exported model, by the names that PaddleX and PaddleDetection give them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from tritonpose_server.models.errors import ConversionError

STEMS = ("inference", "model")
"""PaddleX's name of the network's files, and PaddleDetection's."""

YML_NAMES = ("inference.yml", "infer_cfg.yml")
"""PaddleX's name of the description, and PaddleDetection's, in the order of ``STEMS``."""

_PROGRAM_SUFFIXES = (".json", ".pdmodel")
_PARAMETERS_SUFFIX = ".pdiparams"

MODEL_SUFFIXES = (".onnx", *_PROGRAM_SUFFIXES, _PARAMETERS_SUFFIX)
"""Of the files that name a model in a directory."""
_LFS_POINTER = b"version https://git-lfs"


@dataclass(frozen=True)
class SourceFiles:
    """The files of a model: an ONNX file, or a Paddle model's program and parameters, or both.

    ``yml`` may be missing. ``notes`` say what was taken where there was a choice.
    """

    yml: Path
    onnx: Path | None = None
    paddle: tuple[Path, Path] | None = None
    notes: tuple[str, ...] = ()


def find_files(place: Path) -> SourceFiles:
    """Find and check the files of a model; a `ConversionError` says what is missing or damaged.

    ``place`` is their directory, or the ONNX or Paddle file in it that is meant.
    """
    if place.is_dir():
        return _in_directory(place)
    if not place.exists():
        raise ConversionError(f"{place}: there is no such model directory or file")
    if place.suffix == ".onnx":
        check_file(place)
        yml, notes = _yml(place.parent, place.stem)
        return SourceFiles(yml, onnx=place, notes=notes)
    if place.suffix in (*_PROGRAM_SUFFIXES, _PARAMETERS_SUFFIX):
        yml, notes = _yml(place.parent, place.stem)
        program = place if place.suffix in _PROGRAM_SUFFIXES else None
        return SourceFiles(yml, paddle=_paddle(place.parent, place.stem, program), notes=notes)
    raise ConversionError(
        f"{place} is not a model: name its directory, its .onnx file, the .json or .pdmodel file "
        "of a Paddle model, or an archive (.tar, .tar.gz, .tgz, .tar.xz, .tar.bz2, .zip)"
    )


def check_file(path: Path) -> None:
    """Raise `ConversionError` if a file can't be what a model is made of."""
    if not path.is_file():
        raise ConversionError(f"{path} is no regular file")
    try:
        with path.open("rb") as file:
            start = file.read(len(_LFS_POINTER))
    except OSError as error:
        raise ConversionError(f"{path} can't be read: {error.strerror}") from error
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
    except (ValueError, RecursionError) as error:
        raise ConversionError(
            f"{path} is damaged or cut short ({error}): copy or export the model again"
        ) from error
    if not isinstance(content, dict) or "program" not in content:
        raise ConversionError(f"{path} is not a model of Paddle: it has no `program`")


def _in_directory(directory: Path) -> SourceFiles:
    onnx = _onnx(directory)
    stems = [stem for stem in STEMS if _has_paddle(directory, stem)]
    if not stems and onnx is None:
        raise ConversionError(f"{directory} holds no model: {_guess(directory)}")
    if onnx is None:
        yml, notes = _yml(directory, stems[0])
        return SourceFiles(yml, paddle=_paddle(directory, stems[0]), notes=notes)
    check_file(onnx)
    yml, notes = _yml(directory, onnx.stem)
    try:
        paddle = _paddle(directory, stems[0]) if stems else None
    except ConversionError as error:
        # It is not what is served.
        return SourceFiles(yml, onnx, None, (*notes, f"using {onnx.name}: {error}"))
    if paddle is not None:
        chosen = (
            f"using {onnx.name}, which needs no conversion, and not {paddle[0].name} beside it; "
            f"`{paddle[0]}` as the model's path means that one"
        )
        notes = (*notes, chosen)
    return SourceFiles(yml, onnx, paddle, notes)


def _onnx(directory: Path) -> Path | None:
    for stem in STEMS:
        if (directory / f"{stem}.onnx").exists():
            return directory / f"{stem}.onnx"
    others = sorted(path for path in directory.glob("*.onnx") if not path.name.startswith("."))
    if len(others) > 1:
        raise ConversionError(
            f"{directory} holds {len(others)} ONNX files ({', '.join(p.name for p in others)}): "
            f"name the one that is meant, such as {others[0]}"
        )
    return others[0] if others else None


def _has_paddle(directory: Path, stem: str) -> bool:
    suffixes = [".pdmodel", _PARAMETERS_SUFFIX]
    if stem == STEMS[0]:
        # A `model.json` alone may be anything.
        suffixes.append(".json")
    return any((directory / f"{stem}{suffix}").exists() for suffix in suffixes)


def _paddle(directory: Path, stem: str, program: Path | None = None) -> tuple[Path, Path]:
    """Return program and parameters of a Paddle model; of two programs the newer form."""
    programs = [directory / f"{stem}{suffix}" for suffix in _PROGRAM_SUFFIXES]
    found = program or next((path for path in programs if path.exists()), None)
    parameters = directory / f"{stem}{_PARAMETERS_SUFFIX}"
    if found is None:
        raise ConversionError(
            f"{directory} holds {parameters.name} without the network: {programs[0].name} (or, "
            f"from Paddle 2, {programs[1].name}) is missing"
        )
    if not parameters.exists():
        raise ConversionError(
            f"{directory} holds {found.name} without its weights: {parameters.name} is missing"
        )
    check_file(found)
    check_file(parameters)
    return found, parameters


def _yml(directory: Path, stem: str) -> tuple[Path, tuple[str, ...]]:
    """Return the description that belongs to files of a stem, and a note if there are two."""
    names = YML_NAMES[::-1] if stem == STEMS[1] else YML_NAMES
    found = [directory / name for name in names if (directory / name).exists()]
    if not found:
        return directory / YML_NAMES[0], ()
    if len(found) == 2 and found[0].read_bytes() != found[1].read_bytes():
        return found[0], (
            f"using {found[0].name}, and not {found[1].name} beside it, which says something else",
        )
    return found[0], ()


def _guess(directory: Path) -> str:
    """Say what a directory without a model was expected to hold, or seems to hold."""
    exported = [path.parent for name in YML_NAMES for path in sorted(directory.glob(f"*/{name}"))]
    if exported:
        return f"name the exported one in it, {exported[0]}"
    if any(directory.glob("*.pdparams")):
        return (
            "it has a checkpoint of the training (.pdparams). Export the network with PaddleX's "
            "mode `export` or PaddleDetection's tools/export_model.py, and name what that writes"
        )
    if (directory / "__model__").exists():
        return "it is in the form of Paddle 1 (`__model__`). Export it again with Paddle 2 or 3"
    return (
        "expected inference.yml and either inference.json (or inference.pdmodel) with "
        "inference.pdiparams, or inference.onnx; or, as PaddleDetection names them, infer_cfg.yml "
        "and either model.pdmodel (or model.json) with model.pdiparams, or model.onnx"
    )
