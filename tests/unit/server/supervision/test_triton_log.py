"""tritonserver's output in Python's logging."""

from __future__ import annotations

import io
import logging
import os
import threading

import pytest

from tritonpose_server.supervision.triton_log import LogForwarder

STAMP = "0102 03:04:05.678901 4242"


def forward(*lines: str | bytes) -> LogForwarder:
    raw = [line if isinstance(line, bytes) else line.encode() for line in lines]
    forwarder = LogForwarder(io.BytesIO(b"\n".join(raw) + b"\n"))
    forwarder.close()
    return forwarder


@pytest.fixture(autouse=True)
def everything_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "tritonpose.triton")


@pytest.mark.parametrize(
    ("line", "level", "message"),
    [
        (f"E{STAMP} model.cc:7] broken", logging.ERROR, "broken (model.cc:7)"),
        (f'E{STAMP} model.cc:7] "broken"', logging.ERROR, "broken (model.cc:7)"),
        (f"W{STAMP} model.cc:7] odd", logging.WARNING, "odd (model.cc:7)"),
        (f"I{STAMP} grpc_server.cc:25] up", logging.DEBUG, "up (grpc_server.cc:25)"),
        (f"V{STAMP} model.cc:7] chat", logging.DEBUG, "chat (model.cc:7)"),
        (f"I{STAMP} model.cc:7] ", logging.DEBUG, " (model.cc:7)"),
        (f"W{STAMP} memory.cc:1] Unable to allocate pinned memory", logging.DEBUG, None),
        (f"W{STAMP} metrics.cc:1] Cannot get CUDA device", logging.DEBUG, None),
        (
            f"E{STAMP} model.cc:7] /opt/nvidia/model.onnx is missing",
            logging.ERROR,
            "/opt/nvidia/model.onnx is missing (model.cc:7)",
        ),
        (f"E{STAMP} server.cc:1] CudaDriverHelper has not been initialized.", logging.DEBUG, None),
        ("Error: Failed to initialize NVML", logging.DEBUG, None),
        (f"W{STAMP} metrics.cc:1] DCGM unable to start", logging.DEBUG, None),
        ("Traceback (most recent call last):", logging.INFO, "Traceback (most recent call last):"),
        ("    raise ValueError", logging.INFO, "    raise ValueError"),
        ("+------+--------+", logging.DEBUG, "+------+--------+"),
        ("| model | READY  |", logging.DEBUG, "| model | READY  |"),
        ("100 %s of cuda", logging.INFO, "100 %s of cuda"),
        (b"caf\xe9", logging.INFO, "caf\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_levels(
    caplog: pytest.LogCaptureFixture, line: str | bytes, level: int, message: str | None
) -> None:
    forward(line)
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("tritonpose.triton", level)
    if message is not None:
        assert record.getMessage() == message


def test_empty_lines_are_dropped(caplog: pytest.LogCaptureFixture) -> None:
    assert forward("", "one", "   ", "two").tail() == "one\ntwo"
    assert [record.getMessage() for record in caplog.records] == ["one", "two"]


@pytest.mark.parametrize(
    ("lines", "tail"),
    [
        ([], ""),
        ([f"I{STAMP} a.cc:1] fine", "| t |"], f"I{STAMP} a.cc:1] fine\n| t |"),
        ([f"I{STAMP} a.cc:1] fine", f"E{STAMP} b.cc:2] bad", "| t |"], "bad"),
        ([f"W{STAMP} a.cc:1] odd", f"E{STAMP} b.cc:2] bad", "plain"], "bad\nplain"),
        ([f"W{STAMP} a.cc:1] no NVIDIA driver", f"E{STAMP} b.cc:2] bad"], "bad"),
        (
            [f"E{STAMP} a.cc:1] /opt/nvidia/model.onnx is missing"],
            "/opt/nvidia/model.onnx is missing",
        ),
    ],
)
def test_tail(lines: list[str], tail: str) -> None:
    assert forward(*lines).tail() == tail


@pytest.mark.parametrize("prefix", ["", f"I{STAMP} a.cc:1] "])
def test_tail_is_short(prefix: str) -> None:
    lines = forward(*(f"{prefix}line {i}" for i in range(100))).tail().splitlines()
    assert lines == [f"{prefix}line {i}" for i in range(80, 100)]


def test_lines_are_forwarded_as_they_come(caplog: pytest.LogCaptureFixture) -> None:
    reader, writer = os.pipe()
    logged = threading.Event()
    handler = logging.Handler()
    handler.emit = lambda _record: logged.set()  # type: ignore[method-assign]
    logging.getLogger("tritonpose.triton").addHandler(handler)
    forwarder = LogForwarder(os.fdopen(reader, "rb", buffering=0))
    try:
        os.write(writer, b"first\n")
        assert logged.wait(10)
    finally:
        logging.getLogger("tritonpose.triton").removeHandler(handler)
        os.close(writer)
    forwarder.close()
    assert [record.getMessage() for record in caplog.records] == ["first"]
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(reader)
