"""Object stores and other places that fsspec reads from."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tritonpose.errors import InputError
from tritonpose.inputs.kinds import is_url

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def is_stored(address: str) -> bool:
    """Whether this is an address for fsspec, neither a path nor an http(s) URL.

    The client fetches http(s) URLs by itself, with limits of size and time.
    """
    return _SCHEME.match(address) is not None and not is_url(address)


def file_system(address: str) -> tuple[AbstractFileSystem, str]:
    """Finds the file system of an address, and its path there.

    Raises:
        InputError: fsspec doesn't know the scheme, lacks a package for it, or finds no
            credentials.
    """
    from fsspec.core import url_to_fs

    try:
        system, path = url_to_fs(address)
    except ImportError as error:
        # fsspec's message names the package to install.
        raise InputError(f"can't read {address!r}: {error}", address) from error
    except (ValueError, OSError) as error:
        raise InputError(f"can't open {address!r}: {error}", address) from error
    return system, path


def read_stored(address: str) -> bytes:
    """Reads a file.

    Raises:
        InputError: It can't be read.
    """
    system, path = file_system(address)
    try:
        return bytes(system.cat_file(path))
    except FileNotFoundError as error:
        raise InputError(f"no such file: {address!r}", address) from error
    except Exception as error:
        # Each store has errors of its own, most of them no OSError.
        raise InputError(
            f"can't read {address!r}: {type(error).__name__}: {error}", address
        ) from error
