"""Looking at sampled videos: clips are batched and sent to Triton, and what comes back is read as detections."""
