"""wildgate measured: against the machine's own limit, against what a team would use instead, and over load."""
