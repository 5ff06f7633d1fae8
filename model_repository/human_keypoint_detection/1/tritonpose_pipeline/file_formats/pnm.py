"""Read PNM files: PBM, PGM and PPM, as text or binary (the netpbm project's formats)."""

from __future__ import annotations

import re

from tritonpose_pipeline.file_formats.header import ImageHeader

_GAP = rb"(?:\s|#[^\r\n]*[\r\n]){1,1000}"
_HEADER = re.compile(
    rb"P(?P<kind>[1-6])%s(?P<width>\d{1,9})%s(?P<height>\d{1,9})(?:%s(?P<largest>\d{1,5}))?"
    % ((_GAP,) * 3)
)
_SAMPLES = {b"4": 1, b"5": 1, b"6": 3}


def read_pnm(data: bytes) -> ImageHeader | None:
    """Read the header; another picture may follow the raster of a binary file."""
    found = _HEADER.match(data[:65536])
    if found is None:
        return None
    width, height = int(found["width"]), int(found["height"])
    header = ImageHeader(width, height)
    samples = _SAMPLES.get(found["kind"])
    if samples is None:
        return header
    if found["kind"] == b"4":
        # A bitmap has no largest value: what looks like one belongs to its raster.
        start, row = found.end("height") + 1, -(-width // 8)
    else:
        wide = 2 if int(found["largest"] or 255) > 255 else 1
        start, row = found.end() + 1, width * samples * wide
    following = _HEADER.match(data, start + row * height)
    return header._replace(several=following is not None)
