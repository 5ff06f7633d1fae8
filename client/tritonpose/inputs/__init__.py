"""Turn the argument of ``predict`` into single images to send.

Two steps: `expand_inputs` flattens lists, iterators, directories and videos lazily in the
caller's thread; `load_source` then reads one of its items, in a worker thread. Only the second
one fails, so that an unreadable input fails in its place among the results.
"""

from tritonpose.inputs.decoding import check_source, decode_source, size_of
from tritonpose.inputs.expansion import expand_inputs
from tritonpose.inputs.images import FileInput, ImageInput, load_source, path_of

__all__ = [
    "FileInput",
    "ImageInput",
    "check_source",
    "decode_source",
    "expand_inputs",
    "load_source",
    "path_of",
    "size_of",
]
