"""What keeps a blocked video blocked: fingerprints of its frames, and the list of blocks that they are looked up in."""
