"""Read the body of a request: JSON as PaddleX's, an image file, or a form with one."""

from __future__ import annotations

import asyncio
import email.message
import email.parser
import email.policy
import re
import zlib
from enum import Enum, auto
from http import HTTPStatus
from typing import TYPE_CHECKING

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
    from tritonpose_server.service.rest.limits import TakeMemory
    from tritonpose_server.service.rest.settings import RestSettings

_JSON = re.compile(r"application/([\w.+-]+\+)?json\s*(;.*)?", re.IGNORECASE)
_FILE = re.compile(r"(image/[\w.+-]+|application/octet-stream)\s*(;.*)?", re.IGNORECASE)
_FORM = re.compile(r"multipart/form-data\s*(;.*)?", re.IGNORECASE)

_CODINGS = {"gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate"}

# Of gzip, one behind the other.
_MAX_MEMBERS = 8

_MAX_PARTS = 16


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
    request: Request, settings: RestSettings, take_memory: TakeMemory
) -> bytearray:
    """Receive a body.

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
    if length.isdecimal() and int(length) > settings.max_body_bytes:
        raise _too_large(settings.max_body_bytes)
    try:
        return await asyncio.wait_for(
            _receive(request, settings.max_body_bytes, take_memory), settings.receive_timeout
        )
    except asyncio.TimeoutError:
        raise ServiceError(
            HTTPStatus.REQUEST_TIMEOUT,
            f"the body did not arrive within {settings.receive_timeout:g} s",
        ) from None


def decompress(body: bytes | bytearray, coding: str, limit: int) -> bytearray:
    """Decompress a body; ServiceError 413 if more than `limit` bytes come out, 422 if it can't be.

    Some clients send ``deflate`` without the frame of zlib that it should have.
    """
    content, rest = bytearray(), bytes(body)
    try:
        for _ in range(_MAX_MEMBERS):
            decoder = zlib.decompressobj(_window(coding, rest))
            content += decoder.decompress(rest, limit + 1 - len(content))
            if len(content) > limit:
                raise _too_large(limit)
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

    The options are in the JSON, are fields of the form, or come from the ``query``.
    """
    if kind is BodyKind.JSON:
        return check_request(parse_json(body), visualize=visualize)
    if kind is BodyKind.FILE:
        return check_file(bytes(body), query, where="query", visualize=visualize)
    image, fields = _read_form(bytes(body), content_type)
    return check_file(image, {**query, **fields}, where="body", visualize=visualize)


async def _receive(request: Request, limit: int, take_memory: TakeMemory) -> bytearray:
    body = bytearray()
    try:
        async for chunk in request.stream():
            if len(body) + len(chunk) > limit:
                raise _too_large(limit)
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
    framed = len(data) > 1 and data[0] & 15 == zlib.DEFLATED and not int.from_bytes(data[:2]) % 31
    return zlib.MAX_WBITS if framed else -zlib.MAX_WBITS


def _read_form(body: bytes, content_type: str) -> tuple[bytes | str, dict[str, str]]:
    """Read a form: the image, bytes or a URL, and the other fields.

    The image is the part ``image``, a file or what the JSON field may be, or else the only file.
    """
    files: list[bytes] = []
    image: bytes | str | None = None
    fields: dict[str, str] = {}
    for head, content in _parts(body, content_type):
        name = head.get_param("name", "", "content-disposition")
        is_file = head.get_filename() is not None or not _is_text(head)
        if is_file:
            files.append(content)
        if name == "image":
            image = content if is_file else read_image(content.decode("utf-8", "replace"))
        elif not is_file:
            fields[str(name)] = content.decode("utf-8", "replace")
    if image is None and len(files) == 1:
        (image,) = files
    if image is None:
        raise missing_image("send the image as the file `image` of the form")
    return image, fields


def _parts(body: bytes, content_type: str) -> Iterator[tuple[email.message.Message, bytes]]:
    """Split a form at its boundary: the headers and the content of each part."""
    boundary = _headers(f"Content-Type: {content_type}".encode("latin-1")).get_boundary()
    if not boundary:
        raise _malformed_form("its Content-Type names no boundary")
    delimiter = b"\r\n--" + boundary.encode("latin-1", "replace")
    _, *parts = (b"\r\n" + body).split(delimiter, _MAX_PARTS + 1)
    if len(parts) > _MAX_PARTS:
        raise _malformed_form(f"it has more than {_MAX_PARTS} parts")
    if not parts or not parts[-1].startswith(b"--"):
        raise _malformed_form("it does not end with its boundary, so it may be truncated")
    for part in parts[:-1]:
        head, blank, content = part.partition(b"\r\n\r\n")
        if not blank:
            raise _malformed_form("a part has no blank line behind its headers")
        yield _headers(head.lstrip(b" \t").removeprefix(b"\r\n")), content


def _headers(text: bytes) -> email.message.Message:
    return email.parser.BytesHeaderParser(policy=email.policy.compat32).parsebytes(text)


def _is_text(head: email.message.Message) -> bool:
    return head.get_content_maintype() == "text" or head.get_content_type() == "application/json"


def _malformed_form(why: str) -> ServiceError:
    return invalid([("form_invalid", "body", f"the body is not a form that can be read: {why}")])


def _too_large(limit: int) -> ServiceError:
    return ServiceError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"the body is larger than the {limit / 1e6:g} MB accepted: downscale or recompress the "
        "image",
    )
