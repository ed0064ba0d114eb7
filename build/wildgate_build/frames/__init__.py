"""Frames of videos as the detector sees them in the server, for calibration and comparison."""
