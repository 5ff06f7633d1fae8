"""Tries models on a GPU: ``scripts/gpu_check``.

``engines`` lists what can compute a model here (ONNX Runtime, PyTorch, TensorRT; OpenVINO on the
CPU), ``torch_graph`` and ``tensorrt_engine`` are two of them, ``compare`` tells how far results are
from those of ONNX Runtime on the CPU, ``measure`` how fast they come, ``report`` writes both down.
Needs no more than numpy, onnx, onnxruntime, OpenCV and what the engines themselves are.
"""
