"""Which frames to look at, and clips of them, made in worker processes."""
