"""Compares models on a GPU with the CPU and measures them: ``scripts/gpu_check``."""

from __future__ import annotations

import argparse
import re
import statistics
import sys
import time
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import cv2
import numpy as np
import onnx
from polygraphy.backend.onnxrt import OnnxrtRunner, SessionFromOnnx
from polygraphy.backend.trt import EngineFromNetwork, TrtRunner
from polygraphy.logger import G_LOGGER
from tabulate import tabulate

from tritonpose.cli.console import FAILED, exit_status, print_error, print_status
from tritonpose_pipeline.image import check_file, decode_image
from tritonpose_pipeline.repository import CONFIG_FILE, read_config
from tritonpose_server.errors import EmbeddedServerError
from tritonpose_server.models.catalog import STAND_INS
from tritonpose_server.models.commands import default_store
from tritonpose_server.models.graph.engine_graph import engine_graph
from tritonpose_server.models.graph.onnx_graph import load_model, tensor_shape
from tritonpose_server.models.open_models.install import install_open_models
from tritonpose_server.models.paddle.verification_images import verification_images
from tritonpose_server.models.tensorrt import NO_GPU, network_and_config, use_gpu

# FP32 differs by the order of sums, FP16 has eleven bits; boxes are in network pixels.
TOLERANCES = {
    "fp32": {"heatmap": 1e-3, "scores": 1e-3, "boxes": 0.1},
    "fp16": {"heatmap": 0.02, "scores": 0.02, "boxes": 2.0},
}
HEADERS = ["model", "engine", "precision", "differs by", "agrees", "images/s"]
RUNS = 20

# What a photo stands for in the second table.
PEOPLE = 3
PHOTO = (480, 640)
PHOTO_HEADERS = ["engine", "precision", "photos/s", "with decoding on one core", "cores to feed it"]

Outputs = dict[str, np.ndarray[Any, Any]]


def make_runner(engine: str, graph: onnx.ModelProto, batch: int) -> Any:
    """Return polygraphy's runner of a graph on an engine: ``cpu``, ``cuda`` or ``tensorrt``."""
    if engine == "tensorrt":
        return TrtRunner(EngineFromNetwork(*network_and_config(graph, batch)))
    cuda = {"cudnn_conv_algo_search": "HEURISTIC", "use_tf32": "0"}
    provider = ("CPUExecutionProvider", {}) if engine == "cpu" else ("CUDAExecutionProvider", cuda)
    session = SessionFromOnnx(graph.SerializeToString(), providers=[provider])()
    if session.get_providers()[0] != provider[0]:
        raise EmbeddedServerError("ONNX Runtime took the CPU: its warnings above say why")
    return OnnxrtRunner(session)


def compare(expected: Outputs, found: Outputs, precision: str) -> tuple[str, bool]:
    """Return the largest differences of outputs as text, and whether all are within tolerance."""
    if "scores" in expected:
        # Only what may be a detection; written so that a score that is NaN counts, and fails.
        likely = ~((expected["scores"] < 0.3) & (found["scores"] < 0.3))
        expected, found = ({k: v[likely] for k, v in o.items()} for o in (expected, found))
    largest = {k: float(np.abs(found[k] - v).max(initial=0)) for k, v in expected.items()}
    text = ", ".join(f"{name} {value:.2g}" for name, value in largest.items())
    return text, all(value <= TOLERANCES[precision][name] for name, value in largest.items())


