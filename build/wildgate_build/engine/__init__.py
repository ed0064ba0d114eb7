"""Engines: a standard detector file compiled with TensorRT or TensorRT-RTX, its key beside it, and how to run it."""
