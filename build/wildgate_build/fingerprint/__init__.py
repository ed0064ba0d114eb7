"""The graph of `frame_fingerprint`, generated."""
