"""The command ``scripts/soak``."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from tools.command import run_command, write_json
from tools.sample_photo import sample_photo
from tools.soak.context import Plan
from tools.soak.report import as_json, as_text
from tools.soak.run import PARTS, run_soak
from tritonpose.cli.console import print_status
from tritonpose.cli.parsing import choices
from tritonpose.config import PIPELINE_NAME


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    options = _parse(arguments)
    return run_command(lambda: _run(options))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/soak",
        description="Try to break a service that is started for this: damaged images, more load "
        "than it can do, reloaded models, killed processes. Every answer is checked. Takes about "
        "an hour.",
    )
    add = parser.add_argument
    add(
        "--only",
        type=choices(tuple(PARTS)),
        default=tuple(PARTS),
        metavar="PARTS",
        help=f"run only some of {','.join(PARTS)}",
    )
    add("--quick", action="store_true", help="do a little of everything, to see that it works")
    for setting in fields(Plan):
        about = setting.metadata["help"]
        if setting.default:
            about += f" (default: {setting.default}, quick: {setting.metadata['quick']})"
        add(f"--{setting.name}", type=type(setting.default), metavar="VALUE", help=about)
    add(
        "--pipeline",
        default=PIPELINE_NAME,
        metavar="NAME_OR_YAML",
        help="pipeline to serve: its name, or a PaddleX pipeline YAML (default: %(default)s)",
    )
    add("--photo", type=Path, metavar="FILE", help="a photo with people (default: a sample)")
    add("--json", type=Path, metavar="FILE", help="write the figures to a file")
    return parser.parse_args(arguments)


def _run(options: argparse.Namespace) -> int:
    values: dict[str, Any] = {}
    for setting in fields(Plan):
        given = getattr(options, setting.name)
        default = setting.metadata["quick"] if options.quick else setting.default
        values[setting.name] = default if given is None else given
    photo = options.photo or sample_photo(print_status)
    reports = asyncio.run(
        run_soak(options.pipeline, photo, Plan(**values), options.only, print_status)
    )
    print(as_text(reports))
    write_json(options.json, as_json(reports))
    return int(any(report.violations for report in reports))


if __name__ == "__main__":
    sys.exit(main())
