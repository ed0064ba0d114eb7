"""What can be wrong when a version is published or put to work; nothing has been changed when one is raised.

PublishError
 ├─ RepositoryBroken     the repository itself cannot be read, or its rollout or a release breaks a rule
 ├─ RepositoryBusy       another command writes it
 ├─ WriteFailed          it cannot be written: full, read-only
 ├─ ShapesDiffer         the detector has other shapes than the repository's models
 ├─ LabelsUnknown        the policy has no rule for a label
 ├─ NotReleasable        the detector's own name, labels or figures cannot be a release
 ├─ VersionTaken         there is such a version already
 ├─ VersionUnknown       there is no such version
 └─ StepRefused          the rollout cannot take this step
"""

from wildgate_build.failures import BuildError

__all__ = [
    "LabelsUnknown",
    "NotReleasable",
    "PublishError",
    "RepositoryBroken",
    "RepositoryBusy",
    "ShapesDiffer",
    "StepRefused",
    "VersionTaken",
    "VersionUnknown",
    "WriteFailed",
]


class PublishError(BuildError):
    """Base of what is refused here; the text names what was wrong."""


class RepositoryBroken(PublishError):
    """The model repository cannot be read, or a file of it breaks a rule."""


class RepositoryBusy(PublishError):
    """Another command writes the repository."""


class WriteFailed(PublishError):
    """The repository cannot be written."""


class ShapesDiffer(PublishError):
    """The detector's F, S or K is not the repository's."""


class LabelsUnknown(PublishError):
    """The policy has no rule for what the detector may report."""


class NotReleasable(PublishError):
    """What the detector says of itself, or a report says of it, cannot be written into a release."""


class VersionTaken(PublishError):
    """The version was published before."""


class VersionUnknown(PublishError):
    """No such version was published."""


class StepRefused(PublishError):
    """The rollout is not in a state from which this step leads anywhere."""
