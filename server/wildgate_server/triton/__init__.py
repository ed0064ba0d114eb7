"""Triton: asking it, starting and healing an embedded one, and the configs of its models."""
