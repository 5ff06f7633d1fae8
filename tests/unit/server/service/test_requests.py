"""Reading requests: what PaddleX accepts is accepted, and what is wrong is named as it does."""

from __future__ import annotations

import base64
import json
import re
from http import HTTPStatus
from typing import Any

import pytest

from tritonpose_server.service.contract.failures import ServiceError
from tritonpose_server.service.contract.requests import (
    KeypointRequest,
    check_request,
    parse_json,
    read_image,
)

IMAGE = base64.b64encode(b"an image").decode()
CONTENT = bytes(range(256)) * 4
THRESHOLD = "body.detThreshold"
FIELDS = ("visualize", "detThreshold", "logId", "personBoxes", "roi", "fastDecode")
TEXT = base64.b64encode(CONTENT).decode()


def problems(error: ServiceError) -> list[tuple[str, str]]:
    """Type and place of each problem, which the message has as JSON."""
    assert error.status == HTTPStatus.UNPROCESSABLE_ENTITY
    listed = json.loads(error.message)
    assert all(set(each) == {"type", "loc", "msg"} and each["msg"] for each in listed)
    return [(each["type"], each["loc"]) for each in listed]


def test_what_a_request_says() -> None:
    document = {"image": IMAGE, "detThreshold": 0.25, "visualize": False, "logId": "mine", "new": 3}
    asked = check_request(document, visualize=True)
    assert asked == KeypointRequest(b"an image", 0.25, visualize=False, log_id="mine")


@pytest.mark.parametrize("default", [True, False])
@pytest.mark.parametrize("silence", [{}, dict.fromkeys(FIELDS)])
def test_what_it_does_not_say(silence: dict[str, None], default: bool) -> None:
    asked = check_request({"image": IMAGE, **silence}, visualize=default)
    assert asked == KeypointRequest(b"an image", None, visualize=default, log_id=None)


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("detThreshold", 0, 0.0),
        ("detThreshold", 1, 1.0),
        ("detThreshold", "0.5", 0.5),
        ("detThreshold", {"工人": 0.25, "1": "0.5"}, {"工人": 0.25, "1": 0.5}),
        ("detThreshold", {}, {}),
        # As in a query or a form.
        ("detThreshold", '{"a": 0.5}', {"a": 0.5}),
        ("fastDecode", "true", True),
        ("visualize", 0, False),
        ("visualize", "true", True),
        ("visualize", "no", False),
    ],
)
def test_spellings_that_paddlex_accepts(field: str, value: object, expected: object) -> None:
    asked = check_request({"image": IMAGE, field: value}, visualize=True)
    values = {
        "detThreshold": asked.det_threshold,
        "fastDecode": asked.fast_decode,
        "visualize": asked.visualize,
    }
    assert values[field] == expected


