"""Comparing a candidate detector with its reference on the same frames."""
