"""Sends real media files through a running gateway and compares every answer with EXPECTED.json.

Exits 0 only if every answer is right, none hangs, a good video still scores afterwards and the server, if this program
started it, stops cleanly.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import enum
import signal
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from media_expectations import ExpectedRefusal, ExpectedVideo, load_expectations, mismatches

from wildgate_client import (
    ClientOptions,
    DeadlineExceeded,
    RetryPolicy,
    ScoringClient,
    ScoringError,
    StreamResult,
)
from wildgate_perf.local_server import LocalServer, LocalServerOptions, ServerStartFailed

ROOT = Path(__file__).resolve().parent.parent.parent
NOT_MEDIA = frozenset({"EXPECTED.json", "README.md"})
# How long after its own deadline a call may return before the client itself counts as hanging.
LATE_S = 10.0


class Outcome(enum.StrEnum):
    """How one file fared."""

    RIGHT = "right"
    WRONG = "wrong"
    HANG = "hang"


@dataclass(frozen=True)
class Settings:
    """What to check, and against what."""

    media: Path
    expectations: Mapping[str, ExpectedVideo | ExpectedRefusal]
    deadline_s: float
    max_gap_s: float


async def ask(client: ScoringClient, path: Path, deadline_s: float) -> StreamResult | None:
    """The gateway's answer to one file; `None` if it hangs."""
    try:
        async with asyncio.timeout(deadline_s + LATE_S):
            verdict = await client.score(path, video_id=path.name, deadline_s=deadline_s)
    except (DeadlineExceeded, TimeoutError):
        return None
    except ScoringError as error:
        return StreamResult(path.name, error=error)
    return StreamResult(path.name, verdict=verdict)


def row(outcome: Outcome, name: str, result: StreamResult | None, differences: list[str]) -> str:
    """One line about one file."""
    if differences:
        detail = "; ".join(differences)
    elif result is None:
        detail = ""
    elif result.verdict is not None:
        coverage = result.verdict.coverage
        detail = f"{coverage.frames_looked_at} frames, gap {coverage.longest_gap_s:.2f} s"
    else:
        detail = f"refused: {result.error}"
    return f"{outcome:5}  {name}  {detail}".rstrip()


async def check_all(target: str, settings: Settings) -> bool:
    """Asks about every file, prints a row for each and a summary; returns whether all is right."""
    expectations = settings.expectations
    present = {path.name for path in settings.media.iterdir()} - NOT_MEDIA
    outcomes: Counter[Outcome] = Counter()
    # No retries: the first answer counts.
    options = ClientOptions(retry=RetryPolicy(attempts=1))
    async with ScoringClient(target, options) as client:
        for name in sorted(expectations.keys() | present):
            result: StreamResult | None = None
            if name not in expectations:
                outcome, differences = Outcome.WRONG, ["not in EXPECTED.json"]
            elif (result := await ask(client, settings.media / name, settings.deadline_s)) is None:
                outcome, differences = Outcome.HANG, [f"no answer within {settings.deadline_s:g} s"]
            else:
                differences = mismatches(expectations[name], result, max_gap_s=settings.max_gap_s)
                outcome = Outcome.WRONG if differences else Outcome.RIGHT
            outcomes[outcome] += 1
            print(row(outcome, name, result, differences), flush=True)

        good = min(name for name, expected in expectations.items() if isinstance(expected, ExpectedVideo))
        after = await ask(client, settings.media / good, settings.deadline_s)
    alive = after is not None and after.verdict is not None
    right, wrong, hangs = (outcomes[outcome] for outcome in Outcome)
    print(f"{right} right, {wrong} wrong, {hangs} hangs")
    print(f"afterwards {good} {'still scores' if alive else f'does not score: {after and after.error}'}")
    return alive and right > 0 and not wrong and not hangs


@contextlib.contextmanager
def running_gateway(target: str | None) -> Iterator[tuple[str, LocalServer | None]]:
    """The gateway at `target`, or one that is started and stopped here."""
    if target is not None:
        yield target, None
        return
    logs = ROOT / "out" / "conformance"
    # Without the cache, so that the video of the last request is scored again.
    environment = {"WILDGATE_BACKEND__LOG_DIR": str(logs), "WILDGATE_CACHE__MAX_ENTRIES": "0"}
    options = LocalServerOptions(logs / "server.log", environment=environment, directory=ROOT)
    with LocalServer(options) as server:
        yield server.target, server


def main() -> int:
    """Runs the comparison and returns its exit status."""
    parser = argparse.ArgumentParser(description="Compares the gateway's answers with EXPECTED.json.")
    parser.add_argument("media", type=Path, metavar="MEDIA", help="directory of media files and EXPECTED.json")
    parser.add_argument("--server", metavar="HOST:PORT", help="a running gateway; one is started by default")
    parser.add_argument("--deadline-s", type=float, default=30.0, help="longer than this for a file is a hang")
    parser.add_argument("--max-gap-s", type=float, default=2.0, help="the gateway's sampling.max_gap_s")
    arguments = parser.parse_args()
    # On SIGTERM, the gateway is stopped too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        expectations = load_expectations(arguments.media / "EXPECTED.json")
    except (OSError, ValueError) as error:
        print(f"conformance: {error}", file=sys.stderr)
        return 2
    settings = Settings(arguments.media, expectations, arguments.deadline_s, arguments.max_gap_s)
    try:
        with running_gateway(arguments.server) as (target, server):
            passed = asyncio.run(check_all(target, settings))
    except ServerStartFailed as error:
        print(f"conformance: {error}", file=sys.stderr)
        return 1
    if server is not None and server.stop_report is not None:
        print(server.stop_report)
        passed = passed and server.stop_report.clean
    return 0 if passed else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
