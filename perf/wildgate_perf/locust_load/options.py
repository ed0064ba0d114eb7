"""What a run can be told: the options that `locustfile` adds to locust's own, and what they come to.

Locust sends its options to its workers as they are parsed, so they stay plain text and numbers there.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from wildgate_perf.locust_load.kinds import CONTENT, REPEATED, STREAM, URI, USER_KINDS, request_kinds
from wildgate_perf.locust_load.load_shapes import SHAPES, ShapeOptions
from wildgate_perf.locust_load.objectives import DEFAULT_FILE

__all__ = ["DEFAULTS", "NO_SHAPE", "LoadOptions", "add_options", "load_options", "mix_of"]

_ROOT = Path(__file__).resolve().parents[3]
NO_SHAPE = "none"


@dataclass(frozen=True)
class LoadOptions:
    """A run. `users` and `seconds` are the load shape's; what else there is, `add_options` explains."""

    shape: str
    users: int
    seconds: float
    step_users: int
    step_s: float
    rate_per_user: float
    mix: Mapping[str, int]
    videos: Path
    uri_base: str
    uri_folder: str
    repeated_share: float
    catalogue: int
    zipf_exponent: float
    digest_first: bool
    stream_videos: int
    stream_window: int
    deadline_s: float
    objectives: Path
    out: Path

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of request that the mix makes."""
        return request_kinds(self.mix, digest_first=self.digest_first)

    @property
    def pause_s(self) -> float:
        """From one request of a user to its next, as long as the answers come quickly enough."""
        return 1 / self.rate_per_user if self.rate_per_user else 0.0

    @property
    def shape_options(self) -> ShapeOptions:
        """What the load shape needs."""
        return ShapeOptions(self.users, self.seconds, self.step_users, self.step_s)


@dataclass(frozen=True)
class _Defaults:
    """What holds where an option is not given."""

    users: int = 16
    seconds: float = 60.0
    steps: int = 4
    rate_per_user: float = 1.0
    mix: str = f"{CONTENT}=2,{STREAM}=1,{URI}=1,{REPEATED}=2"
    videos: Path = _ROOT / "samples"
    repeated_share: float = 0.5
    catalogue: int = 1000
    zipf_exponent: float = 1.0
    stream_videos: int = 16
    stream_window: int = 4
    deadline_s: float = 30.0
    out: Path = Path("out/perf")


DEFAULTS = _Defaults()


class _Parser(Protocol):
    """An argparse parser or a group of one."""

    def add_argument(self, *names: str, **how: Any) -> object:
        """Adds an option."""


def add_options(parser: _Parser) -> None:
    """Adds the options to `parser`; argparse refuses bad values and names the option."""
    add, of = parser.add_argument, DEFAULTS
    add(
        "--shape",
        choices=(NO_SHAPE, *SHAPES),
        default=NO_SHAPE,
        help="How the number of users changes, up to --users over --run-time. Default: locust's own options say.",
    )
    add("--step-users", type=_above(int), default=None, help=f"step: users more at each step. Default: 1/{of.steps}.")
    add("--step-s", type=_above(float), default=None, help="step: seconds of a step. Default: as --run-time allows.")
    add(
        "--rate-per-user",
        type=_at_least(float, 0),
        default=None,
        help="Videos a second that each user asks for; 0: again as soon as it has an answer (a closed loop). "
        f"Default: {of.rate_per_user:g}, and 0 for step.",
    )
    add("--mix", type=_mix_text, default=None, help=f"Weights of kinds of users. Default: {of.mix}, URIs with a base.")
    add("--videos", default=str(of.videos), help="Folder with the MP4, MOV, WebM or Matroska files to ask about.")
    add("--uri-base", default="", help="What comes before a file's name in its URI, such as file:///data/videos/.")
    add(
        "--uri-folder",
        default="",
        help="Folder that --uri-base stands for, where each user keeps a file that is another for each request. "
        "Default: the server is asked for the names of --videos again and again, and may know them.",
    )
    add("--repeated-share", type=_share, default=of.repeated_share, help="Of repeated: share drawn from the catalogue.")
    add("--catalogue", type=_above(int), default=of.catalogue, help="Of repeated: files in the catalogue.")
    add(
        "--zipf-exponent",
        type=_at_least(float, 0),
        default=of.zipf_exponent,
        help="Of repeated: how much more popular the first files are; 0: all alike.",
    )
    add("--digest-first", action="store_true", help="Of repeated: ask by digest, and send the file if need be.")
    add("--stream-videos", type=_above(int), default=of.stream_videos, help="Videos of one stream.")
    add("--stream-window", type=_above(int), default=of.stream_window, help="Videos of one stream under way at once.")
    add("--deadline-s", type=_above(float), default=of.deadline_s, help="Deadline of each request.")
    add("--objectives", default=str(DEFAULT_FILE), help="YAML file with what the run is to show.")
    add("--out", default=None, help=f"Folder for the results. Default: {of.out}/SHAPE.")


def load_options(parsed: argparse.Namespace) -> LoadOptions:
    """What the options come to, locust's `--users` and `--run-time` among them.

    Raises ValueError where URIs are to be asked about and there is no base for them.
    """
    users = parsed.num_users or DEFAULTS.users
    seconds = float(parsed.run_time or DEFAULTS.seconds)
    step_users = parsed.step_users or max(1, users // DEFAULTS.steps)
    mix = dict(mix_of(parsed.mix or DEFAULTS.mix))
    if parsed.uri_folder and not parsed.uri_base:
        raise ValueError("--uri-folder needs --uri-base, by which the server finds the folder")
    if not parsed.uri_base and mix.get(URI):
        if parsed.mix:
            raise ValueError(f"--mix has {URI}={mix[URI]}, which needs --uri-base")
        mix[URI] = 0
    rate = parsed.rate_per_user
    if rate is None:
        rate = 0.0 if parsed.shape == "step" else DEFAULTS.rate_per_user
    return LoadOptions(
        shape=parsed.shape,
        users=users,
        seconds=seconds,
        step_users=step_users,
        step_s=parsed.step_s or seconds * step_users / users,
        rate_per_user=rate,
        mix=mix,
        videos=Path(parsed.videos),
        uri_base=parsed.uri_base,
        uri_folder=parsed.uri_folder,
        repeated_share=parsed.repeated_share,
        catalogue=parsed.catalogue,
        zipf_exponent=parsed.zipf_exponent,
        digest_first=parsed.digest_first,
        stream_videos=parsed.stream_videos,
        stream_window=parsed.stream_window,
        deadline_s=parsed.deadline_s,
        objectives=Path(parsed.objectives),
        out=Path(parsed.out) if parsed.out else DEFAULTS.out / parsed.shape,
    )


def mix_of(text: str) -> Mapping[str, int]:
    """Weights by kind of user from `content=2,uri=1`; ValueError names what is wrong."""
    mix = dict.fromkeys(USER_KINDS, 0)
    for part in text.split(","):
        kind, _, weight = part.strip().partition("=")
        if kind not in USER_KINDS:
            raise ValueError(f"{kind!r} is no kind of user; there are {', '.join(USER_KINDS)}")
        if not weight.isdigit():
            raise ValueError(f"{kind}={weight!r}: a weight is a whole number from 0")
        mix[kind] = int(weight)
    if not any(mix.values()):
        raise ValueError(f"{text!r} has no users")
    return mix


def _mix_text(text: str) -> str:
    try:
        mix_of(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def _above(kind: Callable[[str], float]) -> Callable[[str], float]:
    return _number(kind, lambda value: value > 0, "above 0")


def _at_least(kind: Callable[[str], float], least: float) -> Callable[[str], float]:
    return _number(kind, lambda value: value >= least, f"{least:g} or more")


def _share(text: str) -> float:
    return _number(float, lambda value: 0 <= value <= 1, "from 0 to 1")(text)


def _number(kind: Callable[[str], float], holds: Callable[[float], bool], rule: str) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or not holds(value):
            raise argparse.ArgumentTypeError(f"{text!r} is not a number {rule}")
        return value

    return parse
