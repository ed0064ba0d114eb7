"""A run: the manifest is read, its rows are scored by a pool of workers, and written as they come.

Ray Data does all of it. Its checkpoint makes a run resumable: a file of rows is written between an announcement and a
commit of the ids in it, so that what was not committed is taken away and scored again, and what was is skipped
(`ray.data.checkpoint`). All lies below the output:

    OUTPUT/videos/table=verdicts/*.parquet     what was scored
    OUTPUT/videos/table=failures/*.parquet     what has no verdict, and why; a manifest itself, to try them again
    OUTPUT/manifest/, OUTPUT/checkpoint/       the rows asked for, and the ids that are done
"""

from __future__ import annotations

import logging
import os
import re
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset
import ray
import ray.data
from ray.data.checkpoint import CheckpointConfig
from ray.data.exceptions import SystemException

from wildgate_bulk.errors import RunStopped
from wildgate_bulk.manifest import Columns, copy_manifest, located
from wildgate_bulk.rows import FAILURES, TABLE, VERDICTS
from wildgate_bulk.scorer import BatchScorer, GatewayOptions

__all__ = ["Outcome", "RunOptions", "run_bulk"]

_BATCHES_AT_ONCE = 4  # of a task of an asynchronous worker: what Ray Data does by default
_SETTINGS = "WILDGATE_"
_ERROR = re.compile(r"^(?:wildgate_bulk\.errors\.RunStopped: )?(\w[\w.]*: .*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What is read and written, and by how many workers.

    A file of the output has `rows_per_file` rows: as many are scored again when a worker is lost. The pool grows from
    `min_workers` to `max_workers` (None: as many as the cluster has room for), each with `worker_cpus` (None: with a
    gateway of its own all of a node's but one, else one).
    """

    manifest: str
    output: str
    form: str | None = None
    id_column: str | None = None
    uri_column: str = "uri"
    rows_per_file: int = 1000
    min_workers: int = 1
    max_workers: int | None = None
    worker_cpus: float | None = None
    ray_address: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How many videos have a verdict and how many do not, all runs together."""

    verdicts: int
    failures: int


def run_bulk(options: RunOptions, gateway: GatewayOptions) -> Outcome:
    """Scores what is not done yet. Raises ManifestUnusable, and RunStopped, after which the same call goes on."""
    output = located(options.output).rstrip("/")
    columns = Columns(options.id_column, options.uri_column)
    asked = copy_manifest(options.manifest, options.form, columns, f"{output}/manifest")
    _connect(options.ray_address)
    context = ray.data.DataContext.get_current()
    # Kept when all is done: the same command once more finds nothing to do.
    context.checkpoint_config = CheckpointConfig(columns.id, f"{output}/checkpoint", delete_checkpoint_on_success=False)
    try:
        rows = ray.data.read_parquet(f"{output}/manifest")
        scored = rows.repartition(target_num_rows_per_block=options.rows_per_file).map_batches(
            BatchScorer,
            fn_constructor_args=(gateway, columns),
            batch_format="pyarrow",
            batch_size=max(1, min(gateway.in_flight // 2, options.rows_per_file // _BATCHES_AT_ONCE)),
            compute=ray.data.ActorPoolStrategy(
                min_size=options.min_workers, max_size=options.max_workers, max_concurrent_calls_per_actor=2
            ),
            num_cpus=options.worker_cpus or _worker_cpus(own_gateway=gateway.server is None),
            runtime_env={"env_vars": {name: value for name, value in os.environ.items() if name.startswith(_SETTINGS)}},
        )
        scored.write_parquet(f"{output}/videos", partition_cols=[TABLE])
    except (ray.exceptions.RayError, SystemException, RunStopped) as error:
        raise RunStopped(_words(error)) from error
    finally:
        context.checkpoint_config = None
    return _outcome(f"{output}/videos", asked)


def _connect(address: str | None) -> None:
    """To a cluster, or to one of this machine that goes with this process."""
    if not ray.is_initialized():
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to others
        ray.init(address=address, log_to_driver=False, include_dashboard=None if address else False)
    logging.getLogger("ray.data").setLevel(logging.WARNING)  # progress is a bar


def _worker_cpus(*, own_gateway: bool) -> float:
    """One; or all of the smallest node's but one, which reading and writing need."""
    if not own_gateway:
        return 1.0
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    smallest = min((node["Resources"].get("CPU", 0) for node in nodes if node["Alive"]), default=1.0)
    return max(0.5, float(smallest) - 1)


def _outcome(folder: str, asked: int) -> Outcome:
    """Counts what is there. Raises RunStopped where that is not a row for each video."""
    found = pa.dataset.dataset(folder, format="parquet", partitioning="hive")
    verdicts, failures = (found.count_rows(filter=pc.field(TABLE) == table) for table in (VERDICTS, FAILURES))
    if verdicts + failures != asked:
        raise RunStopped(f"{folder}: has {verdicts + failures} rows for {asked} videos; was another run at work there?")
    return Outcome(verdicts, failures)


def _words(error: BaseException) -> str:
    """What stopped the run: of the tracebacks of other processes that Ray quotes, what the first one ends with."""
    said = _ERROR.search(str(error))
    return said[1] if said else str(error)
