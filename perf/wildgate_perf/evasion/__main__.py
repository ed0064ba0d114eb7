"""`make evasion`: composes what an adversary would, has a server score it, and prints how much is caught.

`--offline` starts no server: it asks the sampler alone whether one of the frames that it looks at shows contraband.
PLAIN is what an adversary can run; NORMAL and HIGH draw frames by a secret as well.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from wildgate_perf.evasion.adversary import played
from wildgate_perf.evasion.attacks import (
    ATTACKS,
    IN_PLAIN_SIGHT,
    ORDINARY,
    Attempt,
    attempts,
    harmless_twins,
    resized,
)
from wildgate_perf.evasion.pictures import HEIGHT, WIDTH
from wildgate_perf.evasion.rule import Rule
from wildgate_perf.evasion.scoring import Answers, decode_cpu_s, score
from wildgate_perf.evasion.table import AIMS, TWINS, figures_of, table_of
from wildgate_perf.machine_facts import machine_facts
from wildgate_perf.results import RESULTS, figure_of, read, target_table, write
from wildgate_perf.server_parts import Scrutiny, WildgateError
from wildgate_perf.server_process import MODEL_REPOSITORY, serving
from wildgate_perf.spread import Spread
from wildgate_perf.videos import VIDEOS, bench_videos

_OUT = VIDEOS.parents[1] / "evasion"
_SECRET = b"that of the offline check"
_BENCH_VIDEOS, _ROUNDS = 8, 3
_MISSED = 1
_WAYS = (Scrutiny.NORMAL, Scrutiny.HIGH)
Rows = list[dict[str, Any]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; 1 where an aim is missed, with `--strict` alone."""
    options, console = _parser().parse_args(arguments), Console(highlight=False, soft_wrap=True)
    began = time.monotonic()
    tame, chosen = (
        tuple(resized(attack, options.size, options.seeds) for attack in attacks)
        for attacks in (
            (ORDINARY, IN_PLAIN_SIGHT),
            [attack for attack in ATTACKS if not options.only or attack.name in options.only],
        )
    )
    if options.shown:
        chosen = tuple(
            replace(attack, shown_s=(options.shown,)) for attack in chosen if options.shown in attack.shown_s
        )
    tried = attempts((*tame, *chosen), one_each=options.quick)
    tried += [] if options.quick else harmless_twins(chosen)
    console.print(f"{len(tried)} videos; composing those that are not in {options.folder} yet")
    files = dict(zip(tried, played(tried, options.folder.resolve() / "videos", options.repository), strict=True))
    console.print(f"composed after {time.monotonic() - began:.0f} s")
    if options.offline:
        print(table_of(_offline(files, options.repository)))
        return 0

    is_part = options.only or options.shown or options.quick
    results = options.results or (options.folder if is_part else RESULTS)
    width, height = options.size
    name = "evasion" if options.size == (WIDTH, HEIGHT) else f"evasion-{width}x{height}"
    now = _served(files, options)
    document = read(results / f"{name}.json")
    document["before" if options.before else "now"] = now
    was = document.get("before", {})
    figures: dict[str, Any] = figures_of(now["rows"])
    figures["cost"] = _costs(now["bench_cpu_ms"], was.get("bench_cpu_ms"))
    write(results / f"{name}.json", document)
    table = table_of(now["rows"], [] if options.before else was.get("rows", []))
    (results / f"{name}.md").write_text(table, encoding="utf-8")
    print(table)
    console.print(target_table(figures, AIMS))
    console.print(f"wrote {results / name}.json and {name}.md; {time.monotonic() - began:.0f} s in all")
    missed = [aim.key for aim in AIMS if aim.met_by(figure_of(figures, aim.key)) is False]
    return _MISSED if options.strict and missed else 0


def _offline(files: dict[Attempt, Path], repository: Path) -> Rows:
    rules = {"PLAIN": Rule(repository), "NORMAL": Rule(repository, _SECRET), "HIGH": Rule(repository, _SECRET)}

    def seen(file: Path, way: str) -> bool:
        try:
            scrutiny = Scrutiny.HIGH if way == "HIGH" else Scrutiny.NORMAL
            return any(look.contraband for look in rules[way].looks(file.read_bytes(), scrutiny))
        except WildgateError:
            return False

    return [
        row | {"caught": {way: sum(seen(file, way) for file in videos) for way in rules}, "cost": {}}
        for row, videos in _groups(files)
    ]


