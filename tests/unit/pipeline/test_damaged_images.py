"""Thousands of damaged images: none crashes the decoder or takes much memory."""

import json
import os
import subprocess
import sys

from tools.soak import decode_worker

# More for a long run: TRITONPOSE_DAMAGED_IMAGES=1000000 scripts/test tests/unit/pipeline -k damaged
COUNT = int(os.environ.get("TRITONPOSE_DAMAGED_IMAGES", "15000"))


def test_damaged_images_are_decoded_or_refused() -> None:
    done = subprocess.run(
        [sys.executable, "-m", decode_worker.__name__, "0", str(COUNT)],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    assert done.returncode == 0, f"crashed: {done.stderr[-300:]}"
    report = json.loads(done.stdout)
    assert report["wrong_sizes"] == []
    # Both happen often, or nothing is tested.
    assert min(report["decoded"], report["refused"]) > COUNT / 10
    assert report["peak_mb"] < 300
