"""What the GPU report says: figures of each kind of clip, as a table and as a JSON file."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from gpu_usage import GpuUsage
from wildgate_perf.loops import Measured

__all__ = ["KindResult", "result_of", "result_table", "results_file", "stage_table", "write_results"]


@dataclass(frozen=True)
class KindResult:
    """The figures of one kind of clip; times in milliseconds, `stages_ms` are medians.

    `decode_only_per_s` is what `clip_decoder` alone does with the same clips, asked by clients that take its frames:
    the ceiling that was measured. `nvdec_share` is the part of it that the whole way reaches.
    `nvdec_ceiling_per_s` is what NVDEC could do were it busy all the time, reckoned from how busy it was in the
    quicker of the two runs.
    """

    kind: str
    videos_per_s: float
    took_ms: Mapping[str, float]
    stages_ms: Mapping[str, float]
    failures: Mapping[str, int]
    usage: GpuUsage
    decode_only_per_s: float
    decode_only_usage: GpuUsage
    nvdec_share: float | None
    nvdec_ceiling_per_s: float | None


def result_of(kind: str, whole: Measured, usage: GpuUsage, decoding: Measured, decoding_usage: GpuUsage) -> KindResult:
    """The figures of both runs put together."""
    per_s, decode_per_s = whole.per_s, decoding.per_s
    quicker = (per_s, usage) if per_s > decode_per_s else (decode_per_s, decoding_usage)
    busy = quicker[1].nvdec_percent
    return KindResult(
        kind=kind,
        videos_per_s=round(per_s, 1),
        took_ms={f"p{share * 100:g}": round(whole.took_ms(share), 2) for share in (0.5, 0.95, 0.99)},
        stages_ms={name: round(value, 3) for name, value in whole.stages_ms(0.5).items()},
        failures=dict(Counter(whole.failures + decoding.failures)),
        usage=usage,
        decode_only_per_s=round(decode_per_s, 1),
        decode_only_usage=decoding_usage,
        nvdec_share=round(per_s / decode_per_s, 3) if decode_per_s else None,
        nvdec_ceiling_per_s=round(quicker[0] * 100 / busy, 1) if busy else None,
    )


def result_table(results: Sequence[KindResult]) -> Table:
    """The results, one row for each kind; times in milliseconds, use in percent."""
    table = Table("clips", "videos/s", "p50", "p95", "GPU", "NVDEC", "decode/s", "share", "failed", box=box.SIMPLE_HEAD)
    for result in results:
        table.add_row(
            result.kind,
            f"{result.videos_per_s:.0f}",
            f"{result.took_ms['p50']:.0f}",
            f"{result.took_ms['p95']:.0f}",
            _known(result.usage.gpu_percent, ".0f"),
            _known(result.usage.nvdec_percent, ".0f"),
            f"{result.decode_only_per_s:.0f}",
            _known(result.nvdec_share, ".2f"),
            str(sum(result.failures.values())),
        )
    return table


def stage_table(results: Sequence[KindResult]) -> Table:
    """The medians of the stage times in milliseconds, one column for each kind."""
    table = Table("stage", *(result.kind for result in results), box=box.SIMPLE_HEAD)
    for stage in dict.fromkeys(stage for result in results for stage in result.stages_ms):
        table.add_row(stage, *(_known(result.stages_ms.get(stage), ".1f") for result in results))
    return table


def results_file(folder: Path, gpu: str) -> Path:
    """Where the results of the GPU called `gpu` go: `nvidia-h200.json`."""
    return folder / (re.sub(r"[^a-z0-9]+", "-", gpu.lower()).strip("-") + ".json")


def write_results(file: Path, facts: Mapping[str, Any], results: Sequence[KindResult]) -> None:
    """Writes facts and results as JSON; NaN, of a run without an answer, becomes null."""
    file.parent.mkdir(parents=True, exist_ok=True)
    content = {**facts, "results": [asdict(result) for result in results]}
    part = file.with_suffix(".part")
    part.write_text(json.dumps(_without_nan(content), indent=2) + "\n", encoding="utf-8")
    part.replace(file)


def _without_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nan(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(entry) for entry in value]
    return None if isinstance(value, float) and value != value else value


def _known(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
