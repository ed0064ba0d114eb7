"""The demo: a real server scores the sample clips, and each verdict is compared with what the clip really shows.

Then people confirm the case of one of them, which blocks it, and a disguised copy of it is sent; last, queries are
screened. Exits 0 only if every verdict agrees with the truth file, every step of the case and every query was as it
should be and both servers stop cleanly, 2 if there is nothing to score.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
from case_story import StepFailed, tell
from enforcement_desk import PEOPLE, EnforcementDesk
from rich import box
from rich.table import Table
from rich.text import Text
from sample_truth import ClipTruth, disagreements, load_truth
from screened_queries import screened

from wildgate_client import ScoringClient, ScoringError, StreamResult
from wildgate_client.annotate import Annotator
from wildgate_client.result_table import COLUMNS, cells, print_table
from wildgate_client.score_files import ScoreOptions, score_files
from wildgate_perf.local_server import LocalServer, LocalServerOptions, ServerStartFailed
from wildgate_perf.server_parts import free_address

ROOT = Path(__file__).resolve().parent.parent
CLIP_SUFFIXES = frozenset({".mp4", ".mov", ".mkv", ".webm", ".avi", ".ts"})
REVIEWED = "parrot.webm"
OPTIONS = ScoreOptions(concurrency=2, max_evidence_frames=4)


@dataclass(frozen=True)
class Row:
    """One clip: its result, its entry in the truth file, if any, and how the two differ."""

    name: str
    result: StreamResult
    truth: ClipTruth | None
    differences: Sequence[str]


def compare(result: StreamResult, truths: Mapping[str, ClipTruth]) -> Row:
    """The row of one clip; a clip that failed, or that is not in the truth file, never agrees."""
    name = Path(result.video_id).name
    truth = truths.get(name)
    if result.verdict is None:
        differences = ["not scored"]
    elif truth is None:
        differences = ["not in the truth file"]
    else:
        differences = disagreements(truth, result.verdict)
    return Row(name, result, truth, differences)


def clip_paths(samples: Path, truths: Mapping[str, ClipTruth]) -> list[Path]:
    """The clips in the folder and those in the truth file, so that one missing from either is noticed."""
    names = {path.name for path in samples.iterdir() if path.suffix in CLIP_SUFFIXES} | truths.keys()
    return [samples / name for name in sorted(names)]


def verdict_table(rows: Sequence[Row]) -> Table:
    """The rows as `wildgate score` prints them, next to the truth."""
    table = Table(*COLUMNS, "expected", "agrees", box=box.SIMPLE_HEAD)
    for row in rows:
        _, *others = cells(row.result)
        agrees = Text(f"no: {'; '.join(row.differences)}", "bold red") if row.differences else Text("yes", "green")
        table.add_row(Text(row.name), *others, Text(str(row.truth or "-")), agrees)
    return table


async def score_clips(target: str, clips: Sequence[Path], annotator: Annotator) -> list[StreamResult]:
    """Sends every clip as content and writes its annotated frames."""
    results = []
    async with (
        ScoringClient(target) as client,
        contextlib.aclosing(score_files(client, [str(clip) for clip in clips], OPTIONS)) as scored,
    ):
        async for result in scored:
            annotator.write(result)
            results.append(result)
    return results


async def tell_story(desk: EnforcementDesk, target: str, clip: Path) -> bool:
    """Prints each step of the case of `clip`; returns whether all were as they should be."""
    try:
        async with contextlib.aclosing(tell(desk, target, clip, video_id=str(clip))) as steps:
            async for step in steps:
                print(f"  {step}", flush=True)
    except (StepFailed, ScoringError, subprocess.SubprocessError, grpc.RpcError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return False
    return True


def keep_open(desk: EnforcementDesk, console: str) -> None:
    """Says how to log in at the console, and waits for Ctrl-C or SIGTERM."""
    print(f"the console: http://{console}; log in with one of these tokens, which hold for an hour:")
    for who, role in PEOPLE.items():
        print(f"  {who}, {role}: {desk.token_file(who).read_text()}")
    print("Ctrl-C ends it", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        signal.pause()


def _is_free(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) != 0


def main() -> int:
    """Runs the demo and returns its exit status."""
    parser = argparse.ArgumentParser(description="Scores the sample clips with a real server.")
    parser.add_argument("--samples", type=Path, default=ROOT / "samples", help="clips and their truth.json")
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "demo", help="annotated frames and logs")
    parser.add_argument("--console", default="", metavar="HOST:PORT", help="keep a console of the cases open there")
    arguments = parser.parse_args()
    # On SIGTERM, the server is stopped too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))

    try:
        truths = load_truth(arguments.samples / "truth.json")
        clips = clip_paths(arguments.samples, truths)
    except (OSError, ValueError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 2
    if arguments.console and not _is_free(arguments.console):
        print(f"demo: {arguments.console} is taken: end the console that runs there", file=sys.stderr)
        return 2
    for stale in arguments.out.glob("*.jpg"):  # of an earlier run
        stale.unlink()
    logs, blocks, enforcement = (arguments.out / name for name in ("logs", "blocks", "enforcement"))
    for stale in (blocks, enforcement):
        shutil.rmtree(stale, ignore_errors=True)
    desk = EnforcementDesk(enforcement, free_address())
    server = LocalServer(
        LocalServerOptions(
            log_path=logs / "server.log",
            environment={
                "WILDGATE_BACKEND__LOG_DIR": str(logs.resolve()),
                "WILDGATE_BLOCKS__DIRECTORY": str(blocks.resolve()),
                **desk.gateway_environment,
            },
            directory=ROOT,
        )
    )
    print(f"starting the server; its logs: {_shown(logs)}", flush=True)
    try:
        with server, desk.service(server.target, logs / "enforcement.log", arguments.console) as service:
            print(f"the server is ready on {server.target}; scoring {len(clips)} clips", flush=True)
            annotator = Annotator(arguments.out)
            results = asyncio.run(score_clips(server.target, clips, annotator))
            rows = [compare(result, truths) for result in results]
            print_table(verdict_table(rows), sys.stdout)
            agreeing = sum(not row.differences for row in rows)
            print(f"{agreeing} of {len(rows)} verdicts agree with {_shown(arguments.samples / 'truth.json')}")
            print(f"{len(annotator.paths)} annotated frames in {_shown(arguments.out)}")
            print(f"from verdict to action, {REVIEWED}:", flush=True)
            told = asyncio.run(tell_story(desk, server.target, arguments.samples / REVIEWED))
            if arguments.console:
                keep_open(desk, arguments.console)
                return 0
    except ServerStartFailed as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1

    print("search queries:")
    queries_agree = True
    for line, agrees in screened():
        print(f"  {line}{'' if agrees else ': WRONG'}")
        queries_agree = queries_agree and agrees
    print(f"gateway: {server.stop_report}; enforcement: {service.stop_report}")
    stopped_cleanly = all(report and report.clean for report in (server.stop_report, service.stop_report))
    return 0 if rows and agreeing == len(rows) and told and queries_agree and stopped_cleanly else 1


def _shown(path: Path) -> str:
    return os.path.relpath(path)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
