"""A camera: serves recorded JPEG frames over HTTP at their rate, again and again.

Usage: ``python camera.py PORT RATE DIRECTORY LOG``

The frames are the files of DIRECTORY, in the order of their names. As each is sent, its number and
the time (``time.monotonic``, which is that of all processes) are added to LOG. Only the standard
library is used.
"""

from __future__ import annotations

import struct
import sys
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

SENT = struct.Struct("=Id")
"""An entry of the log: number and time."""


def serve(port: int, rate: float, frames: list[bytes], log: Path) -> None:
    """Serve until this process is killed."""
    began = time.monotonic()

    class Camera(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            with log.open("ab", buffering=0) as entries, suppress(OSError):
                while True:
                    count = int((time.monotonic() - began) * rate) + 1
                    time.sleep(max(0.0, began + count / rate - time.monotonic()))
                    number = count % len(frames)
                    head = "--frame\r\nContent-Type: image/jpeg\r\n"
                    head += f"Content-Length: {len(frames[number])}\r\n\r\n"
                    entries.write(SENT.pack(number, time.monotonic()))
                    self.wfile.write(head.encode() + frames[number] + b"\r\n")

        def log_message(self, *_: object) -> None:
            pass

    ThreadingHTTPServer(("127.0.0.1", port), Camera).serve_forever()


if __name__ == "__main__":
    _, port, rate, directory, log = sys.argv
    files = sorted(Path(directory).iterdir())
    serve(int(port), float(rate), [file.read_bytes() for file in files], Path(log))
