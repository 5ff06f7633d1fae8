"""Builds engines with TensorRT for RTX, which needs no GPU; what they are goes out as JSON.

Usage: ``python tensorrt_without_gpu.py MODEL.onnx PRECISION MAX_BATCH``
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

# Before polygraphy is imported: which TensorRT it uses.
os.environ["POLYGRAPHY_USE_TENSORRT_RTX"] = "1"

import tensorrt_rtx  # type: ignore[import-not-found]
from polygraphy.logger import G_LOGGER

from tritonpose_server.models.graph.engine_graph import engine_graph
from tritonpose_server.models.graph.onnx_graph import load_model, tensor_shape
from tritonpose_server.models.paddle.verification_images import verification_images
from tritonpose_server.models.tensorrt import network_and_config


def main(path: Path, precision: str, max_batch: int) -> None:
    """Parse and build a model as ``scripts/build_engines`` does, for GPUs of the kind SM 8.9."""
    # Standard output is for the answer.
    G_LOGGER.module_severity = G_LOGGER.CRITICAL
    model = load_model(path)
    height, width = (int(size or 0) for size in tensor_shape(model.graph.input[0])[1:3])
    images = list(verification_images(height, width, 0)) if precision == "int8" else []
    graph = engine_graph(model, precision, images)  # type: ignore[arg-type]
    load_network, configure = network_and_config(graph, max_batch)
    builder, network, _parser = load_network()
    config = configure(builder, network)
    config.num_compute_capabilities = 1
    config.set_compute_capability(tensorrt_rtx.ComputeCapability.SM89, 0)
    inputs = [network.get_input(index) for index in range(network.num_inputs)]
    outputs = [network.get_output(index) for index in range(network.num_outputs)]
    plan = builder.build_serialized_network(network, config)
    types = {
        str(tensorrt_rtx.nptype(layer.get_output(0).dtype).__name__)
        for layer in (network.get_layer(index) for index in range(network.num_layers))
        if layer.type == tensorrt_rtx.LayerType.CONVOLUTION
    }
    print(
        json.dumps(
            {
                "inputs": {t.name: [t.dtype.name, *t.shape] for t in inputs},
                "outputs": {t.name: [t.dtype.name, *t.shape] for t in outputs},
                "convolutions": sorted(types),
                "bytes": 0 if plan is None else len(bytes(plan)),
            }
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
