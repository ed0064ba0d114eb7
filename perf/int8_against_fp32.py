"""The INT8 detector against the fp32 one in the `cpu` profile: how much faster, and what it costs, in one run.

    python perf/int8_against_fp32.py --detector FP32.onnx --int8 INT8.onnx --videos DIR [--rounds 20]
                                     [--output perf/results/int8_against_fp32.json]

Speed is measured as Triton runs the detector: instances are processes with one thread each, and all work at the same
time; the two files take turns within each round. What it costs is measured as `wildgate-build check` does, by the
shipped policy: the same frames of the same videos through both, detections matched, verdicts compared. The videos
should be others than those that calibrated.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnxruntime

from detector_runtimes import GRAPH, Contender, Instances
from wildgate_build.check.comparison import EvaluationSet, compare_files
from wildgate_build.check.verdicts import read_policy
from wildgate_build.durable_files import check_writable, write_files
from wildgate_build.errors import BuildError
from wildgate_build.standard_file import StandardFile

HERE = Path(__file__).parent
FLAGS = ("avx2", "fma", "avx_vnni", "avx512f", "avx512_vnni", "amx_int8")


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    facts = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    known = {key.strip(): value.strip() for key, value in facts.items()}
    return {
        "cpu": known.get("model name", platform.processor()),
        "cores": len(os.sched_getaffinity(0)),
        "flags": [flag for flag in FLAGS if flag in known.get("flags", "").split()],
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "onnxruntime": onnxruntime.__version__,
    }


def speed(fp32: StandardFile, int8: StandardFile, instances: int, batch: int, rounds: int) -> dict[str, Any]:
    """Medians in milliseconds a window, the ratio of the medians, and where the ratios of single rounds lie."""
    contenders = {name: Contender("onnxruntime", file.path) for name, file in (("fp32", fp32), ("int8", int8))}
    with Instances(contenders, (fp32.frames, fp32.side), instances) as processes:
        times = processes.rounds(batch, rounds)
    ratios = [slow / fast for slow, fast in zip(times["fp32"], times["int8"], strict=True)]
    fp32_ms, int8_ms = median(times["fp32"]), median(times["int8"])
    return {
        "instances": instances,
        "batch": batch,
        "fp32_ms": round(fp32_ms, 2),
        "int8_ms": round(int8_ms, 2),
        "ratio": round(fp32_ms / int8_ms, 3),
        "ratio_p10_p90": [round(float(value), 3) for value in np.percentile(ratios, [10, 90])],
    }


def measured(options: argparse.Namespace) -> dict[str, Any]:
    """All figures. Raises BuildError when a file or video cannot be used, or the figures could not be written."""
    options.output.parent.mkdir(parents=True, exist_ok=True)
    check_writable(options.output, inputs=[options.detector, options.int8])
    grounds = EvaluationSet(options.videos, options.repository, read_policy(None))
    compared = compare_files(options.detector, options.int8, grounds)  # first, since it refuses what does not fit
    fp32, int8 = StandardFile.read(options.detector), StandardFile.read(options.int8)
    return {
        "machine": machine(),
        "fp32": {"digest": fp32.digest, "bytes": fp32.path.stat().st_size},
        "int8": {"digest": int8.digest, "bytes": int8.path.stat().st_size},
        "speed": [speed(fp32, int8, count, batch, options.rounds) for batch in options.batches for count in (1, 2)],
        "accuracy": compared.summary(),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, prints and writes; exit status 2 when a file or video cannot be used."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--detector", type=Path, default=GRAPH)
    parser.add_argument("--int8", type=Path, required=True)
    parser.add_argument("--videos", type=Path, nargs="+", default=[HERE.parent / "samples"])
    parser.add_argument("--repository", type=Path, default=HERE.parent / "model_repository")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--output", type=Path, default=HERE / "results" / "int8_against_fp32.json")
    options = parser.parse_args(arguments)
    try:
        figures = measured(options)
        write_files({options.output: (json.dumps(figures, indent=2) + "\n").encode()})
    except (BuildError, OSError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    for row in figures["speed"]:
        print(
            f"{row['instances']} instances of one thread, batch {row['batch']}: fp32 {row['fp32_ms']} ms a window, "
            f"int8 {row['int8_ms']} ms, {row['ratio']} times as fast (10-90 %: {row['ratio_p10_p90']})"
        )
    print(json.dumps(figures["accuracy"], indent=2))


if __name__ == "__main__":
    main()
