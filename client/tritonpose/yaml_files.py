"""Read YAML files, also those of strangers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

# Of a file, and of all that it says: with aliases, a few lines may stand for gigabytes.
_MOST_CHARACTERS = 2**20
_LONGEST_NUMBER = 100


def read_yaml(path: Path) -> object:
    """Read a YAML file; OSError if that can't be read, ValueError if its content is not YAML."""
    # It takes long to import, and most runs read no such file.
    import yaml

    class BoundedLoader(yaml.SafeLoader):
        def get_single_node(self) -> Any:
            node = super().get_single_node()
            if _size(node, {}) > _MOST_CHARACTERS:
                raise ValueError("its aliases (*name) stand for too much")
            return node

    with path.open("rb") as file:
        content = file.read(_MOST_CHARACTERS + 1)
    try:
        if len(content) > _MOST_CHARACTERS:
            raise ValueError(f"it has more than {_MOST_CHARACTERS >> 20} MiB")
        return yaml.load(content, BoundedLoader)  # noqa: S506
    except (
        *(yaml.YAMLError, ValueError, ArithmeticError, RecursionError),
        *(LookupError, AttributeError, TypeError),
    ) as error:
        # All but the first are of values that aren't what they look like, or are tagged as:
        # 2026-13-45, !!bool perhaps, !!timestamp x.
        raise ValueError(f"{str(path)!r} isn't valid YAML in UTF-8: {error}") from error


def _size(node: Any, known: dict[int, float]) -> float:
    """Count the characters that a node of YAML stands for; without end where it holds itself."""
    if node is None:
        return 0
    if isinstance(node.value, str):
        if node.tag.endswith((":int", ":float")) and len(node.value) > _LONGEST_NUMBER:
            raise ValueError(f"it has a number of {len(node.value)} digits")
        return 1 + len(node.value)
    if id(node) not in known:
        known[id(node)] = math.inf
        # Items, or pairs of key and value.
        items = [each if isinstance(each, tuple) else (each,) for each in node.value]
        known[id(node)] = 1 + sum(_size(part, known) for item in items for part in item)
    return known[id(node)]
