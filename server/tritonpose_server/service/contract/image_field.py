"""From the field ``image`` of a request to the bytes of an image file, or to where they are."""

from __future__ import annotations

import re

import pybase64

from tritonpose_server.service.contract.failures import invalid_image

_URL = re.compile(r"https?://", re.IGNORECASE)
_DATA_URI = re.compile(r"data:[^,]{0,200},", re.IGNORECASE)
_FOREIGN = re.compile(r"[^A-Za-z0-9+/=]")
_WHITESPACE = re.compile(r"[ \t\r\n]+")

_ADVICE = "send the bytes of an image file, base64-encoded"


def read_image(text: str) -> bytes | str:
    """Gives the file that the field stands for.

    Args:
        text: Base64 (RFC 4648, section 4), with or without a header ``data:...;base64,``. Line
            breaks and blanks, as some encoders insert them, are skipped. Or a URL, ``http:`` or
            ``https:``.

    Returns:
        The file's bytes; whether they are an image is not checked. Or the URL, as it is; whether
        it may be fetched, or is one at all, is not checked.

    Raises:
        ServiceError: 422 if it is not base64, or empty.
    """
    if _URL.match(text):
        return text
    header = _DATA_URI.match(text)
    if header:
        if not header[0].lower().endswith(";base64,"):
            raise invalid_image(
                "base64", f"`image` is a data URI without `;base64` in its header: {_ADVICE}"
            )
        text = text[header.end() :]
    data = _decode(text)
    if not data:
        raise invalid_image("base64", f"`image` is empty: {_ADVICE}")
    return data


def _decode(text: str) -> bytes:
    try:
        return pybase64.b64decode(text, validate=True)
    except ValueError:
        dense = _WHITESPACE.sub("", text)
    try:
        return pybase64.b64decode(dense, validate=True)
    except ValueError:
        raise invalid_image("base64", f"`image` is not base64: {_explain(dense)}") from None


def _explain(text: str) -> str:
    """Says what keeps a text without whitespace from being base64."""
    foreign = _FOREIGN.search(text)
    if foreign:
        hint = "; use the standard alphabet, with + and /" if foreign[0] in "-_" else ""
        return f"character {foreign[0]!r} at position {foreign.start()}{hint}; {_ADVICE}"
    padding = text.find("=")
    if padding >= 0 and text[padding:].strip("="):
        return f"padding `=` in its midst, at position {padding}; {_ADVICE}"
    return (
        f"its {len(text)} characters are no whole number of padded groups of 4, so it is truncated "
        f"or lacks padding `=`; {_ADVICE}"
    )
