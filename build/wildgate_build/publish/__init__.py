"""Publishing: a detector becomes a version of the model repository, is tried, promoted, and taken back."""
