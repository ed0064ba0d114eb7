"""What locust leaves behind of a run: everything that figures, judgement and pictures are made of, as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wildgate_perf.locust_load.tally import Tally
from wildgate_perf.results import read, write

__all__ = ["AT_EASE", "NAME", "SUMMARY", "BadRecord", "RunRecord", "Users", "read_record", "write_record"]

NAME = "run.json"
SUMMARY = "summary"
"""What the pages about a run are called, without their endings; here, so that who only reads them draws nothing."""

AT_EASE = "whole run"
"""The phase of a run without a load shape."""


class BadRecord(Exception):
    """The file is no record of a run; the text names it."""


@dataclass(frozen=True)
class Users:
    """How many users there were from `second` (since the epoch) on, and in which phase of the run."""

    second: float
    count: int
    phase: str


@dataclass(frozen=True)
class RunRecord:
    """One run. `users` by time; it ended at `ended` (seconds since the epoch).

    `mix` has the weights of user kinds, `rate_per_user` the videos a second that each user asks for as long as the
    answers come quickly enough, 0 for users who ask again as soon as they have an answer.
    """

    shape: str
    mix: Mapping[str, int]
    kinds: tuple[str, ...]
    rate_per_user: float
    processes: int
    machine: Mapping[str, Any]
    users: tuple[Users, ...]
    ended: float
    tally: Tally

    @property
    def began(self) -> float:
        """Seconds since the epoch."""
        return self.users[0].second if self.users else self.ended

    def phase_at(self, second: float) -> str | None:
        """The phase of that moment; None after the end."""
        if second >= self.ended:
            return None
        phase = None
        for users in self.users:
            if phase is not None and users.second > second:
                break
            phase = users.phase
        return phase


def write_record(file: Path, record: RunRecord) -> None:
    """Writes the record, whole or not at all."""
    content = {
        "shape": record.shape,
        "mix": dict(record.mix),
        "kinds": list(record.kinds),
        "rate_per_user": record.rate_per_user,
        "processes": record.processes,
        "machine": dict(record.machine),
        "ended": record.ended,
        "users": [[users.second, users.count, users.phase] for users in record.users],
        "tally": record.tally.as_json(),
    }
    write(file, content)


def read_record(file: Path) -> RunRecord:
    """The record in `file`; raises `BadRecord`."""
    try:
        content = read(file)
        return RunRecord(
            shape=str(content["shape"]),
            mix={str(kind): int(weight) for kind, weight in content["mix"].items()},
            kinds=tuple(str(kind) for kind in content["kinds"]),
            rate_per_user=float(content["rate_per_user"]),
            processes=int(content["processes"]),
            machine=content["machine"],
            users=tuple(Users(float(second), int(count), str(phase)) for second, count, phase in content["users"]),
            ended=float(content["ended"]),
            tally=Tally.from_json(content["tally"]),
        )
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as cause:
        raise BadRecord(f"{file}: no record of a run: {type(cause).__name__}: {cause}") from cause
