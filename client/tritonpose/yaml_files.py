"""Read YAML files that users write."""

from __future__ import annotations

from pathlib import Path


def read_yaml(path: Path) -> object:
    """Read a YAML file; OSError if that can't be read, ValueError if its content is not YAML."""
    # It takes long to import, and most runs read no such file.
    import yaml

    content = path.read_bytes()
    try:
        return yaml.safe_load(content)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # The second one of values such as 2026-13-45, which look like dates and are none.
        raise ValueError(f"{str(path)!r} isn't valid YAML in UTF-8: {error}") from error
