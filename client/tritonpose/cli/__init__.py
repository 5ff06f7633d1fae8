"""The command ``tritonpose``: one module per subcommand.

Each registers its options and runs itself; what it needs beyond the client is imported only then.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from tritonpose.cli import models, serve
from tritonpose.errors import TritonPoseError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: Command line without the program's name; default: that of the process.

    Returns:
        Exit status: 0, 1 for an error told in one line, 130 after Ctrl-C.
    """
    parser = argparse.ArgumentParser(
        prog="tritonpose",
        description="Human keypoint detection served by NVIDIA Triton, with PaddleX's results.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    serve.register(commands)
    models.register(commands)
    options = parser.parse_args(arguments)
    try:
        return int(options.run(options))
    except ImportError as error:
        reason = f"{error}; this command needs `pip install 'tritonpose[server,conversion]'`"
    except KeyboardInterrupt:
        return 130
    except TritonPoseError as error:
        reason = str(error)
    print(f"error: {reason}", file=sys.stderr)
    return 1
