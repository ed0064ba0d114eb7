"""REVIEW and BLOCK go on to people: a case is opened with the enforcement service, or kept on disk until it can be."""
