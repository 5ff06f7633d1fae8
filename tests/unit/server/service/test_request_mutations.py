"""Bodies that nobody thought of: each is understood or refused in the usual form."""

from __future__ import annotations

import base64
import json
from http import HTTPStatus
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tritonpose_server.service.contract.answers import error_body
from tritonpose_server.service.contract.failures import ServiceError
from tritonpose_server.service.contract.requests import KeypointRequest, check_request, parse_json
from tritonpose_server.service.contract.schema import choose_log_id

IMAGE = base64.b64encode(b"\xff\xd8\xff an image").decode()
VALID = {"image": IMAGE, "detThreshold": 0.5, "visualize": False, "logId": "mine"}
NAMES = (
    st.sampled_from(["image", "detThreshold", "personBoxes", "roi", "visualize", "logId", "file"])
    | st.text()
)

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([IMAGE])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=8,
)
IMAGES = (
    st.text(alphabet="ABCDabcd0189+/=-_ \n:,;%.", max_size=40)
    | st.binary(max_size=30).map(lambda data: base64.b64encode(data).decode())
    | st.builds(
        "{}{}".format, st.sampled_from(["data:", "http://", "HTTPS://", "file:"]), st.text()
    )
)

QUICK = settings(max_examples=150)


def read(body: bytes) -> KeypointRequest | None:
    """Reads a body; None where it was refused as it should be."""
    try:
        return check_request(parse_json(body), visualize=True)
    except ServiceError as error:
        refusal = error
    assert refusal.status == HTTPStatus.UNPROCESSABLE_ENTITY
    answer = json.loads(error_body(refusal, choose_log_id(refusal.log_id)))
    problems = json.loads(answer["errorMsg"])
    assert problems
    assert all(set(each) == {"type", "loc", "msg"} for each in problems)
    assert all(each["loc"].startswith("body") for each in problems)
    return None


def check(asked: KeypointRequest | None) -> None:
    if asked is None:
        return
    if isinstance(asked.image, str):
        assert asked.image.lower().startswith(("http://", "https://"))
    else:
        assert asked.image
    chosen = asked.det_threshold
    by_class = chosen if isinstance(chosen, dict) else {} if chosen is None else {"all": chosen}
    assert all(0 <= each <= 1 for each in by_class.values())
    assert isinstance(asked.visualize, bool)
    assert asked.log_id is None or (asked.log_id.isascii() and asked.log_id.isprintable())


@QUICK
@given(st.dictionaries(NAMES, VALUES, max_size=4), st.sets(st.sampled_from(sorted(VALID))))
def test_fields_of_any_kind(changes: dict[str, Any], missing: set[str]) -> None:
    document = {key: value for key, value in VALID.items() if key not in missing} | changes
    check(read(json.dumps(document).encode("utf-8", "surrogatepass")))


@QUICK
@given(VALUES)
def test_documents_of_any_kind(document: object) -> None:
    check(read(json.dumps(document).encode("utf-8", "surrogatepass")))


@QUICK
@given(IMAGES)
def test_images_of_any_kind(image: str) -> None:
    check(read(json.dumps({**VALID, "image": image}).encode("utf-8", "surrogatepass")))


@QUICK
@given(st.data())
def test_damaged_text(data: st.DataObject) -> None:
    body = bytearray(json.dumps(VALID).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(body)))
        end = data.draw(st.integers(start, min(start + 8, len(body))))
        body[start:end] = data.draw(st.binary(max_size=8))
    check(read(bytes(body)))


@QUICK
@given(st.integers(1, 400), st.sampled_from(["[", '{"image":', '[{"a":']))
def test_depths(depth: int, opening: str) -> None:
    closing = "".join("]" if c == "[" else "}" for c in reversed(opening) if c in "[{")
    check(read((opening * depth + "0" + closing * depth).encode()))
    check(read((opening * depth).encode()))
