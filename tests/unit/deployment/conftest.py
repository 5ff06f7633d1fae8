"""For the tests of the chart."""

from __future__ import annotations

from pathlib import Path

import pytest

from helm import helm as find_helm


@pytest.fixture(scope="session")
def helm() -> Path:
    """Helm's program."""
    return find_helm()
