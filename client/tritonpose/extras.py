"""Name the extra that brings a missing package, as the project's own metadata declares it."""

from __future__ import annotations

import json
import re
import shlex
from collections import defaultdict
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

_PROJECT = "tritonpose"
_REQUIREMENT = re.compile(r"(?P<name>[\w.-]+).*;.*extra == ['\"](?P<extra>[^'\"]+)['\"]")


def require_extra(extra: str, *modules: str) -> None:
    """Check that an extra's packages are there, importing none; else ModuleNotFoundError."""
    for module in modules:
        if find_spec(module) is None:
            raise ModuleNotFoundError(
                f"{module} is not installed: {install_command(extra)}", name=module
            )


def missing_extra(
    error: ImportError, command: str | None = None, project: Distribution | None = None
) -> str | None:
    """Name the extra that brings the module of an error, and how to install it; None for none.

    The command is the one that needs it.
    """
    project = project or _installed()
    requirements = project.requires if project is not None else None
    extra = _extra_of(error.name or "", command, requirements or [])
    if extra is None:
        return None
    return f"{command or 'this'} needs the extra `{extra}`: {install_command(extra, project)}"


def _installed() -> Distribution | None:
    try:
        return distribution(_PROJECT)
    except PackageNotFoundError:
        return None


def _extra_of(module: str, command: str | None, requirements: list[str]) -> str | None:
    """Find the extra to name: the command's own, the server's, else the smallest that fits."""
    brought = defaultdict(list)
    for requirement in requirements:
        if match := _REQUIREMENT.fullmatch(requirement):
            brought[match["extra"]].append(_plain(match["name"]))
    wanted = _plain(module.partition(".")[0])
    # By the beginning of the name, too: `opentelemetry` comes in opentelemetry-sdk and others.
    fitting = [
        extra
        for extra, names in brought.items()
        if wanted and any(name.startswith(wanted) for name in names)
    ]
    for extra in (command, "server"):
        if extra in fitting:
            return extra
    return min(fitting, key=lambda extra: len(brought[extra]), default=None)


def _plain(name: str) -> str:
    """Drop what differs between names of packages and modules, as in python-json-logger."""
    return re.sub(r"[-_.]", "", name).lower()


def install_command(extra: str, project: Distribution | None = None) -> str:
    """Write the command that installs an extra, from where the project was installed.

    Its name is nobody's in package indexes: where that place is unknown or gone, the command names
    the extra's packages.
    """
    project = project or _installed()
    # PEP 610: absent where the project came from an index by its name.
    text = project.read_text("direct_url.json") if project is not None else None
    origin = json.loads(text or "{}")
    url = origin.get("url", "")
    if "vcs_info" in origin:
        vcs = origin["vcs_info"]
        return f"pip install '{_PROJECT}[{extra}] @ {vcs['vcs']}+{url}@{vcs['commit_id']}'"
    if url.startswith("file:"):
        path = Path(url2pathname(urlsplit(url).path))
        if path.is_dir():
            editable = "--editable " if origin.get("dir_info", {}).get("editable") else ""
            return f"pip install {editable}{shlex.quote(f'{path}[{extra}]')}"
        if path.is_file():
            return f"pip install '{_PROJECT}[{extra}] @ {url}'"
    elif url:
        return f"pip install '{_PROJECT}[{extra}] @ {url}'"
    packages = _packages_of(extra, project)
    if not packages:
        return f"run pip install '.[{extra}]' in a checkout of {_PROJECT}"
    return f"pip install {' '.join(map(shlex.quote, packages))}"


def _packages_of(extra: str, project: Distribution | None) -> list[str]:
    """List the requirements of an extra that hold on this machine."""
    # Of tritonclient, and imported only where something is missing.
    from packaging.requirements import Requirement

    found = []
    for line in (project.requires if project is not None else None) or []:
        requirement = Requirement(line)
        marker, requirement.marker = requirement.marker, None
        if marker is not None and "extra" in str(marker) and marker.evaluate({"extra": extra}):
            found.append(str(requirement))
    return found
