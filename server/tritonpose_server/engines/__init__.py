"""Inference engines for plain ONNX models, for Triton's backends and for local use.

``config`` reads a model's Triton configuration, ``engine`` says what an engine must offer and
checks models against their configuration, ``cores`` divides the machine; ``openvino`` and
``onnxruntime`` are the engines.
"""
