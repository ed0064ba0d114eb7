"""The families of detectors: one file each, with the layout of its outputs as its project documents it."""
