"""Run the command ``tritonpose`` as ``python -m tritonpose``."""

import sys

from tritonpose.cli import main

sys.exit(main())
