"""Media containers and coded streams: indexes read, packets copied, headers understood. Nothing decodes."""
