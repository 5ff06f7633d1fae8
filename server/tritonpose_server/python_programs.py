"""How this project starts Python: so that the current directory is no code.

With ``-m`` or ``-c`` Python imports from the current directory first: a ``json.py`` that lies
beside a user's photos would be run.
"""

from __future__ import annotations

import sys


def isolated_python() -> list[str]:
    """Return the beginning of a command line that runs this Python without the current directory.

    Before Python 3.11, only an option does so that leaves out ``$PYTHONPATH``, too.
    """
    return [sys.executable, "-P" if sys.version_info >= (3, 11) else "-I"]
