"""Do two detectors see the same: a candidate against its reference, on the same frames."""
