"""The gateway: a video in, a verdict out."""
