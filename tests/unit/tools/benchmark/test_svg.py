"""The chart of ratios."""

from __future__ import annotations

from xml.etree import ElementTree

from outcomes import outcome
from tools.benchmark.report.svg import Bar, Group, chart, draw
from tools.benchmark.results import Series

NAMESPACE = "{http://www.w3.org/2000/svg}"


def elements(document: str, name: str) -> list[dict[str, str]]:
    return [dict(element.attrib) for element in parse(document).iter(NAMESPACE + name)]


def texts(document: str) -> list[str]:
    return [element.text or "" for element in parse(document).iter(NAMESPACE + "text")]


def parse(document: str) -> ElementTree.Element:
    return ElementTree.fromstring(document)


def bars(document: str) -> list[tuple[float, float]]:
    """Left and right end of each bar; the first rectangle is the background."""
    return [
        (float(each["x"]), float(each["x"]) + float(each["width"]))
        for each in elements(document, "rect")[1:]
    ]


def test_headline_of_each_measurement() -> None:
    document = chart(outcome())
    assert "Latency & more: tritonpose, gRPC" in texts(document)
    assert "PaddleX, defaults" in texts(document)
    assert "10.0" in texts(document)
    assert "0.80" in texts(document)
    faster, slower = bars(document)
    # Both begin at 1, and go to different sides.
    assert faster[0] == slower[1]
    assert faster[1] > faster[0]
    assert slower[0] < slower[1]
    colours = [each["fill"] for each in elements(document, "rect")[1:]]
    assert colours[0] != colours[1]


def test_scale_is_logarithmic() -> None:
    ratios = [Series(value, (value, value)) for value in (2.0, 4.0, 8.0)]
    group = Group("group", tuple(Bar("bar", ratio, "rival") for ratio in ratios))
    lengths = [right - left for left, right in bars(draw([group]))]
    assert abs(lengths[1] - 2 * lengths[0]) < 0.5
    assert abs(lengths[2] - 3 * lengths[0]) < 0.5


def test_everything_lies_within_the_picture() -> None:
    extremes = [Series(0.001, (0.0001, 0.002)), Series(5000.0, (4000.0, 9000.0))]
    group = Group("group", tuple(Bar("bar", ratio, "rival") for ratio in extremes))
    document = draw([group, group])
    width, height = map(float, parse(document).attrib["viewBox"].split()[2:])
    for left, right in bars(document):
        assert 0 <= left <= right <= width
    for line in elements(document, "line"):
        assert 0 <= float(line["x1"]) <= width
        assert 0 <= float(line["x2"]) <= width
        assert 0 <= float(line["y2"]) <= height
    for text in elements(document, "text"):
        assert 0 < float(text["y"]) <= height


def test_nothing_to_draw() -> None:
    assert bars(draw([])) == []
