"""What the OpenAPI description promises is what the service does, whatever it is sent."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from rest_service import rest_service
from tritonpose_server.embedded.server import EmbeddedServer

# A schema can't require that `image` is an image. And the service accepts more than it describes:
# numbers spelled as strings, as PaddleX does, and any `logId`, which is then ignored.
_LEFT_OUT = "positive_data_acceptance,negative_data_rejection"


def test_schemathesis_finds_nothing(server: EmbeddedServer, tmp_path: Path) -> None:
    with rest_service(server.grpc_url) as address:
        done = subprocess.run(
            [
                *(sys.executable, "-c", "import schemathesis.cli; schemathesis.cli.schemathesis()"),
                *("run", f"{address}openapi.json", "--phases", "examples,coverage,fuzzing"),
                *("--exclude-checks", _LEFT_OUT, "--max-examples", "40"),
                *("--seed", "1", "--no-color"),
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 selected / 4 total" in done.stdout
