"""What a body may be: JSON in any encoding, image files, forms; compressed or not."""

from __future__ import annotations

import asyncio
import base64
import codecs
import gzip
import json
import zlib
from typing import Any

import cv2
import httpx
import numpy as np
import pytest

from tritonpose.transport.messages import InferRequest, PoseResponse
from tritonpose_server.service.contract.failures import ServiceError
from tritonpose_server.service.contract.requests import KeypointRequest, parse_json
from tritonpose_server.service.rest.app import create_app
from tritonpose_server.service.rest.bodies import BodyKind, decompress, read_body
from tritonpose_server.service.rest.settings import RestSettings

PATH = "/human-keypoint-detection"
JPEG = b"\xff\xd8\xff\xe0 \r\n-- an \x00 image \r\n\r\n--z"
DOCUMENT = {"image": base64.b64encode(JPEG).decode(), "logId": "mine", "name": "f\u00fc\u4eba"}
TEXT = json.dumps(DOCUMENT, ensure_ascii=False)


class Recording:
    """A Triton that keeps what it is sent, and fails."""

    def __init__(self) -> None:
        self.requests: list[InferRequest] = []

    async def infer(self, request: InferRequest) -> PoseResponse:
        self.requests.append(request)
        raise RuntimeError("no more")

    async def is_ready(self, _timeout: float) -> bool:
        return True

    async def close(self) -> None:
        pass


def post(
    content: bytes, headers: dict[str, str], query: str = "", **settings: Any
) -> tuple[httpx.Response, list[InferRequest]]:
    """The answer of a service, and what it sent to Triton."""
    triton = Recording()
    app = create_app(RestSettings("grpc://127.0.0.1:9", **settings), transport=triton)

    async def send() -> httpx.Response:
        door = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=door, base_url="http://localhost") as client:
            return await client.post(PATH + query, content=content, headers=headers)

    return asyncio.run(send()), triton.requests


def problems(response: httpx.Response) -> list[dict[str, str]]:
    assert response.status_code == response.json()["errorCode"] == 422
    found: list[dict[str, str]] = json.loads(response.json()["errorMsg"])
    return found


# --- JSON ---

ENCODINGS = {
    "UTF-8": TEXT.encode(),
    "UTF-8 with a mark": codecs.BOM_UTF8 + TEXT.encode(),
    "UTF-16 with a mark": TEXT.encode("utf-16"),
    "UTF-16-LE": TEXT.encode("utf-16-le"),
    "UTF-16-BE": TEXT.encode("utf-16-be"),
    "UTF-16-BE with a mark": codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
    "UTF-32 with a mark": TEXT.encode("utf-32"),
    "UTF-32-LE": TEXT.encode("utf-32-le"),
    "UTF-32-BE": TEXT.encode("utf-32-be"),
    "escapes": json.dumps(DOCUMENT).encode(),
    "blanks": b" \r\n\t" + TEXT.encode() + b"\n\n",
}


@pytest.mark.parametrize("body", ENCODINGS.values(), ids=ENCODINGS)
def test_json_is_read_as_paddlex_reads_it(body: bytes) -> None:
    assert parse_json(body) == json.loads(body) == DOCUMENT
    assert parse_json(bytearray(body)) == DOCUMENT


def test_halves_of_surrogate_pairs() -> None:
    """As in names of files that are no UTF-8."""
    text = json.dumps({"image": "/9j/", "name": "\udcff.jpg"}).encode()
    assert parse_json(text) == json.loads(text)
    # The parser that takes them is slow with many values.
    with pytest.raises(ServiceError, match="JSON decode error"):
        parse_json(b"[%b%b]" % (text, b",0" * 10_001))


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"\xff", codecs.BOM_UTF8, codecs.BOM_UTF16_LE, b"\x00", b"\x00" * 8, b"{", b"'x'"),
        *(TEXT.encode("latin-1", "replace")[:-1], "\u00fc".encode("latin-1"), b"{}{}", b"[1,]"),
        *(b"[" * 100_000, b"9" * 5000, TEXT.encode("utf-16")[:-1], b'"\n"'),
    ],
    ids=lambda body: repr(body[:12]),
)
def test_what_is_no_json(body: bytes) -> None:
    with pytest.raises(ServiceError) as caught:
        parse_json(body)
    (problem,) = json.loads(caught.value.message)
    assert (problem["type"], problem["loc"]) == ("json_invalid", "body")


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        (b"\xff\xd8\xff\xe0" + bytes(40), "Content-Type: image/jpeg"),
        (cv2.imencode(".png", np.zeros((4, 4, 3), np.uint8))[1].tobytes(), "image/jpeg"),
        (gzip.compress(TEXT.encode()), "Content-Encoding: gzip"),
    ],
    ids=["JPEG", "PNG", "gzip"],
)
def test_what_else_the_body_looks_like(body: bytes, hint: str) -> None:
    (problem,) = problems(post(body, {"Content-Type": "application/json"})[0])
    assert hint in problem["msg"]


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json; charset=utf-16",
        "application/json;charset=UTF-8",
        'application/json; charset="utf-8"; profile=x',
        "application/json;",
    ],
)
def test_the_charset_is_that_of_the_bytes(content_type: str) -> None:
    response, sent = post(TEXT.encode("utf-16"), {"Content-Type": content_type})
    assert response.json()["logId"] == "mine"
    assert [request.image for request in sent] == [JPEG]


