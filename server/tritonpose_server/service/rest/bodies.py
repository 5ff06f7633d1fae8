"""Read the body of a request: JSON as PaddleX's, an image file, or a form with one."""

from __future__ import annotations

import asyncio
import email.message
import email.parser
import email.policy
import re
import zlib
from dataclasses import dataclass
from enum import Enum, auto
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

from tritonpose_server.service.contract.failures import ServiceError, invalid, missing_image
from tritonpose_server.service.contract.requests import (
    check_file,
    check_request,
    parse_json,
    read_image,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from starlette.requests import Request

    from tritonpose_server.service.contract.requests import KeypointRequest
    from tritonpose_server.service.urls.fetching import TakeMemory

_JSON = re.compile(r"application/([\w.+-]+\+)?json\s*(;.*)?", re.IGNORECASE)
_FILE = re.compile(r"(image/[\w.+-]+|application/octet-stream)\s*(;.*)?", re.IGNORECASE)
_FORM = re.compile(r"multipart/form-data\s*(;.*)?", re.IGNORECASE)

_CODINGS = {"gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate"}

# Of gzip, one behind the other.
_MAX_MEMBERS = 8

_MAX_PARTS = 16
# Of a form's Content-Type, and of the headers of a part. The library takes much more memory for
# many of them, and time by the square of their parameters.
_MAX_FORM_HEAD, _MAX_PARAMETERS = 4096, 64


class SizeLimit(NamedTuple):
    """How many bytes are accepted, by the setting of a name."""

    size: int
    name: str

    def exceeded(self, what: str = "body") -> ServiceError:
        """Make the error of a body, or of an image of a batch, of more bytes."""
        return ServiceError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"the {what} is larger than the {self.size / 1e6:g} MB accepted ({self.name}): "
            "downscale or recompress the image",
        )


class BodyKind(Enum):
    """What a body is, by its header ``Content-Type``."""

    JSON = auto()
    FILE = auto()
    FORM = auto()


def kind_of_body(content_type: str) -> BodyKind:
    """Return what a body is declared as; ServiceError 415 if that is nothing we read."""
    # Browsers let any web page send other types here, and forms, without asking us first.
    for kind, pattern in ((BodyKind.JSON, _JSON), (BodyKind.FILE, _FILE), (BodyKind.FORM, _FORM)):
        if pattern.fullmatch(content_type.strip()):
            return kind
    raise ServiceError(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "send JSON with the header `Content-Type: application/json`, the bytes of an image file "
        "with `image/jpeg` or another of its kind, or a form with `multipart/form-data`; "
        f"got {content_type[:100]!r}",
    )


def coding_of_body(content_encoding: str) -> str | None:
    """Return how a body is compressed, None if it is not; ServiceError 415 if we can't tell it."""
    names = [name.strip().lower() for name in content_encoding.split(",")]
    codings = [name for name in names if name not in ("", "identity")]
    if not codings:
        return None
    if len(codings) == 1 and codings[0] in _CODINGS:
        return _CODINGS[codings[0]]
    raise ServiceError(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        f"`Content-Encoding: {content_encoding[:100]}` is not supported: compress the body with "
        "gzip or deflate, or not at all",
    )


async def receive_body(
    request: Request, limit: SizeLimit, timeout: float, take_memory: TakeMemory
) -> bytearray:
    """Receive a body of up to `limit` bytes within `timeout` seconds.

    Raises ServiceError 413 if it is too large, 408 if it doesn't arrive in time, 503 if there is no
    room for it, 501 if it is transferred in another way than in chunks; ClientDisconnect if the
    client closes its connection.
    """
    transfer = request.headers.get("transfer-encoding", "chunked")
    if transfer.strip().lower() != "chunked":
        raise ServiceError(
            HTTPStatus.NOT_IMPLEMENTED,
            f"`Transfer-Encoding: {transfer[:100]}` is not supported: use chunked alone",
        )
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > limit.size:
        raise limit.exceeded()
    try:
        return await asyncio.wait_for(_receive(request, limit, take_memory), timeout)
    except asyncio.TimeoutError:
        raise ServiceError(
            HTTPStatus.REQUEST_TIMEOUT,
            f"the body did not arrive within {timeout:g} s (receive_timeout)",
        ) from None


def decompress(body: bytes | bytearray, coding: str, limit: SizeLimit) -> bytearray:
    """Decompress a body; ServiceError 413 if more than `limit` bytes come out, 422 if it can't be.

    Some clients send ``deflate`` without the frame of zlib that it should have.
    """
    content, rest = bytearray(), bytes(body)
    try:
        for _ in range(_MAX_MEMBERS):
            decoder = zlib.decompressobj(_window(coding, rest))
            content += decoder.decompress(rest, limit.size + 1 - len(content))
            if len(content) > limit.size:
                raise limit.exceeded()
            if not decoder.eof:
                raise zlib.error("it is truncated")
            rest = decoder.unused_data
            if not rest:
                return content
    except zlib.error as error:
        raise invalid(
            [("content_encoding", "body", f"the body is not {coding}-compressed data: {error}")]
        ) from None
    raise invalid([("content_encoding", "body", f"bytes behind the end of the {coding} data")])


