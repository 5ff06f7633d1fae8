"""Lines of the log that name a request."""

from tritonpose_pipeline.triton import format_log_line


def test_a_line() -> None:
    line = format_log_line("a-1", "failed", 0.25, "no image")
    assert line == "request_id=a-1 failed after 0.250 s: no image"
    assert format_log_line("", "slow", 3.0) == "request_id=- slow after 3.000 s"


def test_an_id_can_not_forge_lines() -> None:
    written = format_log_line("a\nE1122 00:00 forged\x1b[2J", "failed", 0, "b\r\nc")
    assert written.isprintable()
    assert written.count("request_id=") == 1
    assert len(format_log_line("x" * 10_000, "failed", 0)) < 200
