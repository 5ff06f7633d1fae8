"""Print how much the client and each extra install, by the packages of this environment."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from tabulate import tabulate

from tritonpose.cli.console import exit_status

_PROJECT = "tritonpose"
_COLUMNS = ("INSTALL", "PACKAGES", "MB", "LARGEST (MB)", "NOT INSTALLED HERE")
_NAMED = 5


@dataclass(frozen=True)
class Installed:
    """What one installation brings: bytes by package, and packages that are not in this one."""

    sizes: dict[str, int]
    missing: frozenset[str]

    def row(self, name: str) -> tuple[str, int, str, str, str]:
        """Make its row of the table."""
        largest = sorted(self.sizes, key=self.sizes.__getitem__, reverse=True)[:_NAMED]
        named = ", ".join(f"{package} {self.sizes[package] / 1e6:.0f}" for package in largest)
        total = f"{sum(self.sizes.values()) / 1e6:.0f}"
        return name, len(self.sizes), total, named, ", ".join(sorted(self.missing))


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="scripts/sizes", description=__doc__)
    parser.parse_args(arguments)
    return exit_status(_run)


def _run() -> int:
    extras = distribution(_PROJECT).metadata.get_all("Provides-Extra") or []
    rows = [installed_by([]).row("(client)")]
    rows += [installed_by([extra]).row(extra) for extra in extras if extra != "dev"]
    print(tabulate(rows, _COLUMNS, tablefmt="github", disable_numparse=True))
    return 0


def installed_by(extras: Iterable[str]) -> Installed:
    """Follow the requirements of the project with extras, as pip does on this machine."""
    sizes: dict[str, int] = {}
    missing: set[str] = set()
    followed: set[tuple[str, str]] = set()
    open_ends = [(_PROJECT, extra) for extra in ("", *extras)]
    while open_ends:
        name, extra = open_ends.pop()
        if (name, extra) in followed:
            continue
        followed.add((name, extra))
        package = _package(name)
        if package is None:
            missing.add(name)
            continue
        sizes[name] = _size(name)
        for line in package.requires or []:
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                needed = canonicalize_name(requirement.name)
                open_ends += [(needed, each) for each in ("", *requirement.extras)]
    return Installed(sizes, frozenset(missing))


@cache
def _package(name: str) -> Distribution | None:
    try:
        return distribution(name)
    except PackageNotFoundError:
        return None


@cache
def _size(name: str) -> int:
    """Sum up the files of a package, without what Python compiles of them."""
    package = _package(name)
    files = [] if package is None else package.files or []
    places = [file.locate() for file in files if file.suffix != ".pyc"]
    return sum(place.stat().st_size for place in places if place.is_file())  # type: ignore[attr-defined]


if __name__ == "__main__":
    sys.exit(main())
