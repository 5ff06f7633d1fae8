"""Inference engines for plain ONNX models, for Triton's backends and for local use.

``engine`` reads a model's Triton configuration, says what an engine must offer and checks models
against their configuration; ``cores`` divides the machine; ``openvino`` and ``onnxruntime`` are the
engines.
"""
