"""The field ``image``: base64 in the forms that clients send, and clear words for all else."""

from __future__ import annotations

import base64
import json
import re
from http import HTTPStatus

import pytest

from tritonpose_server.service.contract.failures import ServiceError
from tritonpose_server.service.contract.requests import read_image

CONTENT = bytes(range(256)) * 4
TEXT = base64.b64encode(CONTENT).decode()


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        f"data:image/png;base64,{TEXT}",
        f"DATA:;BASE64,{TEXT}",
        f"data:image/jpeg;name=a.jpg;base64,{TEXT}",
        base64.encodebytes(CONTENT).decode(),
        base64.encodebytes(CONTENT).decode().replace("\n", "\r\n"),
        f" {TEXT}\t",
    ],
    ids=["plain", "data URI", "upper case", "parameters", "lines", "CRLF", "blanks around"],
)
def test_accepted(text: str) -> None:
    assert read_image(text) == CONTENT


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        (" \n", "is empty"),
        ("data:image/png;base64,", "is empty"),
        ("data:image/png,abcd", "without `;base64`"),
        ("photo.jpg", r"character '\.' at position 5"),
        ("file:///etc/passwd", "character ':' at position 4"),
        ("aaaa\u00e4", "character 'ä' at position 4"),
        ("aaaa\0aaa", r"character '\\x00' at position 4"),
        ("ab-_", "character '-' at position 2; use the standard alphabet"),
        ("aa==aaaa", "padding `=` inside the text, at position 2"),
        ("aaaaa", "its 5 characters are not a whole number of padded groups"),
        ("aaa", "truncated or lacks padding"),
        ("aaaa=", "truncated or lacks padding"),
        (TEXT[:-1], "truncated or lacks padding"),
    ],
)
def test_what_is_wrong_with_it(text: str, words: str) -> None:
    with pytest.raises(ServiceError) as caught:
        read_image(text)
    assert caught.value.status == HTTPStatus.UNPROCESSABLE_ENTITY
    (problem,) = json.loads(caught.value.message)
    assert (problem["type"], problem["loc"]) == ("base64", "body.image")
    assert re.search(words, problem["msg"])
    assert problem["msg"].endswith("send the bytes of an image file, base64-encoded")


@pytest.mark.parametrize("url", ["http://host/a.jpg", "https://host/a.jpg", "HTTP://169.254.1.1"])
def test_urls_are_left_to_others(url: str) -> None:
    assert read_image(url) == url
