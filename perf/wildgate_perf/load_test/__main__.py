"""`python -m wildgate_perf.load_test`: runs load shapes on a server, one after the other, and judges them.

Without `--host` it composes the videos of `make bench` and starts a server that may read them by `file:` URI. Each
shape runs in a locust process of its own; its report, CSV files, statistics and summary are `out/perf/SHAPE*`.

`step` goes first, also where it was not asked for: its best step is what the server can do, without users who ask for
the same videos again, and the other shapes are sized by it (`soak` asks for 60 % of it, `ramp` goes up to 120 %,
`spike` to 150 %), in an open loop: no caller waits for the answers of others. `--peak` says it instead, or
`--rate-per-user` how fast users ask. What is not an option here goes to locust as it is (`--processes 2`,
`--tags content`, `ContentUser`; see `perf/locustfile.py`).

Exit status: 0 all objectives hold, 1 some do not, 2 usage or a server that cannot be started.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from wildgate_perf.load_test.load_shapes import SHAPES
from wildgate_perf.local_server import ServerStartFailed
from wildgate_perf.results import read
from wildgate_perf.server_parts import free_port
from wildgate_perf.server_process import ServerStoppedBadly, serving
from wildgate_perf.videos import bench_videos

_OF_PEAK = {"ramp": 1.2, "soak": 0.6, "spike": 1.5}
_LOCUSTFILE = Path(__file__).resolve().parents[2] / "locustfile.py"
_USAGE = 2


def main(arguments: Sequence[str]) -> int:
    """Runs the command; returns its exit status."""
    options, for_locust = _parser().parse_known_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    if options.host is not None:
        return _run_all(options, [*for_locust, "--host", options.host])
    out = options.out.resolve()
    print(f"composing videos in {out / 'videos'}, unless they are there", flush=True)
    bench_videos(out / "videos")
    try:
        with (
            tempfile.TemporaryDirectory(dir=out, prefix="by-uri-") as folder,
            serving(source__file_roots=[folder]) as server,
        ):
            by_uri = ["--uri-folder", folder, "--uri-base", f"{Path(folder).as_uri()}/"]
            at = ["--host", server.target, "--server-metrics", server.metrics]
            return _run_all(options, [*at, "--videos", str(out / "videos"), *by_uri, *for_locust])
    except (ServerStartFailed, ServerStoppedBadly) as error:
        print(f"wildgate: {error}", file=sys.stderr)
        return _USAGE


def shapes_to_run(options: argparse.Namespace, others: Sequence[str]) -> list[str]:
    """The wanted shapes, once each, `step` first; also where it is only needed to size the others."""
    wanted = set(options.shape or SHAPES)
    if wanted & _OF_PEAK.keys() and options.peak is None and not _given("--rate-per-user", others):
        wanted.add("step")
    return [shape for shape in SHAPES if shape in wanted]


def locust_command(
    shape: str, options: argparse.Namespace, others: Sequence[str], peak_per_s: float | None = None
) -> list[str]:
    """The command line of locust for one shape; `peak_per_s` is what the server can do, where that is known."""
    results = str(options.out / shape)
    sized: list[str] = []
    if not _given("--rate-per-user", others):
        if shape == "step":  # a closed loop, of videos that have to be scored
            sized = ["--rate-per-user", "0", *([] if _given("--tags", others) else ["--exclude-tags", "repeated"])]
        elif peak_per_s:
            sized = ["--rate-per-user", f"{_OF_PEAK[shape] * peak_per_s / options.users:.4g}"]
            sized += [] if _given("--arrivals", others) else ["--arrivals", "poisson"]
    return [
        *(sys.executable, "-m", "locust", "--locustfile", str(_LOCUSTFILE), "--headless", "--only-summary"),
        *("--shape", shape, "--users", str(options.users), "--run-time", f"{options.seconds}s"),
        *("--html", f"{results}.html", "--csv", results, "--json-file", results),
        *("--summary", str(summary_file(options, shape)), *_port_of_processes(others), *sized, *others),
    ]


def summary_file(options: argparse.Namespace, shape: str) -> Path:
    """Where the figures by phase go."""
    out: Path = options.out
    return out / f"{shape}_summary.json"


def peak_of_steps(options: argparse.Namespace) -> float | None:
    """The highest goodput of any phase of `step`; None where there is none."""
    phases = read(summary_file(options, "step")).get("phases", {})
    return max((float(phase["answered_per_s"]) for phase in phases.values()), default=0.0) or None


def _given(name: str, others: Sequence[str]) -> bool:
    return any(option == name or option.startswith(f"{name}=") for option in others)


def _port_of_processes(others: Sequence[str]) -> list[str]:
    """A port of its own for locust's master and workers, so that runs beside each other do not meet."""
    if not _given("--processes", others):
        return []
    port = str(free_port())
    return ["--master-bind-host", "127.0.0.1", "--master-bind-port", port, "--master-port", port]


def _run_all(options: argparse.Namespace, others: Sequence[str]) -> int:
    """Runs every shape, whatever came of those before; returns the worst exit status."""
    worst, peak_per_s = 0, options.peak
    for shape in shapes_to_run(options, others):
        print(f"{shape}: up to {options.users} users, {options.seconds} s", flush=True)
        with contextlib.suppress(FileNotFoundError):
            summary_file(options, shape).unlink()  # an earlier run's, perhaps of another server
        status = subprocess.run(locust_command(shape, options, others, peak_per_s), check=False).returncode
        worst = max(worst, abs(status))
        if status == _USAGE:
            break  # the next would fail in the same way
        if shape == "step" and options.peak is None:
            peak_per_s = peak_of_steps(options)
            print(f"step: the peak is {peak_per_s or 'unknown'} videos/s", flush=True)
    print(f"reports: {options.out}/*.html; statistics: *.csv, *.json; by phase: *_summary.json")
    return worst


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m wildgate_perf.load_test", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--host", metavar="HOST:PORT", help="gRPC target of a running server; default: starts one")
    parser.add_argument("--shape", action="append", choices=SHAPES, help="may be given again; default: all")
    parser.add_argument("--users", type=_whole, default=16, help="the most users [16]")
    parser.add_argument("--seconds", type=_whole, default=60, help="of each shape [60]")
    parser.add_argument("--peak", type=float, metavar="PER_S", help="what the server can do; default: step finds out")
    parser.add_argument("--out", type=Path, default=Path("out/perf"), help="folder for the results [out/perf]")
    return parser


def _whole(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
