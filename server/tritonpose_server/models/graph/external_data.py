"""Weights that lie in files beside an ONNX file: found, checked and read."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

import onnx
from onnx.external_data_helper import ExternalDataInfo, uses_external_data

from tritonpose.whole_files import open_plain
from tritonpose_server.models.errors import ConversionError

# What protobuf, and so ONNX without external data, can hold.
_MAX_BYTES = (1 << 31) - 1


def external_files(model: onnx.ModelProto, directory: Path) -> list[Path]:
    """Return the files that a model's weights lie in, each once, in the order of their names.

    A place outside of ``directory``, or behind a link, is a `ConversionError`: the file's
    maker could have any other file of this machine read.
    """
    locations = {_info(tensor).location for tensor in _external(model)}
    return [_checked(directory, location) for location in sorted(locations)]


def load_external_data(model: onnx.ModelProto, directory: Path) -> None:
    """Put weights that lie in files into the model itself, in place."""
    total = 0
    for tensor in _external(model):
        info = _info(tensor)
        path = _checked(directory, info.location)
        offset = info.offset or 0
        size = path.stat().st_size - offset if info.length is None else info.length
        total += max(size, 0)
        if total > _MAX_BYTES:
            raise ConversionError(
                f"the weights beside the ONNX file have more than the {_MAX_BYTES >> 20} MB that "
                "a model can have"
            )
        content = _read(path, offset, size)
        if content is None:
            raise ConversionError(
                f"{path} is cut short or of another model: weight {tensor.name!r} would be bytes "
                f"{offset} to {offset + size}, the file has {path.stat().st_size}"
            )
        tensor.raw_data = content
        tensor.data_location = onnx.TensorProto.DEFAULT
        del tensor.external_data[:]


def _external(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Iterate over all tensors of a model whose values lie in files."""
    functions = [function.node for function in model.functions]
    graphs = [model.graph, *_subgraphs(model.graph.node)]
    for nodes in functions:
        graphs += _subgraphs(nodes)
    tensors = [tensor for nodes in functions for tensor in _constants(nodes)]
    for graph in graphs:
        tensors += [*graph.initializer, *_constants(graph.node)]
        for sparse in graph.sparse_initializer:
            tensors += [sparse.values, sparse.indices]
    yield from (tensor for tensor in tensors if uses_external_data(tensor))


def _info(tensor: onnx.TensorProto) -> ExternalDataInfo:
    try:
        return ExternalDataInfo(tensor)
    except ValueError as error:
        raise ConversionError(
            f"the ONNX file does not say properly where its weight {tensor.name!r} lies ({error}): "
            "export it again"
        ) from error


def _subgraphs(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.GraphProto]:
    for node in nodes:
        for attribute in node.attribute:
            for graph in [attribute.g, *attribute.graphs]:
                yield graph
                yield from _subgraphs(graph.node)


def _constants(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.TensorProto]:
    for node in nodes:
        for attribute in node.attribute:
            yield attribute.t
            yield from attribute.tensors


def _checked(directory: Path, location: str) -> Path:
    """Return the path of a data file if it is a regular file in a directory or below it."""
    plain = PurePosixPath(location)
    refused = f"the ONNX file has weights in {location!r}, "
    if plain.is_absolute() or ".." in plain.parts or not plain.parts or "\0" in location:
        raise ConversionError(
            f"{refused}which is outside of its own directory {directory}: nothing is read from "
            "there. Put the weights beside the file, or inside (onnx.save)"
        )
    path = directory / plain
    for step in (path, *path.parents):
        if step == directory:
            break
        if step.is_symlink():
            raise ConversionError(
                f"{refused}but {step} is a link: nothing is read from there. Put the file itself "
                "beside the ONNX file (cp -L)"
            )
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ConversionError(f"{refused}but {path} is no regular file")
    except OSError as error:
        raise ConversionError(
            f"{refused}but {path} can't be read ({error.strerror}): copy it, too"
        ) from error
    return path


def _read(path: Path, offset: int, size: int) -> bytes | None:
    """Read a part of a file, None where it does not have that."""
    try:
        # A link, or a pipe, may have taken the place of a file that was checked.
        opened = open_plain(path)
    except OSError as error:
        raise ConversionError(f"{path} can't be read: {error.strerror}") from error
    with opened as file:
        length = os.fstat(file.fileno()).st_size
        if min(offset, size) < 0 or offset + size > length:
            return None
        file.seek(offset)
        return file.read(size)
