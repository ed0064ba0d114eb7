"""`make matches`: blocks some videos, disguises them as uploaders do, and counts what is recognised, and what wrongly.

Sources are the project's samples and the videos of `--media`, where there are any. Every disguise of every source and
every stranger is held against all known videos, by the server's own sampler, decoder, fingerprints, list and decision.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path

from rich.console import Console

from wildgate_perf.machine_facts import machine_facts
from wildgate_perf.matches import workers
from wildgate_perf.matches.recognition import found_in
from wildgate_perf.matches.strangers import ALL_EDITS
from wildgate_perf.matches.table import AIMS, Outcome, drawn, figures_of, table_of
from wildgate_perf.results import RESULTS, figure_of, target_table, write
from wildgate_perf.server_parts import available_cores
from wildgate_perf.server_process import MODEL_REPOSITORY

_ROOT = Path(__file__).resolve().parents[3]
_MEDIA = (
    "avi_sample.avi",
    "mp4_bbb_800x640_768kbps_30fps_vp9.mp4",
    "mp4_trim_optimization_failure.mp4",
    "mp4_sample_with_increasing_timestamps_320w_240h_5s.mp4",
    "hls_cea608_sd-hls0000000000.ts",
    "vp9_bear-vp9.webm",
    "mp4_sample_sef_slow_motion.mp4",
    "mp4_sample_portrait.mp4",
    "dash_captions_h265_fragmented_captions_h265.mp4",
    "mp4_postroll-5s.mp4",
)
"""Of the shared media, one file of each recording that shows anything."""
_MISSED = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; 1 where an aim is missed, with `--strict` alone."""
    options, console = _parser().parse_args(arguments), Console(highlight=False, soft_wrap=True)
    began = time.monotonic()
    edits = [edit for edit in ALL_EDITS if not options.only or edit.name in options.only]
    with ProcessPoolExecutor(
        options.processes, get_context("spawn"), workers.open_looker, (options.repository,)
    ) as pool:
        files = _sources(options.media)
        confirmed = dict(zip((file.name for file in files), pool.map(workers.confirmed, files), strict=True))
        known = {name: video for name, video in confirmed.items() if video and video.fingerprint.frames}
        console.print(f"{len(known)} of {len(files)} sources have a fingerprint, {time.monotonic() - began:.0f} s")
        copies = [(file, edit.name) for file in files if file.name in known for edit in edits]
        seen = [*zip(copies, pool.map(workers.disguised, copies), strict=True)]
        strangers = [*pool.map(workers.stranger_seen, range(options.strangers), chunksize=10)]
    console.print(f"{len(copies)} disguises and {len(strangers)} strangers, {time.monotonic() - began:.0f} s")
    copies_seen = [(edit, file.name, *copy) for (file, edit), copy in seen if copy]
    found = asyncio.run(found_in(known, [*(copy for _, _, copy, _ in copies_seen), *strangers]))
    labels = [(edit, name, seconds) for edit, name, _, seconds in copies_seen] + [("", "", 0.0)] * len(strangers)
    outcomes = [Outcome(*label, tuple(of)) for label, of in zip(labels, found, strict=True)]
    figures = figures_of(outcomes, [*known])
    kept = [len(block.descriptors) for block in known.values()]
    figures["bytes_kept"] = {"mean": sum(kept) // max(len(kept), 1), "most": max(kept, default=0)}
    table = table_of(figures)
    measured = {"measured_at": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine_facts()}
    write(
        options.results / "matches.json",
        {**measured, **figures, "outcomes": [each.row for each in outcomes if each.edit]},
    )
    (options.results / "matches.md").write_text(table, encoding="utf-8")
    drawn(figures, options.results / "matches.svg")
    print(table)
    console.print(target_table(figures, AIMS))
    console.print(f"wrote {options.results}/matches.json, .md and .svg; {time.monotonic() - began:.0f} s in all")
    missed = [aim.key for aim in AIMS if aim.met_by(figure_of(figures, aim.key)) is False]
    return _MISSED if options.strict and missed else 0


def _sources(media: Path) -> list[Path]:
    samples = (file for file in sorted((_ROOT / "samples").iterdir()) if file.suffix in (".mp4", ".webm"))
    return [*samples, *(media / name for name in _MEDIA if (media / name).is_file())]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m wildgate_perf.matches", description=__doc__)
    parser.add_argument("--media", type=Path, default=_ROOT.parent / "shared" / "media", help="more sources")
    parser.add_argument("--strangers", type=int, default=500, help="videos that are none of the known ones")
    parser.add_argument("--only", nargs="*", choices=[edit.name for edit in ALL_EDITS], help="these disguises alone")
    parser.add_argument("--processes", type=int, default=available_cores())
    parser.add_argument("--repository", type=Path, default=MODEL_REPOSITORY)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--strict", action="store_true", help="exit 1 where an aim is missed")
    return parser


if __name__ == "__main__":
    sys.exit(main())
