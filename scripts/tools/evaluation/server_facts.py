"""The facts that a server reports about itself: its version and its defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import tritonclient.grpc
from tritonclient.utils import InferenceServerException

from tools.errors import ToolError
from tools.evaluation.variants import Variant
from tritonpose.transport.connection import Connection
from tritonpose.transport.messages import MODEL_NAME
from tritonpose.triton_http import CLIENT_HEADERS

_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True)
class ServerFacts:
    """Triton's version, and what its pipeline uses for requests that name nothing else."""

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


def ask_server(connection: Connection) -> ServerFacts:
    """Ask for a server's facts; of several servers, the first that answers is asked."""
    ask = _ask_grpc if connection.scheme in ("grpc", "grpcs") else _ask_http
    failures = []
    for address in connection.addresses:
        try:
            version, config = ask(address, connection)
        except (InferenceServerException, httpx.HTTPError, LookupError, ValueError) as error:
            message = error.message() if isinstance(error, InferenceServerException) else error
            url = connection.url_of(address)
            failures.append(f"{url} doesn't answer as a tritonpose server: {message}")
            continue
        parameters = {
            name: value["string_value"] for name, value in config.get("parameters", {}).items()
        }
        return ServerFacts(version, parse_defaults(parameters))
    raise ToolError("; ".join(failures))


def parse_defaults(parameters: Mapping[str, str]) -> Variant:
    """Read the defaults from the ``parameters`` of the pipeline's configuration."""
    use_udp = parameters.get("use_udp")
    return Variant(
        detector=parameters.get("detector"),
        keypoint_model=parameters.get("keypoint_model"),
        flip=parameters.get("flip", "false").lower() == "true",
        use_udp=None if use_udp is None else use_udp.lower() == "true",
    )


def _ask_grpc(address: str, connection: Connection) -> tuple[str, dict[str, Any]]:
    tls = connection.tls
    call: dict[str, Any] = {
        "as_json": True,
        "client_timeout": _TIMEOUT_SECONDS,
        "headers": dict(connection.headers),
    }
    with tritonclient.grpc.InferenceServerClient(
        address,
        ssl=tls is not None,
        root_certificates=tls and tls.ca_file,
        certificate_chain=tls and tls.cert_file,
        private_key=tls and tls.key_file,
    ) as client:
        server = client.get_server_metadata(**call)
        model = client.get_model_config(MODEL_NAME, **call)
    return str(server["version"]), model["config"]


def _ask_http(address: str, connection: Connection) -> tuple[str, dict[str, Any]]:
    with httpx.Client(
        base_url=connection.url_of(address),
        headers={**CLIENT_HEADERS, **connection.headers},
        timeout=_TIMEOUT_SECONDS,
        verify=connection.tls.context() if connection.tls else False,
        # As for requests: no proxy stands between client and server.
        trust_env=False,
    ) as client:
        answers = [client.get(path) for path in ("/v2", f"/v2/models/{MODEL_NAME}/config")]
    for answer in answers:
        if not answer.is_success:
            raise httpx.HTTPError(f"{answer.status_code} {' '.join(answer.text.split())[:200]}")
    server, model = (answer.json() for answer in answers)
    return str(server["version"]), model
