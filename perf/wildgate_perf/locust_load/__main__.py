"""`python -m wildgate_perf.locust_load`: puts load shapes on a server, one after the other, and judges them.

Without `--host` it composes the videos of `make bench` and starts a server that may read them by `file:` URI.
Each shape runs in a locust process of its own; results are in `out/perf/SHAPE/`. `step` goes first, also where it was
not asked for: what it finds the server can do, with the same mix of users but without those who ask for the same videos
again, is what the other shapes are sized by (`soak` asks for 60 % of it, `ramp` goes up to 120 %, `spike` to 150 %).
`--peak` says it instead, or `--rate-per-user` how fast users ask; what an earlier run found counts for nothing. What is
not an option here goes to locust as it is (`--processes 2`, `--mix ...`; see `locustfile`).

Exit status: 0 all objectives hold, 1 some do not, 2 usage or a server that cannot be started.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from wildgate_perf.local_server import ServerStartFailed
from wildgate_perf.locust_load.kinds import REPEATED, URI
from wildgate_perf.locust_load.load_shapes import SHAPES
from wildgate_perf.locust_load.options import DEFAULTS, mix_of
from wildgate_perf.locust_load.record import SUMMARY
from wildgate_perf.results import read
from wildgate_perf.server_process import ServerStoppedBadly, serving
from wildgate_perf.videos import bench_videos

__all__ = ["locust_command", "main", "mix_options", "peak_of_steps", "rate_options", "shapes_to_run"]

_FINDS_PEAK = "step"
_OF_PEAK = {"ramp": 1.2, "soak": 0.6, "spike": 1.5}
_LOCUSTFILE = Path(__file__).with_name("locustfile.py")
_USAGE = 2


def main(arguments: Sequence[str]) -> int:
    """Runs the command; returns its exit status."""
    options, for_locust = _parser().parse_known_args(arguments)
    wanted = shapes_to_run(options.shape or list(SHAPES), options, for_locust)
    if options.host is not None:
        return _run_all(wanted, options, [*for_locust, "--host", options.host])
    out = Path(options.out).resolve()
    out.mkdir(parents=True, exist_ok=True)
    videos = out / "videos"
    print(f"composing videos in {videos}, where they are not there yet", flush=True)
    bench_videos(videos)
    try:
        with (
            tempfile.TemporaryDirectory(dir=out, prefix="by-uri-") as folder,
            serving(source__file_roots=[folder]) as server,
        ):
            by_uri = ["--uri-folder", folder, "--uri-base", f"{Path(folder).as_uri()}/"]
            own = ["--host", server.target, "--videos", str(videos), *by_uri]
            return _run_all(wanted, options, [*own, *for_locust])
    except (ServerStartFailed, ServerStoppedBadly) as error:
        print(f"wildgate: {error}", file=sys.stderr)
        return _USAGE


def shapes_to_run(shapes: Sequence[str], options: argparse.Namespace, others: Sequence[str]) -> list[str]:
    """The wanted shapes, once each, `step` first; also where it is only needed to size the others."""
    wanted = set(shapes)
    if wanted & _OF_PEAK.keys() and options.peak is None and not _given("--rate-per-user", others):
        wanted.add(_FINDS_PEAK)
    return sorted(wanted, key=lambda shape: (shape != _FINDS_PEAK, list(SHAPES).index(shape)))


def rate_options(shape: str, users: int, peak_per_s: float | None, others: Sequence[str]) -> list[str]:
    """How fast users ask, by what the server can do; nothing where that is not known, or the caller has said it."""
    if shape not in _OF_PEAK or not peak_per_s or _given("--rate-per-user", others):
        return []
    return ["--rate-per-user", f"{_OF_PEAK[shape] * peak_per_s / users:.4g}"]


def mix_options(shape: str, others: Sequence[str]) -> list[str]:
    """For `step`, the mix without users whose videos come out of the cache; it goes after the options `others`.

    Nothing for other shapes, where the mix is no good or has nobody else, and where a rate is given: then `step` sizes
    nothing.
    """
    if shape != _FINDS_PEAK or _given("--rate-per-user", others):
        return []
    try:
        mix = {**mix_of(_value("--mix", others) or DEFAULTS.mix), REPEATED: 0}
    except ValueError:
        return []  # locust says what is wrong with it
    if _value("--mix", others) is None and not _given("--uri-base", others):
        mix[URI] = 0
    return ["--mix", ",".join(f"{kind}={weight}" for kind, weight in mix.items())] if any(mix.values()) else []


def peak_of_steps(out: Path) -> float | None:
    """The most answers a second of any phase that `step` has left in `out`; None where there is none."""
    try:
        phases = read(out / _FINDS_PEAK / f"{SUMMARY}.json").get("phases", {})
        return max((float(phase["answered_per_s"]) for phase in phases.values()), default=0.0) or None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _given(name: str, others: Sequence[str]) -> bool:
    return any(option == name or option.startswith(f"{name}=") for option in others)


def _value(name: str, others: Sequence[str]) -> str | None:
    """The last value that is given for `name`, as `--name value` or `--name=value`."""
    found = None
    for place, option in enumerate(others):
        if option == name and place + 1 < len(others):
            found = others[place + 1]
        elif option.startswith(f"{name}="):
            found = option.partition("=")[2]
    return found


def locust_command(
    shape: str, options: argparse.Namespace, others: Sequence[str], peak_per_s: float | None = None
) -> list[str]:
    """The command line of locust for one shape; `peak_per_s` is what the server can do, where that is known."""
    folder = Path(options.out) / shape
    return [
        *(sys.executable, "-m", "locust", "--locustfile", str(_LOCUSTFILE), "--headless", "--only-summary"),
        *("--shape", shape, "--users", str(options.users), "--run-time", f"{options.seconds}s"),
        *("--html", str(folder / "locust.html"), "--out", str(folder), *_between_processes(others)),
        *(*rate_options(shape, options.users, peak_per_s, others), *others, *mix_options(shape, others)),
    ]


def _between_processes(others: Sequence[str]) -> list[str]:
    """A port of its own for locust's master and workers, so that runs beside each other do not meet."""
    if not any(option.startswith("--processes") for option in others):
        return []
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    return ["--master-bind-host", "127.0.0.1", "--master-bind-port", port, "--master-port", port]


