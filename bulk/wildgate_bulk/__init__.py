"""Scores archives: a manifest of URIs in, Parquet out, on Ray Data."""