# --- compressed ---


def raw_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


COMPRESSED = {
    "gzip": ("gzip", gzip.compress(TEXT.encode())),
    "x-gzip": ("X-GZip", gzip.compress(TEXT.encode())),
    "gzip in members": (
        "gzip",
        gzip.compress(TEXT[:9].encode()) + gzip.compress(TEXT[9:].encode()),
    ),
    "deflate": ("deflate", zlib.compress(TEXT.encode())),
    "deflate without a frame": ("deflate", raw_deflate(TEXT.encode())),
    "identity": ("identity", TEXT.encode()),
    "nothing": ("", TEXT.encode()),
    "identity, gzip": ("identity, gzip", gzip.compress(TEXT.encode())),
}


@pytest.mark.parametrize(("coding", "body"), COMPRESSED.values(), ids=COMPRESSED)
def test_compressed_bodies(coding: str, body: bytes) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": coding}
    response, sent = post(body, headers)
    assert response.json()["logId"] == "mine"
    assert [request.image for request in sent] == [JPEG]


@pytest.mark.parametrize("coding", ["br", "zstd", "compress", "gzip, gzip", "gzip, br", "foo"])
def test_codings_that_are_not_read(coding: str) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": coding}
    response, sent = post(b"\x8b\x02\x80{}\x03", headers)
    assert response.status_code == response.json()["errorCode"] == 415
    assert f"Content-Encoding: {coding}" in response.json()["errorMsg"]
    assert "gzip or deflate, or not at all" in response.json()["errorMsg"]
    assert response.headers["accept-encoding"] == "gzip, deflate"
    assert sent == []


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_bodies_that_grow(coding: str) -> None:
    """A megabyte that becomes a gigabyte takes no more than the limit."""
    plain = bytes(2_000_001)
    body = gzip.compress(plain) if coding == "gzip" else zlib.compress(plain)
    headers = {"Content-Type": "application/json", "Content-Encoding": coding}
    response, _ = post(body, headers, max_body_bytes=2_000_000)
    assert response.status_code == 413
    assert "larger than the 2 MB accepted" in response.json()["errorMsg"]
    assert len(decompress(body, coding, 2_000_001)) == 2_000_001
    # All bodies together have a limit, too.
    response, _ = post(body, headers, max_bodies_bytes=1_000_000)
    assert response.status_code == 503


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", b""),
        ("gzip", TEXT.encode()),
        ("gzip", gzip.compress(TEXT.encode())[:-9]),
        ("gzip", gzip.compress(TEXT.encode()) + b"more"),
        ("gzip", gzip.compress(b" ") * 1000),
        ("gzip", zlib.compress(TEXT.encode())),
        ("deflate", b"\x78"),
        ("deflate", gzip.compress(TEXT.encode())),
        ("deflate", zlib.compress(TEXT.encode())[:-1]),
        ("deflate", zlib.compress(TEXT.encode()) + b"more"),
    ],
    ids=map(str, range(10)),  # not the bytes: those of gzip hold the time
)
def test_what_is_not_compressed_as_declared(coding: str, body: bytes) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": coding}
    (problem,) = problems(post(body, headers)[0])
    assert (problem["type"], problem["loc"]) == ("content_encoding", "body")
    assert coding in problem["msg"]


def test_other_transfers_are_not_supported() -> None:
    headers = {"Content-Type": "application/json", "Transfer-Encoding": "gzip, chunked"}
    response, _ = post(TEXT.encode(), headers)
    assert response.status_code == response.json()["errorCode"] == 501
    assert "use chunked alone" in response.json()["errorMsg"]


# --- image files ---


