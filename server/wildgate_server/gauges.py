"""What the gateway's parts tell Prometheus of themselves whenever they are asked."""

from __future__ import annotations

from wildgate_server.admission import Admission
from wildgate_server.inference.release_router import ReleaseRouter
from wildgate_server.metrics import Metrics
from wildgate_server.pipeline import ScoringPipeline
from wildgate_server.processor_time import ProcessorTimes
from wildgate_server.rollout.rollout_follower import RolloutFollower, RolloutState
from wildgate_server.rollout.setup import TritonInUse
from wildgate_server.sampling.pool import SamplingPool
from wildgate_server.settings import ServerSettings
from wildgate_server.triton.pulse import Pulse
from wildgate_server.turns import Turns

__all__ = ["tell_gauges"]


def tell_gauges(
    metrics: Metrics,
    settings: ServerSettings,
    *,
    admission: Admission,
    turns: Turns,
    sampling: SamplingPool,
    triton: TritonInUse,
    router: ReleaseRouter,
    follower: RolloutFollower,
    pulse: Pulse,
    pipeline: ScoringPipeline,
) -> None:
    """Has `metrics` tell of these parts; docs/metrics.md says what each metric is for."""
    gauge, gauges = metrics.gauge, metrics.gauges

    limits = settings.admission
    gauge("wildgate_videos_in_flight", "Videos that hold a place.", lambda: admission.in_flight)
    gauge("wildgate_videos_in_flight_limit", "How many may.", lambda: limits.max_in_flight)
    gauge("wildgate_videos_waiting", "Videos of streams that wait for a place.", lambda: admission.waiting)
    gauge("wildgate_videos_under_way", "Videos that are looked at.", lambda: turns.under_way)
    gauge("wildgate_videos_under_way_limit", "How many may be, at present.", lambda: turns.limit)
    gauge("wildgate_turns_waiting", "Videos with a place that wait for their turn.", lambda: turns.waiting)
    gauge("wildgate_request_bytes_in_flight", "Bytes of their requests.", lambda: admission.bytes_in_flight)
    gauge("wildgate_request_bytes_in_flight_limit", "How many may be.", lambda: limits.max_in_flight_mb << 20)
    gauge("wildgate_flights", "Scorings under way that equal videos may share.", lambda: pipeline.flights)

    gauges("wildgate_sampling_workers", "Sampling workers.", ["kind", "state"], lambda: sampling.workers)
    gauge("wildgate_rows_waiting", "Clip windows that wait for a batch.", lambda: router.depth)
    most = settings.batch.max_in_flight
    gauge("wildgate_batches_in_flight_limit", "Questions to Triton at once, of an ensemble.", lambda: most)
    gauge("wildgate_triton_healthy", "1 while videos are really scored.", lambda: pulse.beats)

    def deaths() -> dict[tuple[str, ...], float]:
        return {(name,): count for name, count in {"sampling_worker": sampling.deaths, **triton.deaths()}.items()}

    metrics.counters("wildgate_deaths", "Processes that ended unasked.", ["process"], deaths)
    about = "Processor time of the gateway's processes and of Triton's, by what they are."
    metrics.counters("wildgate_process_cpu_seconds", about, ["process"], ProcessorTimes().read)

    def models() -> dict[tuple[str, ...], float]:
        releases = router.releases
        versions = {"serving": releases.rollout.serving}
        if canary := releases.rollout.canary:
            versions["canary"] = canary.version
        return {(role, releases.by_version[version].model_version): 1 for role, version in versions.items()}

    def policy() -> dict[tuple[str, ...], float]:
        return {(pipeline.scorer.policy.version,): 1}

    gauges("wildgate_model_info", "The detector in force.", ["role", "model_version"], models)
    gauges("wildgate_policy_info", "The policy in force.", ["policy_version"], policy)
    gauge("wildgate_rollout_serving", "The detector's version that serves.", lambda: router.releases.rollout.serving)
    gauge(
        "wildgate_rollout_canary",
        "The detector's version on trial; 0 when there is none.",
        lambda: canary.version if (canary := router.releases.rollout.canary) else 0,
    )
    gauge(
        "wildgate_rollout_refused",
        "1 while rollout.yaml asks for what cannot be brought into force.",
        lambda: follower.state is RolloutState.REFUSED,
    )
    gauge(
        "wildgate_rollout_waiting",
        "1 while rollout.yaml asks for what the external Triton has not loaded yet.",
        lambda: follower.state is RolloutState.WAITING,
    )
