"""Versions of the detector: which one serves, which is on trial, and how that changes while the server runs."""
