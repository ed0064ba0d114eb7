"""The model repository as files: shapes, releases, rollouts, rendered configs, and which engines fit which machine."""