def _served(files: dict[Attempt, Path], options: argparse.Namespace) -> dict[str, Any]:
    """What a server says of the videos, and what that takes it."""
    bench, groups = bench_videos(VIDEOS, _BENCH_VIDEOS), _groups(files)
    settings = {"backend__model_repository": options.repository, "cache__max_entries": 0}
    with serving(log_folder=options.folder / "server", **settings) as server:
        ordinary = groups[0][1]
        score(server, [*bench, *ordinary], Scrutiny.HIGH)  # warms it up
        ms = {way.name: Spread.of(score(server, bench, way).ms_each for _ in range(_ROUNDS)) for way in _WAYS}
        ms["decode"] = Spread.of(decode_cpu_s(bench[:1]) * 1e3 for _ in range(_ROUNDS))
        usual_ms = score(server, ordinary * _ROUNDS, Scrutiny.NORMAL).ms_each
        rows = [
            _row(row, {way.name: score(server, videos, way) for way in _WAYS}, usual_ms)
            for row, videos in track(groups, "scoring")
        ]
    return {
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine_facts(),
        "bench_cpu_ms": {way: spread.as_json() for way, spread in ms.items()},
        "rows": rows,
    }


def _row(row: dict[str, Any], answers: Mapping[str, Answers], usual_ms: float) -> dict[str, Any]:
    return row | {
        "caught": {way: each.caught for way, each in answers.items()},
        "refused": {way: each.refusals for way, each in answers.items()},
        "cost": {way: round(each.ms_each / usual_ms, 3) for way, each in answers.items()},
    }


def _groups(files: dict[Attempt, Path]) -> list[tuple[dict[str, Any], list[Path]]]:
    """The start of each row, and its videos."""
    groups: dict[tuple[str, float], list[Path]] = {}
    for attempt, file in files.items():
        key = (TWINS, 0.0) if attempt.harmless else (attempt.attack.name, attempt.shown_s)
        groups.setdefault(key, []).append(file)
    return [
        ({"attack": name, "shown_s": shown_s, "videos": len(videos)}, videos)
        for (name, shown_s), videos in groups.items()
    ]


def _costs(ms: Mapping[str, Any], before_ms: Mapping[str, Any] | None) -> dict[str, float]:
    """Costs of the benchmark's clips: NORMAL over what it was, both by the yardstick of decoding, and HIGH over it."""

    def over(above: str, below: str, of: Mapping[str, Any]) -> float:
        return float(of[above]["median"] / of[below]["median"])

    costs = {"HIGH_over_NORMAL": over("HIGH", "NORMAL", ms)}
    if before_ms:
        costs["NORMAL_over_before"] = over("NORMAL", "decode", ms) / over("NORMAL", "decode", before_ms)
    return costs


def _size(text: str) -> tuple[int, int]:
    width, height = map(int, text.split("x"))
    return width, height


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m wildgate_perf.evasion",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [attack.name for attack in ATTACKS]
    parser.add_argument("--only", action="append", choices=names, metavar="ATTACK", help=", ".join(names))
    parser.add_argument("--quick", action="store_true", help="one video of each attack and length: checks the harness")
    parser.add_argument("--shown", type=float, metavar="SECONDS", help="attacks that show contraband for so long alone")
    parser.add_argument("--seeds", type=int, default=4, help="videos alike of each attack, length and encoder, at most")
    parser.add_argument(
        "--size", type=_size, default=(WIDTH, HEIGHT), metavar="WxH", help=f"of their pictures [{WIDTH}x{HEIGHT}]"
    )
    parser.add_argument("--offline", action="store_true", help="the sampler alone: seconds, once videos are composed")
    parser.add_argument("--before", action="store_true", help="keeps the figures to stand beside later ones")
    parser.add_argument("--strict", action="store_true", help="exit 1 where an aim is missed")
    parser.add_argument("--repository", type=Path, default=MODEL_REPOSITORY, help="models [model_repository]")
    parser.add_argument("--folder", type=Path, default=_OUT, help="where videos and logs are kept [out/evasion]")
    parser.add_argument("--results", type=Path, help="folder for results [perf/results; of a part FOLDER]")
    return parser


if __name__ == "__main__":
    sys.exit(main())
