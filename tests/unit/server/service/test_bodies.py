"""What a body may be: JSON in any encoding, or an image file; compressed or not."""

from __future__ import annotations

import base64
import codecs
import gzip
import json
import zlib

import cv2
import numpy as np
import pytest

from posted_bodies import JPEG, post, problems
from tritonpose_server.service.contract.failures import ServiceError
from tritonpose_server.service.contract.requests import parse_json
from tritonpose_server.service.rest.bodies import SizeLimit, decompress

DOCUMENT = {"image": base64.b64encode(JPEG).decode(), "logId": "mine", "name": "f\u00fc\u4eba"}
TEXT = json.dumps(DOCUMENT, ensure_ascii=False)


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


def test_what_json_does_not_say_is_in_the_query() -> None:
    query = "?detThreshold=0.25&roi=&logId=other&image=@"
    response, sent = post(TEXT.encode(), {"Content-Type": "application/json"}, query)
    assert response.json()["logId"] == "mine"
    assert [(request.image, request.det_threshold) for request in sent] == [(JPEG, 0.25)]


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
    assert len(decompress(body, coding, SizeLimit(2_000_001, ""))) == 2_000_001
    # All bodies together have a limit, too.
    response, _ = post(body, headers, max_bodies_bytes=1_000_000)
    assert response.status_code == 413
    assert "(max_bodies_bytes)" in response.json()["errorMsg"]


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


@pytest.mark.parametrize("kind", ["multipart/mixed; boundary=x", "multipart/related", "video/mp4"])
def test_other_types_are_named(kind: str) -> None:
    response, _ = post(b"", {"Content-Type": kind})
    assert response.status_code == 415
    message = response.json()["errorMsg"]
    assert all(
        word in message for word in ("application/json", "image/jpeg", "multipart/form-data")
    )
