"""Turns models into leaves that Triton serves for the pipeline.

``inference_yml`` reads what a PaddleX model says of itself, ``onnx_graph`` and ``leaf_graph``
do the graph surgery, ``leaf_config`` writes the Triton configuration, ``open_models``,
``npm_package`` and ``tfjs`` bring the open models, and ``store`` keeps the results in the cache.
"""
