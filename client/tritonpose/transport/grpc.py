"""gRPC: one channel, shared by all threads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from tritonpose.errors import (
    DeadlineExceededError,
    InvalidRequestError,
    ModelNotFoundError,
    ServerError,
    ServerUnavailableError,
    TritonPoseError,
)
from tritonpose.transport.failures import failure
from tritonpose.transport.messages import MODEL_NAME, PoseRequest, PoseResponse

if TYPE_CHECKING:
    from collections.abc import Mapping

_KINDS: Mapping[str | None, type[TritonPoseError]] = {
    "StatusCode.INVALID_ARGUMENT": InvalidRequestError,
    "StatusCode.NOT_FOUND": ModelNotFoundError,
    "StatusCode.UNAVAILABLE": ServerUnavailableError,
    "StatusCode.DEADLINE_EXCEEDED": DeadlineExceededError,
}

_CHANNEL_ARGUMENTS = [
    # A decoded 8K frame is 100 MB; gRPC's own limit is 4 MB.
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # gRPC waits up to two minutes before it tries a lost server again.
    ("grpc.max_reconnect_backoff_ms", 2000),
    # As over HTTP, $http_proxy doesn't stand between us and localhost.
    ("grpc.enable_http_proxy", 0),
]


class GrpcTransport:
    """A `tritonpose.transport.Transport` over gRPC.

    Args:
        address: ``host:port``.
        timeout: Seconds that each request may take.
    """

    def __init__(self, address: str, timeout: float) -> None:
        self._url = f"grpc://{address}"
        self._timeout = timeout
        self._client = triton.InferenceServerClient(address, channel_args=_CHANNEL_ARGUMENTS)

    def infer(self, request: PoseRequest) -> PoseResponse:
        """Sends one request; see `Transport.infer`."""
        inputs = []
        for name, datatype, array in request.tensors():
            tensor = triton.InferInput(name, list(array.shape), datatype)
            tensor.set_data_from_numpy(array)
            inputs.append(tensor)
        try:
            result = self._client.infer(
                MODEL_NAME,
                inputs,
                parameters=request.parameters(),
                client_timeout=self._timeout,
            )
        except InferenceServerException as error:
            kind = _KINDS.get(error.status(), ServerError)
            raise failure(kind, self._url, error.message()) from error
        return PoseResponse.from_outputs(result.as_numpy)

    def close(self) -> None:
        """Closes the channel."""
        self._client.close()
