"""Progress of downloads, as lines or as a bar."""

import io

from terminal import Terminal
from tritonpose_server.models.fetch.progress_bar import StreamProgress


def test_a_download_has_two_lines_however_often_it_advances():
    out = io.StringIO()
    with StreamProgress(out).transfer("x") as advance:
        for done in (100_000, 200_000, 300_000):
            advance(done, None)
    first, second = out.getvalue().splitlines()
    assert first == "x: size unknown"
    assert second.startswith("x: done, 0.3 MB in 0.")


def test_a_bar_goes_back_when_a_download_starts_again():
    out = Terminal()
    with StreamProgress(out).transfer("x") as advance:
        for done, total in [(500, None), (100, 1000), (1000, 1000)]:
            advance(done, total)
    assert "1.00k/1.00k" in out.getvalue().split("\r")[-1]


def test_progress_is_a_bar_on_a_terminal():
    out = Terminal()
    with StreamProgress(out).transfer("model.tar") as advance:
        advance(20_000, 40_000)
        advance(40_000, 40_000)
    last = out.getvalue().split("\r")[-1]
    assert last.startswith("model.tar: 100%|")
    assert "40.0k/40.0k" in last