def check(name: str, engines: Sequence[str], batch: int) -> list[list[str]]:
    """Compare an installed model on engines with the CPU; return rows for `HEADERS`."""
    model = load_model(default_store().model_file(name))
    height, width = (int(size or 0) for size in tensor_shape(model.graph.input[0])[1:3])
    feed = {"image": np.resize(verification_images(height, width, 0), (batch, height, width, 3))}
    with make_runner("cpu", model, batch) as runner:
        expected = dict(runner.infer(feed))
    rows = []
    for engine in engines:
        for precision in ("fp32",) if engine == "cuda" else ("fp32", "fp16"):
            print_status(f"{name}: {engine}, {precision}")
            graph = model if engine == "cuda" else engine_graph(model, precision)  # type: ignore[arg-type]
            times = []
            try:
                with make_runner(engine, graph, batch) as runner:
                    text, agrees = compare(expected, dict(runner.infer(feed)), precision)
                    for _ in range(RUNS):
                        runner.infer(feed)
                        times.append(runner.last_inference_time())
            except Exception as error:  # engines raise anything, and the others are still to be run
                text, agrees, times = f"{type(error).__name__}: {error}", False, [float("inf")]
            rate = f"{batch / statistics.median(times):.0f}"
            rows.append([name, engine, precision, text, "yes" if agrees else "no", rate])
    return rows


def photo_rows(rows: Sequence[Sequence[str]], decoding_s: float) -> list[list[str]]:
    """Return what the models' rates make of photos with `PEOPLE`, for `PHOTO_HEADERS`.

    Both models share the device, one after the other. ``decoding_s`` is what a core needs for a
    photo.
    """
    found = []
    for engine, precision in dict.fromkeys((row[1], row[2]) for row in rows):
        seconds = {"detector": 0.0, "keypoint": 0.0}
        for name, *kind, _, agrees, rate in rows:
            if kind == [engine, precision] and agrees == "yes":
                role = read_config(default_store().path(name) / CONFIG_FILE).parameters["role"]
                seconds[role.string_value] = 1 / float(rate)
        if all(seconds.values()):
            photo_s = seconds["detector"] + PEOPLE * seconds["keypoint"]
            decoded = 1 / max(photo_s, decoding_s)
            cores = f"{decoding_s / photo_s:.1f}"
            found.append([engine, precision, f"{1 / photo_s:.0f}", f"{decoded:.0f}", cores])
    return found


def decoding_time() -> float:
    """Return the seconds that decoding a JPEG of `PHOTO` takes, the median of `RUNS`."""
    (photo, *_) = verification_images(*PHOTO, 0)
    encoded = cv2.imencode(".jpg", photo)[1].tobytes()
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        decode_image(check_file(encoded))
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0: all agree, 1: one does not or fails, 3: there is no GPU."""
    parser = argparse.ArgumentParser(prog="scripts/gpu_check", description=__doc__)
    parser.add_argument("models", nargs="*", default=list(STAND_INS.values()), metavar="NAME")
    parser.add_argument("--device", default="gpu", help="gpu:N, or cpu to try the check itself")
    parser.add_argument("--batch", type=int, default=8, metavar="N", help="(default: 8)")
    options = parser.parse_args(arguments)
    if not re.fullmatch(r"cpu|gpu(:\d+)?", options.device):
        parser.error(f"--device: {options.device!r} is not cpu, gpu or gpu:N")
    return exit_status(lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    # Standard output is for the table.
    G_LOGGER.module_severity = G_LOGGER.ERROR
    engines = ["cpu"]
    if options.device != "cpu":
        try:
            use_gpu(int(options.device.partition(":")[2] or 0))
        except EmbeddedServerError as error:
            print_error(str(error))
            return NO_GPU
        engines = ["cuda", "tensorrt"] if find_spec("tensorrt") else ["cuda"]
    install_open_models(options.models, default_store(), print_status)
    rows = [row for name in options.models for row in check(name, engines, options.batch)]
    print(tabulate(rows, HEADERS, tablefmt="github"))
    if photos := photo_rows(rows, decoding_time()):
        print(f"\nPhotos of {PHOTO[1]}x{PHOTO[0]} (JPEG) with {PEOPLE} people:\n")
        print(tabulate(photos, PHOTO_HEADERS, tablefmt="github"))
    return 0 if all(row[4] == "yes" for row in rows) else FAILED


if __name__ == "__main__":
    sys.exit(main())
