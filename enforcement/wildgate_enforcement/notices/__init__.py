"""Notices: what a platform is told of a decision, signed so that it can tell ours from anybody's."""