def read_body(
    kind: BodyKind,
    body: bytes | bytearray,
    content_type: str,
    query: Mapping[str, str],
    *,
    visualize: bool,
) -> KeypointRequest:
    """Read a request from its body; ServiceError 422 if it is wrong.

    The options are in the JSON, are fields of the form, or else come from the ``query``.
    """
    options = options_of(query)
    if kind is BodyKind.JSON:
        document = parse_json(body)
        if isinstance(document, dict):
            document = {**options, **document}
        return check_request(document, visualize=visualize)
    if kind is BodyKind.FILE:
        return check_file(bytes(body), options, where="query", visualize=visualize)
    image, fields = _read_form(body, content_type)
    return check_file(image, {**options, **fields}, where="body", visualize=visualize)


def options_of(query: Mapping[str, str]) -> dict[str, str]:
    """Return the options in a query, which hold where a body doesn't say them; empty ones don't."""
    return {name: text for name, text in query.items() if text and name != "image"}


async def _receive(request: Request, limit: SizeLimit, take_memory: TakeMemory) -> bytearray:
    body = bytearray()
    try:
        async for chunk in request.stream():
            if len(body) + len(chunk) > limit.size:
                raise limit.exceeded()
            take_memory(len(chunk))
            body += chunk
    except BaseException:
        # The error's frames hold it until the next garbage collection.
        body.clear()
        raise
    return body


def _window(coding: str, data: bytes) -> int:
    """Return zlib's ``wbits`` for a coding."""
    if coding == "gzip":
        return 16 + zlib.MAX_WBITS
    header = int.from_bytes(data[:2], "big")
    framed = len(data) > 1 and data[0] & 15 == zlib.DEFLATED and header % 31 == 0
    return zlib.MAX_WBITS if framed else -zlib.MAX_WBITS


def _read_form(body: bytes | bytearray, content_type: str) -> tuple[bytes | str, dict[str, str]]:
    """Read a form: the image, bytes or a URL, and the other fields.

    The image is the part ``image``, a file or what the JSON field may be, or else the only file.
    """
    files: list[bytes] = []
    image: bytes | str | None = None
    fields: dict[str, str] = {}
    for part in split_form(body, content_type, _MAX_PARTS):
        if part.is_file:
            files.append(part.content())
        if part.name == "image":
            image = files[-1] if part.is_file else read_image(part.text())
        elif not part.is_file:
            fields[part.name] = part.text()
    if image is None and len(files) == 1:
        (image,) = files
    if image is None:
        raise missing_image("send the image as the file `image` of the form")
    return image, fields


@dataclass(frozen=True)
class FormPart:
    """A part of a form: its content is copied when it is asked for."""

    name: str
    is_file: bool
    body: bytes | bytearray
    start: int
    end: int

    def content(self) -> bytes:
        """Copy the content."""
        return bytes(memoryview(self.body)[self.start : self.end])

    def text(self) -> str:
        """Read the content of a field."""
        return self.content().decode("utf-8", "replace")


def split_form(body: bytes | bytearray, content_type: str, most: int) -> Iterator[FormPart]:
    """Split a form at its boundary; ServiceError 422 where it can't be, 413 beyond `most` parts."""
    if len(content_type) > _MAX_FORM_HEAD:
        raise _malformed_form(f"its Content-Type has more than {_MAX_FORM_HEAD} characters")
    boundary = _headers(f"Content-Type: {content_type}".encode("latin-1")).get_boundary()
    if not boundary:
        raise _malformed_form("its Content-Type names no boundary")
    delimiter = b"--" + boundary.encode("latin-1", "replace")
    at = 0 if body.startswith(delimiter) else _after(body, b"\r\n" + delimiter, 0) - len(delimiter)
    start = at + len(delimiter)
    count = 0
    while body[start : start + 2] != b"--":
        count += 1
        if count > most:
            raise ServiceError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"the form has more than the {most} parts that are accepted",
            )
        next_start = _after(body, b"\r\n" + delimiter, start)
        end = next_start - len(delimiter) - 2
        blank = body.find(b"\r\n\r\n", start, min(end, start + _MAX_FORM_HEAD))
        if blank < 0:
            raise _malformed_form(
                "a part has no blank line behind its headers, of which it may have "
                f"{_MAX_FORM_HEAD} bytes"
            )
        head = _headers(bytes(body[start:blank]).lstrip(b" \t").removeprefix(b"\r\n"))
        name = str(head.get_param("name", "", "content-disposition"))
        is_file = head.get_filename() is not None or not _is_text(head)
        yield FormPart(name, is_file, body, blank + 4, end)
        start = next_start


def _after(body: bytes | bytearray, delimiter: bytes, start: int) -> int:
    """Find the end of the next delimiter of a form."""
    found = body.find(delimiter, start)
    if found < 0:
        raise _malformed_form("it does not end with its boundary, so it may be truncated")
    return found + len(delimiter)


def _headers(text: bytes) -> email.message.Message:
    if text.count(b";") > _MAX_PARAMETERS:
        raise _malformed_form(f"a header has more than {_MAX_PARAMETERS} parameters")
    return email.parser.BytesHeaderParser(policy=email.policy.compat32).parsebytes(text)


def _is_text(head: email.message.Message) -> bool:
    return head.get_content_maintype() == "text" or head.get_content_type() == "application/json"


def _malformed_form(why: str) -> ServiceError:
    return invalid([("form_invalid", "body", f"the body is not a form that can be read: {why}")])