@pytest.mark.parametrize("boxes", [[], [[1, 2, 3, 4], [0.5, -6, 7, 8]], "[[1, 2, 3, 4]]"])
def test_people_and_regions(boxes: list | str) -> None:
    corners = [[0, 0], [9, 0], [9, 9]]
    asked = check_request({"image": IMAGE, "personBoxes": boxes, "roi": corners}, visualize=True)
    sent = asked.to_pipeline(b"fetched", "mine")
    expected = json.loads(boxes) if isinstance(boxes, str) else boxes
    assert sent.person_boxes.tolist() == expected
    assert sent.person_boxes.shape == (len(expected), 4)
    assert sent.roi.tolist() == corners
    assert (sent.image, sent.request_id) == (b"fetched", "mine")


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({}, [("missing", "body.image")]),
        ({"image": None}, [("string_type", "body.image")]),
        ({"image": [IMAGE]}, [("string_type", "body.image")]),
        ({"image": IMAGE, "detThreshold": "high"}, [("float_parsing", "body.detThreshold")]),
        ({"image": IMAGE, "detThreshold": []}, [("float_type", "body.detThreshold")]),
        *(
            ({"image": IMAGE, "detThreshold": by_class}, [("value_error", "body.detThreshold")])
            for by_class in ({"a": 2}, {"a": "high"}, {"a": None}, {"a": [0.5]}, {" ": 0.5})
        ),
        ({"image": IMAGE, "detThreshold": -0.1}, [("greater_than_equal", "body.detThreshold")]),
        ({"image": IMAGE, "detThreshold": 1.1}, [("less_than_equal", "body.detThreshold")]),
        *(
            ({"detThreshold": parse_json(n), "image": IMAGE}, [("finite_number", THRESHOLD)])
            for n in (b"NaN", b"Infinity", b"-Infinity", b"1e999")
        ),
        *(
            ({"image": IMAGE, "personBoxes": wrong}, [("value_error", "body.personBoxes")])
            for wrong in (
                *([[1, 2, 3]], [1, 2, 3, 4], "x", {}, 5, True, [[3, 2, 1, 4]], [["a", 2, 3, 4]]),
                *([[None, 2, 3, 4]], [[1, 2, 10**400, 4]], [[1, 2, 3, 4]] * 10_001),
            )
        ),
        *(
            ({"image": IMAGE, "roi": wrong}, [("value_error", "body.roi")])
            for wrong in ([], [[0, 0], [1, 1]], [[0, 0]] * 1001, [[0, 0], [1, 1], [2, 2]], "[[1]]")
        ),
        ({"image": IMAGE, "visualize": "perhaps"}, [("bool_parsing", "body.visualize")]),
        (
            {"image": 5, "visualize": 5},
            [("string_type", "body.image"), ("bool_parsing", "body.visualize")],
        ),
        ([], [("model_attributes_type", "body")]),
        ("image", [("model_attributes_type", "body")]),
        (None, [("model_attributes_type", "body")]),
    ],
)
def test_what_is_wrong_is_named(document: object, expected: list[tuple[str, str]]) -> None:
    with pytest.raises(ServiceError) as caught:
        check_request(document, visualize=True)
    assert problems(caught.value) == expected


@pytest.mark.parametrize(
    "body", [b"", b"{", b'{"image": }', b"{} {}", b"image", b"\xff\xfe", b"[" * 100_000]
)
def test_text_that_is_not_json(body: bytes) -> None:
    with pytest.raises(ServiceError, match="JSON decode error") as caught:
        parse_json(body)
    assert problems(caught.value) == [("json_invalid", "body")]


@pytest.mark.parametrize("wrong", [{}, {"image": "@"}, {"image": IMAGE, "detThreshold": 2}])
def test_errors_have_the_name_of_the_request(wrong: dict[str, Any]) -> None:
    with pytest.raises(ServiceError) as caught:
        check_request({**wrong, "logId": "mine"}, visualize=True)
    assert caught.value.log_id == "mine"


@pytest.mark.parametrize("log_id", [7, "", "two words", "a\nb", "é", "x" * 129, ["mine"]])
def test_names_that_could_spoil_a_log_are_ignored(log_id: object) -> None:
    assert check_request({"image": IMAGE, "logId": log_id}, visualize=True).log_id is None
    with pytest.raises(ServiceError) as caught:
        check_request({"logId": log_id}, visualize=True)
    assert caught.value.log_id is None
    assert problems(caught.value) == [("missing", "body.image")]


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
def test_images_in_all_forms_of_base64(text: str) -> None:
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
def test_what_is_wrong_with_an_image(text: str, words: str) -> None:
    with pytest.raises(ServiceError) as caught:
        read_image(text)
    assert problems(caught.value) == [("base64", "body.image")]
    (problem,) = json.loads(caught.value.message)
    assert re.search(words, problem["msg"])
    assert problem["msg"].endswith("send the bytes of an image file, base64-encoded")


@pytest.mark.parametrize("url", ["http://host/a.jpg", "https://host/a.jpg", "HTTP://169.254.1.1"])
def test_urls_are_left_to_others(url: str) -> None:
    assert read_image(url) == url
