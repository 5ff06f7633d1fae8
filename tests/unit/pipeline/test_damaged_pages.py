"""Thousands of damaged TIFF and PNM files: none crashes the decoder or lies about its size."""

import json
import os
import subprocess
import sys
from pathlib import Path

import decoding_matrix

COUNT = int(os.environ.get("TRITONPOSE_DAMAGED_PAGES", "5000"))

_PROGRAM = """
import json, sys
import cv2
from decoding_matrix import colored_files, oriented_files
from tools.peak_memory import peak_mb
from tools.soak.mutations import mutated
from tritonpose_pipeline.errors import BadRequestError
from tritonpose_pipeline.pages import decode_page, find_pages

cv2.setLogLevel(0)
files = {name: file.data for name, file in oriented_files()} | dict(colored_files())
files = [data for name, data in files.items() if name.startswith(("TIFF", "PNM"))]
decoded, refused, wrong_sizes = 0, 0, []
for seed in range(int(sys.argv[1])):
    print("seed", seed, file=sys.stderr)
    try:
        for page in find_pages(mutated(seed, files), "file")[:3]:
            height, width = decode_page(page, "file").shape[:2]
            decoded += 1
            if page.header.size != (width, height):
                wrong_sizes.append(seed)
    except BadRequestError:
        refused += 1
print(json.dumps([decoded, refused, wrong_sizes, peak_mb()]))
"""


def test_damaged_pages_are_decoded_or_refused() -> None:
    root = Path(decoding_matrix.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(COUNT)],
        env=os.environ | {"PYTHONPATH": f"{root / 'scripts'}{os.pathsep}{root / 'tests/support'}"},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    assert done.returncode == 0, f"crashed: {done.stderr[-300:]}"
    decoded, refused, wrong_sizes, peak_mb = json.loads(done.stdout)
    assert wrong_sizes == []
    # Both happen often, or nothing is tested.
    assert min(decoded, refused) > COUNT / 20
    assert peak_mb < 300
