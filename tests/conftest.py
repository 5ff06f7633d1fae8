"""For all tests."""

import os
import signal
from pathlib import Path

# Shells start background jobs with SIGINT ignored, which programs that tests start would inherit.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Programs that tests start find the package `tools`, which is not installed.
os.environ["PYTHONPATH"] = str(Path(__file__).parents[1] / "scripts")
