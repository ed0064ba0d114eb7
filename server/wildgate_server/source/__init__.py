"""Where the bytes of a video lie, and how they are read: content, local files, objects asked for by range."""
