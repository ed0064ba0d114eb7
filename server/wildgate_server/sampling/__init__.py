"""Step 3 of the way a video goes: which frames to look at, and clips of them, made in worker processes."""
