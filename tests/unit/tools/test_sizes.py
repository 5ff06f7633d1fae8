"""The table of installed sizes."""

from __future__ import annotations

import pytest

from tools.sizes import installed_by, main


def test_what_an_extra_brings() -> None:
    client, batch = installed_by([]), installed_by(["batch"])
    assert {"numpy", "grpcio", "pillow", "tritonpose"} <= set(client.sizes)
    assert not {"gevent", "openvino", "pytest", "ray"} & set(client.sizes)
    assert set(client.sizes) < set(batch.sizes)
    # Of ray[data], not of ray.
    assert {"ray", "pyarrow", "pandas"} <= set(batch.sizes)
    assert client.missing == frozenset()
    assert client.sizes["numpy"] > 20e6


def test_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = {line.split("|")[1].strip(): line for line in lines}
    assert {"(client)", "batch", "models", "server", "service"} <= set(rows)
    assert "dev" not in rows
    assert "numpy" in rows["(client)"]
