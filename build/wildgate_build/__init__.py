"""Building detectors for wildgate: import, quantise, compile, check and publish."""
