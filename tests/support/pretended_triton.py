"""Answers requests as Triton would, over both protocols, with whatever outputs a test wants."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace

import grpc
import numpy as np
from tritonclient.grpc import service_pb2, service_pb2_grpc

from file_server import FileServer, Route, file_server
from poses import people

INFER = "/v2/models/human_keypoint_detection/infer"


@dataclass(frozen=True)
class Output:
    """An output tensor, of which nothing need fit together."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: bytes


def output(name: str, array: np.ndarray) -> Output:
    """Make an output as Triton would."""
    datatype = {"bool": "BOOL", "float32": "FP32"}[str(array.dtype)]
    return Output(name, datatype, array.shape, array.tobytes())


def text(name: str, content: bytes) -> Output:
    """Make an output of one text as Triton would."""
    return Output(name, "BYTES", (1,), len(content).to_bytes(4, "little") + content)


def answer(count: int = 2, **instead: Output | None) -> list[Output]:
    """Make the outputs of a right answer, with others instead of some, or none."""
    found = people(count)
    told = {name: value for name, value in vars(found).items() if value is not None}
    outputs = {name: output(name, np.asarray(value)) for name, value in told.items()}
    chosen = {**outputs, **instead}
    return [replace(value, name=name) for name, value in chosen.items() if value is not None]


@dataclass
class PretendedTriton:
    """Its URLs by scheme, and the HTTP server."""

    urls: Mapping[str, str]
    http: FileServer


@contextmanager
def pretended_triton(outputs: Sequence[Output]) -> Iterator[PretendedTriton]:
    """Answer every request with these outputs while the context is active."""
    server = grpc.server(ThreadPoolExecutor(4))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(_Grpc(outputs), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with file_server() as http:
            http.add(INFER, _route(outputs))
            yield PretendedTriton({"grpc": f"grpc://127.0.0.1:{port}", "http": http.address}, http)
    finally:
        server.stop(None).wait()


class _Grpc(service_pb2_grpc.GRPCInferenceServiceServicer):
    def __init__(self, outputs: Sequence[Output]) -> None:
        self._response = service_pb2.ModelInferResponse(
            outputs=[
                service_pb2.ModelInferResponse.InferOutputTensor(
                    name=item.name, datatype=item.datatype, shape=item.shape
                )
                for item in outputs
            ],
            raw_output_contents=[item.data for item in outputs],
        )

    def ModelInfer(self, *_: object) -> object:  # noqa: N802 - gRPC's name
        return self._response


def _route(outputs: Sequence[Output]) -> Route:
    header = {
        "outputs": [
            {
                "name": item.name,
                "datatype": item.datatype,
                "shape": item.shape,
                "parameters": {"binary_data_size": len(item.data)},
            }
            for item in outputs
        ]
    }
    encoded = json.dumps(header).encode()
    return Route(
        encoded + b"".join(item.data for item in outputs),
        headers={"Inference-Header-Content-Length": str(len(encoded))},
    )
