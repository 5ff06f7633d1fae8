"""Open the cameras of this machine, and RTSP streams."""

from __future__ import annotations

import errno
import os
import socket
import ssl
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tritonpose.inputs.cameras import ConnectError, OpenStream
from tritonpose.inputs.videos import reason_of
from tritonpose_pipeline.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Iterator

CONNECT_S = 10.0
"""How long a camera may take until it is connected, in seconds."""

SILENCE_S = 10.0
"""How long a connected camera may be silent, in seconds."""

_CREDENTIALS = (
    "put the right ones into the address, rtsp://user:password@host/..., special characters "
    "percent-encoded"
)
_LIVE_OPTIONS = {
    "max_pixels": str(Limits.max_pixels),
    "analyzeduration": "2000000",
}


def device_of(number: int) -> str:
    """Return what FFmpeg calls the camera of this number."""
    if sys.platform == "linux":
        return f"/dev/video{number}"
    if sys.platform == "win32":
        from av.device import enumerate_input_devices

        cameras = [d.name for d in enumerate_input_devices("dshow") if "video" in d.media_types]
        return f"video={cameras[number]}" if number < len(cameras) else ""
    return str(number)


@contextmanager
def open_device(device: str) -> Iterator[OpenStream]:
    """Open a camera of this machine; raise ConnectError."""
    import av

    kind = {"linux": "v4l2", "win32": "dshow"}.get(sys.platform, "avfoundation")
    options = dict(_LIVE_OPTIONS)
    if kind == "avfoundation":
        # It refuses its own default, and most cameras have this one.
        options["framerate"] = "30"
    if kind == "v4l2":
        _check_device(device)
    try:
        container = av.open(
            device, "r", format=kind, options=options, timeout=(CONNECT_S, SILENCE_S)
        )
    except (av.FFmpegError, OSError, ValueError) as error:
        if getattr(error, "errno", 0) == errno.EBUSY:
            raise ConnectError("another program uses this camera: end that one") from None
        if getattr(error, "errno", 0) in (errno.ENOTTY, errno.EINVAL, errno.ENODEV):
            raise ConnectError(f"it is no camera; {_cameras_here()}", final=True) from None
        raise ConnectError(reason_of(error)) from None
    with container:
        yield OpenStream(container)


def _check_device(path: str) -> None:
    if not os.path.lexists(path):
        raise ConnectError(f"there is no such camera; {_cameras_here()}", final=True)
    if not os.access(path, os.R_OK | os.W_OK):
        raise ConnectError(
            "permission denied: add yourself to the group that owns it, `sudo usermod -aG video "
            "$USER`, and log in again; a container needs `--device` and `--group-add`",
            final=True,
        )


def _cameras_here() -> str:
    names = sorted(str(path) for path in Path("/dev").glob("video*"))
    if sys.platform == "linux":
        return f"this machine has {', '.join(names)}" if names else "this machine has none"
    return "is it connected, and may this program use it?"


@contextmanager
def open_rtsp(address: str) -> Iterator[OpenStream]:
    """Open an RTSP stream, over TCP; raise ConnectError."""
    import av

    parts = urlsplit(address)
    secure = parts.scheme.lower() == "rtsps"
    options = {
        **_LIVE_OPTIONS,
        "rtsp_transport": "tcp",
        "allowed_media_types": "video",
        "timeout": str(round(SILENCE_S * 1e6)),
        "format_whitelist": "rtsp",
        "protocol_whitelist": "rtsp,rtsps,rtp,tcp,tls",
    }
    if secure:
        options["tls_verify"] = "1"
        options["ca_file"] = _trusted()
    host, port = parts.hostname or "", _port(parts, 322 if secure else 554)
    began = time.monotonic()
    try:
        container = av.open(
            address, "r", format="rtsp", options=options, timeout=(CONNECT_S, SILENCE_S)
        )
    except (av.FFmpegError, OSError, ValueError) as error:
        if time.monotonic() - began > min(CONNECT_S, SILENCE_S) - 1:
            raise ConnectError(f"{host} didn't answer within {CONNECT_S:g} s") from None
        raise _rtsp_problem(error, host, port, secure) from None
    with container:
        yield OpenStream(container)


def _port(parts: Any, usual: int) -> int:
    try:
        return parts.port or usual
    except ValueError:
        raise ConnectError("its port is no number from 1 to 65535", final=True) from None


def _rtsp_problem(error: Exception, host: str, port: int, secure: bool) -> ConnectError:
    """Say what is wrong; FFmpeg tells nothing of hosts that it can't reach."""
    import av

    if isinstance(error, av.HTTPUnauthorizedError):
        return ConnectError(
            f"401: the camera refuses the user's name or password: {_CREDENTIALS}", final=True
        )
    if isinstance(error, av.HTTPForbiddenError):
        return ConnectError("403: the camera doesn't allow this to this user", final=True)
    if isinstance(error, av.HTTPNotFoundError):
        return ConnectError(
            "404: the camera has no such stream: its manual has the path", final=True
        )
    try:
        socket.create_connection((host, port), CONNECT_S).close()
    except socket.gaierror as unknown:
        return ConnectError(f"unknown host {host!r} ({unknown.strerror})")
    except (OSError, UnicodeError) as closed:
        return ConnectError(f"{host} port {port}: {getattr(closed, 'strerror', 0) or closed}")
    if isinstance(error, av.InvalidDataError):
        return ConnectError("what answers there speaks no RTSP, or sends no video")
    if secure:
        return ConnectError(
            "no secure connection: its certificate has to be of this host and trusted; where it is "
            "the camera's own, let the environment variable SSL_CERT_FILE name it"
        )
    return ConnectError(reason_of(error))


def _trusted() -> str:
    paths = ssl.get_default_verify_paths()
    return os.environ.get(paths.openssl_cafile_env) or paths.cafile or paths.openssl_cafile
