"""What a server says about itself: its version and its defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException

from tools.evaluation.errors import EvaluationError
from tools.evaluation.variant import Variant
from tritonpose.transport.messages import MODEL_NAME

_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True)
class ServerFacts:
    """A server.

    Attributes:
        version: Triton's version.
        defaults: What the pipeline uses for requests that name nothing else.
    """

    version: str
    defaults: Variant

    def resolve(self, variant: Variant) -> Variant:
        """Put the server's defaults where a variant leaves a choice to it."""
        return Variant(
            detector=variant.detector or self.defaults.detector,
            keypoint_model=variant.keypoint_model or self.defaults.keypoint_model,
            flip=self.defaults.flip if variant.flip is None else variant.flip,
            use_udp=self.defaults.use_udp if variant.use_udp is None else variant.use_udp,
        )


def ask_server(url: str) -> ServerFacts:
    """Ask a server about itself.

    Args:
        url: ``grpc://host:port`` or ``http://host:port``, checked before.

    Raises:
        EvaluationError: It doesn't answer, or lacks the pipeline.
    """
    parts = urlsplit(url)
    ask = _ask_grpc if parts.scheme == "grpc" else _ask_http
    try:
        version, config = ask(parts.netloc)
    except (InferenceServerException, OSError) as error:
        reason = error.message() if isinstance(error, InferenceServerException) else str(error)
        raise EvaluationError(f"{url} doesn't answer as a tritonpose server: {reason}") from error
    parameters = {
        name: value["string_value"] for name, value in config.get("parameters", {}).items()
    }
    return ServerFacts(version, parse_defaults(parameters))


def parse_defaults(parameters: Mapping[str, str]) -> Variant:
    """The defaults in the ``parameters`` of the pipeline's configuration."""
    use_udp = parameters.get("use_udp")
    return Variant(
        detector=parameters.get("detector"),
        keypoint_model=parameters.get("keypoint_model"),
        flip=parameters.get("flip", "false").lower() == "true",
        use_udp=None if use_udp is None else use_udp.lower() == "true",
    )


def _ask_grpc(address: str) -> tuple[str, dict[str, Any]]:
    with tritonclient.grpc.InferenceServerClient(address) as client:
        server = client.get_server_metadata(as_json=True, client_timeout=_TIMEOUT_SECONDS)
        model = client.get_model_config(MODEL_NAME, as_json=True, client_timeout=_TIMEOUT_SECONDS)
    return str(server["version"]), model["config"]


def _ask_http(address: str) -> tuple[str, dict[str, Any]]:
    with tritonclient.http.InferenceServerClient(
        address, connection_timeout=_TIMEOUT_SECONDS, network_timeout=_TIMEOUT_SECONDS
    ) as client:
        server = client.get_server_metadata()
        model = client.get_model_config(MODEL_NAME)
    return str(server["version"]), model
