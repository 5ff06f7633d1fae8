"""For all tests."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

from tritonpose.usage_data import withhold_usage_data

# Some tests import an inference engine before anything of this project.
withhold_usage_data()

# Shells start background jobs with SIGINT ignored, which programs that tests start would inherit.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Programs that tests start find the package `tools`, which is not installed.
os.environ["PYTHONPATH"] = str(Path(__file__).parents[1] / "scripts")

# No time is asserted, and what failed for somebody doesn't depend on luck.
settings.register_profile("tritonpose", deadline=None, derandomize=True, database=None)
settings.load_profile("tritonpose")

TESTS = Path(__file__).parent

# Folders and files whose tests start servers, processes or tools; `scripts/test --fast` leaves them
# out.
SLOW = (
    "e2e",
    "unit/deployment",
    "unit/tools",
    "unit/cli/test_client_alone.py",
    "unit/cli/test_completion.py",
    "unit/client/test_import_time.py",
    "unit/client/test_processes.py",
    "unit/client/test_supervision_export.py",
    "unit/models/test_engines_without_gpu.py",
    "unit/models/test_install_onnx_model.py",
    "unit/models/test_paddle_environment.py",
    "unit/pipeline/test_damaged_images.py",
    "unit/pipeline/test_damaged_pages.py",
    "unit/server/service/test_request_mutations.py",
    "unit/server/supervision/test_guardian.py",
    "unit/server/supervision/test_rest_process.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark slow tests."""
    assert all((TESTS / slow).exists() for slow in SLOW)
    for item in items:
        path = item.path.relative_to(TESTS)
        if any(path.is_relative_to(slow) for slow in SLOW):
            item.add_marker(pytest.mark.slow)
