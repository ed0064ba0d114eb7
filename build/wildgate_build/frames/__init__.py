"""Frames of videos as the detector sees them in the server, to calibrate and to compare with."""
