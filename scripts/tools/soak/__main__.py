"""The command ``scripts/soak``."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path

from tools.errors import SoakError
from tools.sample_photo import sample_photo
from tools.soak.bench import PartReport
from tools.soak.plan import QUICK, Plan
from tools.soak.report import as_json, as_text
from tools.soak.run import PARTS, run_soak
from tritonpose.config import PIPELINE_NAME
from tritonpose.errors import TritonPoseError
from tritonpose_server.models.errors import FetchError

_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: Command line without the program's name; default: that of the process.

    Returns:
        Exit status: 0 when nothing was found, 1 otherwise.
    """
    options = _parse(arguments)
    # Whoever ends it ends the service, too.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        reports = asyncio.run(_run(options))
        print(as_text(reports))
        if options.json is not None:
            options.json.write_text(json.dumps(as_json(reports), indent=2) + "\n", "utf-8")
    except (SoakError, TritonPoseError, FetchError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return _INTERRUPTED
    return int(any(report.violations for report in reports))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/soak",
        description="Try to break a service, started for this: damaged images, more load than it "
        "can do, reloaded models, killed processes. Every answer is checked. Takes about an hour.",
    )
    add = parser.add_argument
    add(
        "--only",
        type=_names,
        default=tuple(PARTS),
        metavar="PARTS",
        help=f"some of {','.join(PARTS)} (default: all)",
    )
    add("--quick", action="store_true", help="a little of everything: to see that it works")
    add("--decoded", type=int, metavar="N", help="fuzz: damaged images decoded without a server")
    add("--sent", type=int, metavar="N", help="fuzz: damaged images sent to the service")
    add("--minutes", type=float, metavar="M", help="load: how long")
    add("--overload", type=float, metavar="X", help="load: as a multiple of what the service does")
    add("--requests", type=int, metavar="N", help="requests: how many")
    add("--kills", type=int, metavar="N", help="kills: how often each process is killed")
    add(
        "--roles",
        type=lambda text: tuple(text.split(",")),
        metavar="ROLES",
        help="kills: which processes, of triton,pipeline,hps,rest and names of models",
    )
    add("--reloads", type=int, metavar="N", help="reloads: how often each model is reloaded")
    add("--seed", type=int, metavar="N", help="of everything random")
    add(
        "--pipeline",
        default=PIPELINE_NAME,
        metavar="NAME_OR_YAML",
        help="pipeline to serve: its name, or a PaddleX pipeline YAML (default: %(default)s)",
    )
    add("--photo", type=Path, metavar="FILE", help="a photo with people (default: a sample)")
    add("--json", type=Path, metavar="FILE", help="write the figures there, too")
    return parser.parse_args(arguments)


def _names(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        raise argparse.ArgumentTypeError(
            f"{', '.join(unknown)}: expected some of {','.join(PARTS)}"
        )
    return names


async def _run(options: argparse.Namespace) -> list[PartReport]:
    given = {
        each.name: getattr(options, each.name)
        for each in fields(Plan)
        if getattr(options, each.name) is not None
    }
    plan = replace(QUICK if options.quick else Plan(), **given)
    photo = options.photo or sample_photo(_tell)
    return await run_soak(options.pipeline, photo, plan, options.only, _tell)


def _tell(line: str) -> None:
    """Tell the user what is going on, apart from the results."""
    print(f"[tritonpose] {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
