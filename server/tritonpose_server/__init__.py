"""All that runs beside or inside Triton.

Programs that serve a pipeline themselves use three names:

    config = PipelineConfig.load("human_keypoint_detection")
    choice = choose_models(config, print)
    with EmbeddedServer(choice.models, choice.settings, ServerOptions()) as server:
        pipeline = create_pipeline("human_keypoint_detection", url=server.grpc_url)

Layers, each using only those before it: ``engines`` (inference engines), ``backends`` (Triton
backends around them), ``service`` (PaddleX's REST and HPS contracts, web page), ``supervision``
(keeps processes alive), ``embedded`` (launches Triton), ``models`` (fetch, convert, verify, store),
``local`` (the pipeline without Triton) and ``cli`` (commands).
"""

from importlib import import_module
from typing import TYPE_CHECKING

from tritonpose.usage_data import withhold_usage_data

if TYPE_CHECKING:
    from tritonpose_server.embedded.options import ServerOptions
    from tritonpose_server.embedded.server import EmbeddedServer
    from tritonpose_server.models.choice import choose_models

# Before anything imports an inference engine.
withhold_usage_data()

__all__ = ["EmbeddedServer", "ServerOptions", "choose_models"]

_HOMES = {
    "EmbeddedServer": "tritonpose_server.embedded.server",
    "ServerOptions": "tritonpose_server.embedded.options",
    "choose_models": "tritonpose_server.models.choice",
}


def __getattr__(name: str) -> object:
    """Import an exported name on first use (PEP 562): the backends load this package, too."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
