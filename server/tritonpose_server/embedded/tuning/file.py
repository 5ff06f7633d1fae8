"""Tuning files: YAML with the sections and keys of ``Tuning``."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import yaml

from tritonpose.errors import ConfigError
from tritonpose_server.embedded.tuning.settings import AUTO, Tuning, from_values


def load(path: str | os.PathLike[str]) -> Tuning:
    """Read a tuning file.

    Args:
        path: The file. What it leaves out, or says to be ``auto``, nobody chose.

    Raises:
        ConfigError: It can't be read, or something in it is wrong; the message says what.
    """
    try:
        content = yaml.safe_load(Path(path).read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"can't read the tuning file {str(path)!r}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"tuning file {str(path)!r} is no YAML: {error}") from error
    try:
        return _parse({} if content is None else content)
    except ConfigError as error:
        raise ConfigError(f"tuning file {str(path)!r}: {error}") from None


def save(path: Path, tuning: Tuning, comment: Iterable[str]) -> None:
    """Write a tuning file.

    Args:
        path: The file; its directory exists.
        tuning: What to write; what nobody chose is left out.
        comment: Lines to put at the top.

    Raises:
        OSError: It can't be written.
    """
    content: dict[str, dict[str, int]] = {}
    for name, value in tuning.values().items():
        if value is not None:
            section, _, key = name.partition(".")
            content.setdefault(section, {})[key] = value
    header = "".join(f"# {line}".rstrip() + "\n" for line in comment)
    path.write_text(header + yaml.safe_dump(content, sort_keys=False), "utf-8")


def _parse(content: object) -> Tuning:
    known: dict[str, list[str]] = {}
    for name in Tuning().values():
        section, _, key = name.partition(".")
        known.setdefault(section, []).append(key)
    values: dict[str, object] = {}
    for section, knobs in _mapping(content, "the file").items():
        if section not in known:
            raise ConfigError(f"unknown key {section!r}; known are {', '.join(known)}")
        for key, value in _mapping(knobs, section).items():
            if key not in known[section]:
                raise ConfigError(
                    f"unknown key {key!r} in {section}; known are {', '.join(known[section])}"
                )
            chosen = not (isinstance(value, str) and value.lower() == AUTO)
            values[f"{section}.{key}"] = value if chosen else None
    return from_values(values)


def _mapping(content: object, what: str) -> dict[str, object]:
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{what} must consist of lines `key: value`, got {content!r}")
    return {str(key): value for key, value in content.items()}
