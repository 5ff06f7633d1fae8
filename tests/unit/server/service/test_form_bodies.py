"""What a form may be: with a file, a field or a URL, and its options."""

from __future__ import annotations

import base64

import httpx
import pytest

from posted_bodies import JPEG, post, problems
from tritonpose_server.service.contract.requests import KeypointRequest
from tritonpose_server.service.rest.bodies import BodyKind, read_body

FILE = 'name="image"; filename="a.jpg"\r\nContent-Type: image/jpeg'
BOUNDARY = "-----a boundary?"


def form(*parts: tuple[str, bytes], boundary: str = "x") -> tuple[bytes, dict[str, str]]:
    """A form of parts, each some headers and content, and the headers of the request."""
    lines = b"".join(
        b"--%b\r\nContent-Disposition: form-data; %b\r\n\r\n%b\r\n"
        % (boundary.encode(), head.encode(), content)
        for head, content in parts
    )
    kind = f'multipart/form-data; boundary="{boundary}"'
    return lines + b"--%b--\r\n" % boundary.encode(), {"Content-Type": kind}


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


def test_a_form_of_many_parts() -> None:
    response, _ = post(*form(*[("name=a", b"")] * 17))
    assert response.status_code == 413
    assert "more than the 16 parts" in response.json()["errorMsg"]
