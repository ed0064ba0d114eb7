"""What can be wrong with what capacity is planned from.

CapacityError
 ├─ BadProfile    the profile cannot be read, or lacks something that the demand needs
 ├─ BadDemand     a field of the demand is missing or out of range
 ├─ BadRun        the run to check against cannot be read, or has nothing to compare
 └─ NoFleet       no number of nodes meets the latency objective
"""

from __future__ import annotations

__all__ = ["BadDemand", "BadProfile", "BadRun", "CapacityError", "NoFleet"]


class CapacityError(Exception):
    """Expected: the text says what to change."""


class BadProfile(CapacityError):
    """The profile cannot be read, or lacks something that the demand needs; names file and field."""


class BadDemand(CapacityError):
    """A field of the demand is missing or out of range; names field and value."""


class BadRun(CapacityError):
    """The run to check against cannot be read, or has nothing to compare."""


class NoFleet(CapacityError):
    """No number of nodes meets the latency objective: even an idle node takes longer."""
