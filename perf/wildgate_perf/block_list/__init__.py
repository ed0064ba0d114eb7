"""How fast a long list of blocks is searched, added to, loaded and followed, and what it takes."""
