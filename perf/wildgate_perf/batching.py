"""Batching in the gateway and in Triton, alone and together, over load: which is worth having where.

    python -m wildgate_perf.batching [--rounds N] [--seconds S] [--askers 1 4 16] [--json FILE]

Every contender is a server of its own, idle while another is asked; they take turns within each round. What is read are
the ratios to the first contender within a round. Videos come by `file:` URI, so that the load generator costs little.

The gateway makes rows into requests, Triton makes requests into executions. Each can be kept to one row: the gateway by
`batch.max_rows`, Triton by the models' `max_batch_size`. In both a row may wait for company (`batch.max_wait_ms`,
`max_queue_delay_us`); where nobody waits, what gathered while all instances were busy still goes together.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import yaml
from rich.console import Console
from rich.table import Table

from wildgate_perf.load_process import LoadProcess
from wildgate_perf.loops import LoadPlan
from wildgate_perf.machine_facts import machine_facts
from wildgate_perf.questions import by_uri
from wildgate_perf.server_process import MODEL_REPOSITORY, ServerProcess, serving
from wildgate_perf.spread import Spread
from wildgate_perf.videos import VIDEOS, bench_videos

_WARM_UP_S = 1.0


@dataclass(frozen=True)
class Contender:
    """One way to batch: rows in a request and requests under way, rows in an execution, and how long they wait."""

    name: str
    gateway_rows: int
    gateway_wait_ms: float
    in_flight: int
    triton_rows: int
    triton_wait_us: int


CONTENDERS = (
    Contender("both, rows wait", gateway_rows=8, gateway_wait_ms=2, in_flight=4, triton_rows=16, triton_wait_us=500),
    Contender("both, no row waits", gateway_rows=8, gateway_wait_ms=0, in_flight=4, triton_rows=16, triton_wait_us=0),
    Contender("Triton alone", gateway_rows=1, gateway_wait_ms=0, in_flight=8, triton_rows=16, triton_wait_us=0),
    Contender("neither", gateway_rows=1, gateway_wait_ms=0, in_flight=4, triton_rows=1, triton_wait_us=0),
)


@contextmanager
def contending(contender: Contender) -> Iterator[ServerProcess]:
    """A server that batches so."""
    with tempfile.TemporaryDirectory(prefix="wildgate-batching-") as scratch:
        repository = Path(scratch, "models")
        shutil.copytree(MODEL_REPOSITORY, repository, symlinks=True)
        manifest = repository / "manifest.yaml"
        held = yaml.safe_load(manifest.read_text(encoding="utf-8"))
        held["serving"] |= {
            "max_batch_size": contender.triton_rows,
            "max_queue_delay_us": contender.triton_wait_us,
        }
        manifest.write_text(yaml.safe_dump(held), encoding="utf-8")
        with serving(
            backend__model_repository=repository,
            batch__max_rows=contender.gateway_rows,
            batch__max_wait_ms=contender.gateway_wait_ms,
            batch__max_in_flight=contender.in_flight,
            source__file_roots=[VIDEOS],
            cache__max_entries=0,
        ) as server:
            yield server


def measure(rounds: int, seconds: float, loads: list[int]) -> dict[int, dict[str, dict[str, Spread]]]:
    """By askers and contender: videos a second, milliseconds of p50 and p99, one figure a round."""
    uris = [video.resolve().as_uri() for video in bench_videos(VIDEOS)]
    found: dict[int, dict[str, dict[str, list[float]]]] = {}
    with ExitStack() as stack:
        load = stack.enter_context(LoadProcess())
        servers = {each.name: stack.enter_context(contending(each)) for each in CONTENDERS}
        for _ in range(rounds):
            for askers in loads:
                for name, server in servers.items():
                    plan = LoadPlan(askers, _WARM_UP_S, seconds)
                    result = load.closed(by_uri(server.target, uris), plan).result
                    if result.failures:
                        raise RuntimeError(f"{name}: {len(result.failures)} failures, such as {result.failures[0]}")
                    figures = found.setdefault(askers, {}).setdefault(name, {"per_s": [], "p50_ms": [], "p99_ms": []})
                    figures["per_s"].append(result.per_s)
                    figures["p50_ms"].append(result.took_ms(0.5))
                    figures["p99_ms"].append(result.took_ms(0.99))
    return {
        askers: {name: {key: Spread.of(values) for key, values in each.items()} for name, each in contenders.items()}
        for askers, contenders in found.items()
    }


def table(figures: dict[int, dict[str, dict[str, Spread]]]) -> Table:
    """Medians, and the ratios to the first contender in the same round."""
    shown = Table("askers", "batching", "videos/s", "to the first", "p50 ms", "p99 ms", "p99 to the first")
    for askers, contenders in figures.items():
        first = contenders[CONTENDERS[0].name]
        for name, each in contenders.items():
            ratios = (Spread.ratios(each[key].rounds, first[key].rounds).median for key in ("per_s", "p99_ms"))
            speed, wait = (f"{ratio:.2f}" for ratio in ratios)
            medians = [each[key].median for key in ("per_s", "p50_ms", "p99_ms")]
            shown.add_row(str(askers), name, f"{medians[0]:.1f}", speed, f"{medians[1]:.0f}", f"{medians[2]:.0f}", wait)
    return shown


def main() -> None:
    """Measures, prints, and writes what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--askers", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    machine, measured = machine_facts(), datetime.now(UTC).isoformat(timespec="seconds")
    figures = measure(options.rounds, options.seconds, options.askers)
    Console(soft_wrap=True).print(table(figures))
    if options.json:
        document = {
            "measured": measured,
            "machine": machine,
            "contenders": [vars(each) for each in CONTENDERS],
            "figures": {
                str(askers): {
                    name: {key: spread.as_json() for key, spread in each.items()} for name, each in contenders.items()
                }
                for askers, contenders in figures.items()
            },
        }
        options.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
