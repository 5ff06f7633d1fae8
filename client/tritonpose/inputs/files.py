"""Read image files whole, and say in plain words why one can't be read."""

from __future__ import annotations

import reprlib
from glob import has_magic
from pathlib import Path

from tritonpose.errors import InputError
from tritonpose.file_types import is_url

MAX_BYTES = 256 * 2**20
"""The largest image file that is read: an uncompressed TIFF of 64 megapixels fits."""

_SHORT = reprlib.Repr()
_SHORT.maxstring = 200


def read_file(path: str) -> bytes:
    """Read a file or fetch a URL; raise InputError."""
    if not path:
        raise InputError("the path is empty; '.' is the current directory")
    if is_url(path):
        # Only now, as HTTP and TLS take longer to import than all of the client.
        from tritonpose.inputs.urls import fetch

        return fetch(path)
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise InputError(f"{missing(path)} (in {Path.cwd()})", path) from None
    except IsADirectoryError:
        raise InputError(f"no images in the directory {path!r} or below", path) from None
    except OSError as error:
        raise InputError(f"can't read {_SHORT.repr(path)}: {error.strerror}", path) from error
    except ValueError as error:
        raise InputError(f"{_SHORT.repr(path)} isn't a valid path: {error}", path) from error
    if len(data) > MAX_BYTES:
        raise InputError(f"{path!r} {too_long()}", path)
    return data


def missing(path: str) -> str:
    """Say that nothing is there, and why it may have been expected."""
    hint = ""
    if path.startswith("~"):
        hint = "; ~ is expanded by shells only, where it isn't quoted"
    elif has_magic(path):
        hint = "; patterns are expanded by shells only, where they aren't quoted"
    return f"no such file or directory: {path!r}{hint}"


def too_long() -> str:
    """Say that a file is larger than `MAX_BYTES`, as a phrase to follow its name."""
    return f"is larger than the {MAX_BYTES >> 20} MiB that an image may have"
