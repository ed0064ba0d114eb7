"""The working group's desk in a browser: a face of the case service, in the same process, over the same rules."""
