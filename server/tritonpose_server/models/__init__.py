"""Turns models into models that Triton serves for the pipeline.

In the order of the work: ``catalog``, ``sources``, ``download``, ``archive`` and ``lock`` bring
PaddleX's models, ``npm_package``, ``open_models`` and ``tfjs`` the open ones. ``inference_yml``
reads what a PaddleX model says of itself, and ``paddle_export`` makes ONNX of it in an environment
of its own. ``model_graph`` does the graph surgery, ``verification`` compares the result with its
source, and ``model_config`` writes the Triton configuration. ``store`` keeps the models,
``paddle_model`` and ``open_leaf`` put one together, ``manage`` is what ``tritonpose models`` does.
"""
