"""TensorFlow.js graph models re-emitted as ONNX, with numpy and onnx alone."""
