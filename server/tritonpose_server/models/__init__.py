"""Turns models of PaddleX and open models into models that Triton serves for the pipeline.

In the order of the work: ``catalog`` is the table of known models; ``fetch`` brings PaddleX's
models, ``open_models`` the open ones. ``paddle`` exports a PaddleX model to ONNX in an environment
of its own, ``graph`` does the graph surgery, ``paddle.verification`` compares the result with its
source, and ``triton_config`` writes the Triton configuration. ``store`` keeps the models,
``choice`` finds what a pipeline's configuration means, and ``commands`` is what
``tritonpose models`` does. ``precision`` and ``tensorrt`` make variants and engines of them.
"""
