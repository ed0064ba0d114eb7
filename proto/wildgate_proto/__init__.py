"""The generated messages and stubs of wildgate's API."""