@pytest.mark.parametrize(
    "content_type",
    [
        *("image/jpeg", "IMAGE/PNG", "image/x-ms-bmp", "image/svg+xml", "application/octet-stream"),
        *("image/jpeg; name=a.jpg", "application/octet-stream;charset=binary"),
    ],
)
def test_an_image_file(content_type: str) -> None:
    response, sent = post(JPEG, {"Content-Type": content_type}, "?detThreshold=0.25&logId=mine")
    assert response.json()["logId"] == "mine"
    (request,) = sent
    assert (request.image, request.det_threshold) == (JPEG, 0.25)


def test_a_threshold_for_each_class() -> None:
    _, sent = post(JPEG, {"Content-Type": "image/jpeg"}, '?detThreshold={"person":0.25}')
    assert [request.det_threshold for request in sent] == [{"person": 0.25}]
    for text in ('{"person":2}', '{"person"', '{"a":' * 2000):
        (problem,) = problems(
            post(JPEG, {"Content-Type": "image/jpeg"}, f"?detThreshold={text}")[0]
        )
        assert problem["loc"] == "query.detThreshold"


def test_people_and_regions_in_a_query() -> None:
    query = "?personBoxes=[[1,2,3,4]]&roi=[[0,0],[9,0],[9,9]]"
    _, (request,) = post(JPEG, {"Content-Type": "image/jpeg"}, query)
    assert request.person_boxes.tolist() == [[1, 2, 3, 4]]
    assert request.roi.tolist() == [[0, 0], [9, 0], [9, 9]]


def test_a_compressed_image_file() -> None:
    headers = {"Content-Type": "image/bmp", "Content-Encoding": "gzip"}
    _, sent = post(gzip.compress(JPEG), headers)
    assert [request.image for request in sent] == [JPEG]


@pytest.mark.parametrize(
    ("query", "loc", "kind"),
    [
        ("?detThreshold=high&logId=mine", "query.detThreshold", "float_parsing"),
        ("?detThreshold=nan&logId=mine", "query.detThreshold", "finite_number"),
        ("?detThreshold=2&logId=mine", "query.detThreshold", "less_than_equal"),
        ("?personBoxes=1,2,3,4&logId=mine", "query.personBoxes", "value_error"),
        ("?roi=[[0,0],[1,1],[2,2]]&logId=mine", "query.roi", "value_error"),
        ("?visualize=perhaps&logId=mine", "query.visualize", "bool_parsing"),
    ],
)
def test_options_that_are_wrong(query: str, loc: str, kind: str) -> None:
    response, sent = post(JPEG, {"Content-Type": "image/jpeg"}, query)
    (problem,) = problems(response)
    assert (problem["loc"], problem["type"]) == (loc, kind)
    assert response.json()["logId"] == "mine"
    assert sent == []


def test_an_empty_file() -> None:
    (problem,) = problems(post(b"", {"Content-Type": "image/jpeg"})[0])
    assert (problem["loc"], problem["msg"]) == ("body.image", "the image file is empty")


# --- forms ---


def form(*parts: tuple[str, bytes], boundary: str = "x") -> tuple[bytes, dict[str, str]]:
    """A form of parts, each some headers and content, and the headers of the request."""
    lines = b"".join(
        b"--%b\r\nContent-Disposition: form-data; %b\r\n\r\n%b\r\n"
        % (boundary.encode(), head.encode(), content)
        for head, content in parts
    )
    kind = f'multipart/form-data; boundary="{boundary}"'
    return lines + b"--%b--\r\n" % boundary.encode(), {"Content-Type": kind}


FILE = 'name="image"; filename="a.jpg"\r\nContent-Type: image/jpeg'
BOUNDARY = "-----a boundary?"


def read_form(
    *parts: tuple[str, bytes], query: dict[str, str] | None = None, visualize: bool = True
) -> KeypointRequest:
    body, headers = form(*parts, boundary=BOUNDARY)
    return read_body(BodyKind.FORM, body, headers["Content-Type"], query or {}, visualize=visualize)


