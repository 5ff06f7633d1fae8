"""Read API keys from files, and warn of secrets that other users can read."""

from __future__ import annotations

import contextlib
import logging
import os
import re
from pathlib import Path

from tritonpose.errors import ConfigError

LOGGER = logging.getLogger("tritonpose.service")

# Too long to guess, and safe in a header and in a list.
_KEY = re.compile(r"[!-+\--~]{16,256}")


def parse_keys(text: str, origin: str) -> tuple[str, ...]:
    """Parse keys, separated by commas or line breaks; lines that begin with ``#`` are skipped.

    Raises ConfigError, whose message names ``origin`` and shows no key, if there are no keys, or
    one is too short or has unusable characters.
    """
    lines = (line for line in text.splitlines() if not line.lstrip().startswith("#"))
    keys = [key.strip() for line in lines for key in line.split(",") if key.strip()]
    if not keys:
        raise ConfigError(f"{origin} has no API key: add one, or leave this option out")
    for number, key in enumerate(keys, 1):
        if not _KEY.fullmatch(key):
            raise ConfigError(
                f"API key {number} of {origin} is not valid: it needs 16 to 256 printable ASCII "
                "characters without blanks and commas; make one with `openssl rand -hex 32`"
            )
    return tuple(keys)


def read_keys(path: str) -> tuple[str, ...]:
    """Read the keys in a file; ConfigError if that fails or `parse_keys` refuses its content."""
    warn_of_readers(path)
    try:
        text = Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"can't read the API keys in {path!r}: {error}") from error
    return parse_keys(text, repr(path))


def warn_of_readers(path: str) -> None:
    """Warn if other users can read a file that holds a secret."""
    with contextlib.suppress(OSError):
        status = Path(path).stat()
        # Where the file is another user's, its group may be how this one reads it.
        others = 0o077 if status.st_uid == os.getuid() else 0o007
        if status.st_mode & others:
            LOGGER.warning("other users can read the secret in %r: chmod 600 it", path)
