"""TLS and credentials, through gateways that ask for both, to the real server."""

from __future__ import annotations

import json
import traceback
from pathlib import Path

import numpy as np
import pytest

from certificates import Certificates, make_certificates
from command_line import run
from gateways import gateway
from tritonpose import AccessDeniedError, KeypointResult, ServerUnavailableError
from tritonpose_server.embedded.server import EmbeddedServer
from twins import EVERY_CLIENT, predict_all, url_of

API_KEY = "k3y-0f-the-t3st"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"), "localhost")


@EVERY_CLIENT
def test_encrypted_with_certificates_and_a_key(
    scheme: str, asynchronous: bool, server: EmbeddedServer, photo: Path, certificates: Certificates
) -> None:
    upstream = url_of(server, scheme)
    trust: dict[str, object] = {"ca_file": certificates.ca, "api_key": API_KEY}
    identity = {"cert_file": certificates.client_cert, "key_file": certificates.client_key}
    everything = {**trust, **identity}
    (plain,) = predict_all(False, photo, url=upstream)
    with gateway(upstream, api_key=API_KEY, certificates=certificates) as door:

        def ask(host: str = "localhost", **options: object) -> KeypointResult:
            url = f"{scheme}s://{host}:{door.port}"
            return predict_all(asynchronous, photo, url=url, timeout=20, retries=1, **options)[0]

        def refused(kind: type[Exception], **options: object) -> str:
            with pytest.raises(kind) as caught:
                ask(**options)
            return "".join(traceback.format_exception(caught.value))

        result = ask(headers={"X-Team": "pose"}, **everything)
        for key in ("coordinate", "keypoints"):
            np.testing.assert_array_equal(
                [box[key] for box in result["boxes"]], [box[key] for box in plain["boxes"]]
            )
        assert len(result["boxes"]) == 2
        assert door.seen[-1]["authorization"] == f"Bearer {API_KEY}"
        assert door.seen[-1]["x-team"] == "pose"

        seen = len(door.seen)
        unknown_authority = refused(ServerUnavailableError, **identity, api_key=API_KEY)
        other_host = refused(ServerUnavailableError, host="127.0.0.1", **everything)
        no_client = refused(ServerUnavailableError, **trust)
        # Nothing of the request left the client before both sides had proved who they are.
        assert len(door.seen) == seen
        for text in (unknown_authority, other_host, no_client):
            assert "ca_file=" in text
            assert API_KEY not in text
        denied = refused(AccessDeniedError, **{**everything, "api_key": "other-k3y"})
        assert "no valid key" in denied
        assert "other-k3y" not in denied


@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_command_line_with_certificates_and_a_key(
    scheme: str, server: EmbeddedServer, photo: Path, certificates: Certificates, tmp_path: Path
) -> None:
    with gateway(url_of(server, scheme), api_key=API_KEY, certificates=certificates) as door:
        arguments = [
            *("predict", str(photo), "--json", "--url", f"{scheme}s://localhost:{door.port}"),
            *("--ca_file", str(certificates.ca), "--cert_file", str(certificates.client_cert)),
            *("--key_file", str(certificates.client_key)),
        ]
        done = run(tmp_path, *arguments, TRITONPOSE_API_KEY=API_KEY)
        assert done.returncode == 0, done.stderr
        assert len(json.loads(done.stdout)["boxes"]) == 2
        denied = run(tmp_path, *arguments, "--api_key", "other-k3y", TRITONPOSE_API_KEY=API_KEY)
        assert denied.returncode == 1
        assert "no valid key" in denied.stderr
        assert "other-k3y" not in denied.stderr