def _run_all(shapes: Sequence[str], options: argparse.Namespace, others: Sequence[str]) -> int:
    """Runs every shape, whatever came of those before; returns the worst exit status."""
    worst, peak_per_s = 0, options.peak
    for shape in shapes:
        print(f"{shape}: up to {options.users} users, {options.seconds} s", flush=True)
        (Path(options.out) / shape).mkdir(parents=True, exist_ok=True)
        (Path(options.out) / shape / f"{SUMMARY}.json").unlink(missing_ok=True)  # an earlier run's, perhaps elsewhere
        status = subprocess.run(locust_command(shape, options, others, peak_per_s), check=False).returncode
        worst = max(worst, abs(status))
        if shape == _FINDS_PEAK and options.peak is None:
            peak_per_s = peak_of_steps(Path(options.out))
            if peak_per_s is None:
                print(f"step found no peak: users ask {DEFAULTS.rate_per_user:g} times a second", file=sys.stderr)
        with contextlib.suppress(OSError):
            print((Path(options.out) / shape / "summary.md").read_text(encoding="utf-8").split("\n## ")[0])
        if status == _USAGE:
            break  # the next would fail in the same way
    return worst


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m wildgate_perf.locust_load", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--host", metavar="HOST:PORT", help="gRPC target of a running server; default: starts one")
    parser.add_argument("--shape", action="append", choices=tuple(SHAPES), help="may be given again; default: all")
    parser.add_argument("--users", type=_whole, default=DEFAULTS.users, help="the most users")
    parser.add_argument("--seconds", type=_whole, default=round(DEFAULTS.seconds), help="for each shape")
    parser.add_argument("--peak", type=_rate, metavar="PER_S", help="what the server can do; default: step finds out")
    parser.add_argument("--out", default=str(DEFAULTS.out), help="results go into a folder for each shape there")
    return parser


def _rate(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def _whole(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
