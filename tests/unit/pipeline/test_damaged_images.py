"""Tens of thousands of damaged images: none crashes the decoder or takes much memory."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
# More for a long run: TRITONPOSE_DAMAGED_IMAGES=1000000 scripts/test tests/unit/pipeline -k damaged
COUNT = int(os.environ.get("TRITONPOSE_DAMAGED_IMAGES", "40000"))


def test_damaged_images_are_decoded_or_refused() -> None:
    paths = [ROOT / "model_repository/human_keypoint_detection/1", ROOT / "tests/support"]
    done = subprocess.run(
        [sys.executable, ROOT / "tests/support/decode_mutations.py", "0", str(COUNT)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))},
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
