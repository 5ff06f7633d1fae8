"""The chunks of a PNG file: only what the still picture needs reaches the decoder.

OpenCV 4.11 allocates whatever length a chunk claims, and its reader of animations crashes on
frames larger than the picture.
"""

from __future__ import annotations

# Chunks that change the pixels OpenCV returns: the picture itself, transparency of palettes,
# orientation.
_NEEDED = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"eXIf"})

# Real files have some thousands.
_MAX_CHUNKS = 100_000

_SIGNATURE_LENGTH = 8


def still_picture(data: bytes) -> bytes | None:
    """Drop the chunks of a PNG that its still picture can do without.

    Args:
        data: The file's bytes, beginning with the PNG signature.

    Returns:
        A PNG file of the same picture (the same object where nothing is dropped), None where a
        chunk reaches beyond the end, there are absurdly many, or none has a picture.
    """
    needed: list[tuple[int, int]] = []
    kinds = set()
    at = _SIGNATURE_LENGTH
    for _ in range(_MAX_CHUNKS):
        kind = data[at + 4 : at + 8]
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if len(kind) < 4 or end > len(data):
            return None
        if kind in _NEEDED:
            needed.append((at, end))
        kinds.add(kind)
        at = end
        if kind == b"IEND":
            break
    else:
        return None
    # Without a picture, OpenCV would go on reading after the end.
    if b"IDAT" not in kinds:
        return None
    if kinds <= _NEEDED and at == len(data):
        return data
    view = memoryview(data)
    return b"".join([view[:_SIGNATURE_LENGTH], *(view[start:stop] for start, stop in needed)])
