"""Building wildgate's detector: the standard ONNX graph and the reference detector's recipe."""