@pytest.mark.parametrize(
    ("head", "content"),
    [
        (FILE, JPEG),
        ('name="image"; filename="\u7167\u7247.jpg"', JPEG),
        ("name=image; filename*=utf-8''%E4.jpg", JPEG),
        ('name="image"; filename=""\r\nContent-Type: application/octet-stream', JPEG),
        ('name="image"\r\nContent-Type: image/jpeg', JPEG),
        ('name="file"; filename="a.jpg"', JPEG),
        ('name="image"', base64.b64encode(JPEG)),
        ('name="image"\r\nContent-Type: text/plain; charset=utf-8', base64.encodebytes(JPEG)),
        ('name="image"', b"data:image/jpeg;base64," + base64.b64encode(JPEG)),
    ],
)
def test_a_form(head: str, content: bytes) -> None:
    options = [('name="detThreshold"', b"0.25"), ('name="visualize"', b"no"), ("name=logId", b"me")]
    expected = KeypointRequest(JPEG, 0.25, visualize=False, log_id="me")
    assert read_form((head, content), *options) == expected
    assert read_form(*options, (head, content)) == expected
    # Fields left blank are as if they were not there.
    blank = [('name="detThreshold"', b""), ('name="visualize"', b"")]
    assert read_form((head, content), *blank).det_threshold is None


def test_a_form_with_a_url_and_a_query() -> None:
    asked = read_form(('name="image"', b"https://a.example/b.jpg"), query={"detThreshold": "0.5"})
    assert (asked.image, asked.det_threshold) == ("https://a.example/b.jpg", 0.5)


def test_a_form_as_clients_send_it() -> None:
    request = httpx.Request(
        "POST", "http://x", files={"image": ("a.jpg", JPEG)}, data={"logId": "mine"}
    )
    response, sent = post(request.read(), {"Content-Type": request.headers["content-type"]})
    assert response.json()["logId"] == "mine"
    assert [request.image for request in sent] == [JPEG]


@pytest.mark.parametrize(
    ("body", "content_type", "words"),
    [
        (b"", "multipart/form-data", "names no boundary"),
        (b"", "multipart/form-data; boundary=x", "does not end with its boundary"),
        (form((FILE, JPEG))[0][:-6], "multipart/form-data; boundary=x", "may be truncated"),
        (form((FILE, JPEG))[0], "multipart/form-data; boundary=y", "may be truncated"),
        (b"--x\r\nno blank line\r\n--x--\r\n", "multipart/form-data; boundary=x", "no blank line"),
        (form(*[("name=a", b"")] * 17)[0], "multipart/form-data; boundary=x", "more than 16 parts"),
        (form()[0], "multipart/form-data; boundary=x", "as the file `image`"),
        (form(("name=logId", b"x"))[0], "multipart/form-data; boundary=x", "as the file `image`"),
        (
            form(('name="a"; filename="a"', JPEG), ('name="b"; filename="b"', JPEG))[0],
            *("multipart/form-data; boundary=x", "as the file `image`"),
        ),
        (form(("name=image", b"@"))[0], "multipart/form-data; boundary=x", "not base64"),
        # Each of these held up the service for seconds or took gigabytes.
        (b"", "multipart/form-data; x=" + "y" * 5000, "more than 4096 characters"),
        (b"", 'multipart/form-data; x="' + ";" * 4000, "more than 64 parameters"),
        (
            form(("name=a\r\n" + "X: y\r\n" * 1000, b""))[0],
            *("multipart/form-data; boundary=x", "may have 4096 bytes"),
        ),
        (
            form((f'name="{";" * 4000}"', b""))[0],
            *("multipart/form-data; boundary=x", "more than 64 parameters"),
        ),
        (
            form((FILE, JPEG), ("name=roi", b"[" + b"[]," * 400_000 + b"1]"))[0],
            *("multipart/form-data; boundary=x", "up to 1000000 are accepted"),
        ),
        (
            form((FILE, JPEG), ("name=detThreshold", b'{"a":[' + b"[]," * 400_000 + b"1]}"))[0],
            *("multipart/form-data; boundary=x", "up to 1000000 are accepted"),
        ),
        (form((FILE, b""))[0], "multipart/form-data; boundary=x", "the image file is empty"),
        (
            form((FILE, JPEG), ("name=detThreshold", b"high"))[0],
            *("multipart/form-data; boundary=x", "valid number"),
        ),
    ],
)
def test_forms_that_are_wrong(body: bytes, content_type: str, words: str) -> None:
    response, sent = post(body, {"Content-Type": content_type})
    (problem,) = problems(response)
    assert words in problem["msg"]
    assert sent == []


@pytest.mark.parametrize("kind", ["multipart/mixed; boundary=x", "multipart/related", "video/mp4"])
def test_other_types_are_named(kind: str) -> None:
    response, _ = post(b"", {"Content-Type": kind})
    assert response.status_code == 415
    message = response.json()["errorMsg"]
    assert all(
        word in message for word in ("application/json", "image/jpeg", "multipart/form-data")
    )
