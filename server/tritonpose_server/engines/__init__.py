"""What the Python-based backends share: serving a plain ONNX model, whatever runs it.

``config`` reads a model's Triton configuration, ``signature`` checks it against the model,
``cores`` divides the machine, ``engine`` says what an inference engine must offer, and
``backend`` is the Triton model class around one.
"""
