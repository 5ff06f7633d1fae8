"""What the Python-based backends share: serving a plain ONNX leaf, whatever runs it.

``config`` reads a leaf's Triton configuration, ``signature`` checks it against the model,
``cores`` divides the machine, ``engine`` says what an inference engine must offer, and
``backend`` is the Triton model class around one.
"""
