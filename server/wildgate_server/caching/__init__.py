"""Step 2 of the way a video goes: verdicts kept, and equal videos in flight scored once."""
