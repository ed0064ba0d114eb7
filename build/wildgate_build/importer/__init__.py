"""`wildgate-build import`: from a detector's ONNX file, as its project exports it, to a standard detector file."""
