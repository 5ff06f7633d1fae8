"""What containers accept fits into their memory, and is no less than what the pipeline accepts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from helm import CHART, render
from tritonpose_pipeline.limits import MAX_PIXELS
from tritonpose_server.service.rest.settings import RestSettings

DOCKER = CHART.parents[1]

# What REST has without any request.
BASE_BYTES = 150_000_000


def of_compose(_: Path) -> tuple[list[str], str]:
    """Arguments of REST, and its memory."""
    rest = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]["rest"]
    return [str(each) for each in rest["command"]], rest["mem_limit"]


def of_chart(helm: Path) -> tuple[list[str], str]:
    manifests: list[dict[str, Any]] = render(helm, "--set=rest.extraArgs={--log_format=json}")
    (pod,) = (
        each["spec"]["template"]["spec"]
        for each in manifests
        if (each["kind"], each["metadata"]["name"]) == ("Deployment", "pose-rest")
    )
    (container,) = pod["containers"]
    return container["args"], container["resources"]["limits"]["memory"]


@pytest.mark.parametrize("deployed", [of_compose, of_chart])
def test_bodies_fit_into_the_memory_of_rest(helm: Path, deployed: Any) -> None:
    arguments, memory = deployed(helm)
    (limit,) = re.findall(r"\bmax_bodies_bytes=(\d+)", " ".join(arguments))
    (mebibytes,) = re.findall(r"^(\d+)(?:m|Mi)$", memory)
    # Up to three times their size while they are read: docs/run/server.md.
    assert 3 * int(limit) + BASE_BYTES < int(mebibytes) << 20
    # A batch in JSON counts twice.
    assert int(limit) >= 2 * RestSettings("grpc://triton:8001").max_batch_bytes


def test_triton_accepts_the_largest_frame_over_http() -> None:
    files = ("Dockerfile", "helm/tritonpose/values.yaml", "kserve/serving-runtime.yaml")
    texts = [(DOCKER / name).read_text() for name in files]
    limits = [re.findall(r"--http-max-input-size=(\d+)", text) for text in texts]
    (limit,) = {int(each) for found in limits for each in found}
    assert [len(found) for found in limits] == [1, 1, 1]
    # With room for the other inputs.
    assert limit > MAX_PIXELS * 3 + 1_000_000
