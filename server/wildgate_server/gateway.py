"""The gateway put together: who owns what, in which order it starts, and how it stops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from wildgate_server.admission import Admission
from wildgate_server.caching.verdict_cache import MemoryStore, VerdictCache, VerdictStore
from wildgate_server.caching.verdict_key import VerdictBasis, decoder_digests
from wildgate_server.caching.verdicts import Verdicts
from wildgate_server.decoder_routing import DecoderRouting
from wildgate_server.endpoint import StartError, grpc_server, listen, metrics_server
from wildgate_server.evidence import EvidenceMaker
from wildgate_server.media.sampled_video import VideoLimits
from wildgate_server.metrics import Metrics
from wildgate_server.policy import SHIPPED_POLICY, Policy, PolicyError, load_policy
from wildgate_server.readiness import Readiness
from wildgate_server.repository.engine_key import check_repository_engines
from wildgate_server.repository.machine import probe_machine
from wildgate_server.repository.manifest import ModelManifest, load_manifest
from wildgate_server.repository.releases import Releases, load_release, load_rollout, verify_files
from wildgate_server.rollout.backend import EmbeddedBackend, ExternalBackend, embedded_backend, scorers
from wildgate_server.rollout.model_healer import ModelHealer
from wildgate_server.rollout.rollout_follower import Backend, RolloutFollower, RolloutState
from wildgate_server.routes import Routes
from wildgate_server.sampling.pool import SamplingPool
from wildgate_server.scoring import Scorer
from wildgate_server.service import SERVICE_NAME, ScoringService
from wildgate_server.settings import CacheSettings, ServerSettings
from wildgate_server.source.sources import Sources
from wildgate_server.triton.client import TritonClient

if TYPE_CHECKING:
    from wildgate_server.caching.redis_verdicts import RedisStore

__all__ = ["Gateway", "SettingsConflict", "run_gateway"]

_log = structlog.get_logger()

_ANSWERING_S = 1.0  # for answers that are on their way when the last video is done


class SettingsConflict(Exception):
    """Settings that are valid by themselves but not together."""


class Gateway:
    """A gateway that serves at `address` (`host:port`) from `run_gateway` on."""

    def __init__(
        self,
        settings: ServerSettings,
        manifest: ModelManifest,
        releases: Releases,
        sampling: SamplingPool,
        triton: TritonClient,
        backend: Backend,
        redis: RedisStore | None,
    ) -> None:
        self.address = ""
        self.backend_ended = asyncio.Event()
        """Set when the embedded Triton has ended by itself: nothing can be scored any more."""
        self._backend_settings = settings.backend
        self._policy_file = settings.policy or SHIPPED_POLICY
        self._drain_s = settings.endpoint.drain_s
        self.routes = Routes(settings.batch, triton.detect, releases)
        self.follower = RolloutFollower(
            settings.backend.model_repository, manifest, self.routes, backend, self._check_releases
        )
        self._admission = Admission(settings.admission)
        self.metrics = self._metrics()
        cache = _verdict_cache(settings.cache, redis, self.metrics)
        self._scorer = Scorer(
            manifest=manifest,
            policy=load_policy(self._policy_file),
            sampling=sampling,
            software=DecoderRouting(settings.backend.profile).software,
            routes=self.routes,
            evidence=EvidenceMaker(triton.frames),
            metrics=self.metrics.canary,
            canary_patience_s=settings.backend.canary_patience_s,
        )
        self.readiness = Readiness((SERVICE_NAME,), self._ready)
        self._triton = triton
        self.verdicts = Verdicts(
            scorer=self._scorer,
            cache=cache,
            basis=VerdictBasis(
                manifest=manifest,
                decoders=decoder_digests(settings.backend.model_repository),
                profile=settings.backend.profile,
                sampling=settings.sampling,
                source=settings.source,
            ),
            metrics=self.metrics,
            max_gap_s=settings.sampling.max_gap_s,
        )
        self.metrics.gauge(
            "wildgate_flights", "Scorings under way that equal videos may share.", lambda: self.verdicts.flights
        )
        service = ScoringService(
            verdicts=self.verdicts,
            sources=Sources(settings.source),
            admission=self._admission,
            metrics=self.metrics,
            admission_settings=settings.admission,
        )
        self.server = grpc_server(settings, service, self.readiness)

    def reload(self) -> None:
        """Reads the policy file and the rollout again; a bad one is logged, and the one in force stays."""
        try:
            policy = load_policy(self._policy_file)
            _check_labels(policy, self._policy_file, self.routes.labels)
        except PolicyError as error:
            _log.error("policy_refused", error=str(error), in_force=self._scorer.policy.version)
        else:
            self._scorer.policy = policy
            _log.info("policy_loaded", file=str(self._policy_file), version=self._scorer.policy.version)
        self.follower.look_again()

    async def drain(self) -> None:
        """Takes no new work, lets work under way finish within `drain_s`, then stops serving."""
        _log.info("draining", in_flight=self._admission.in_flight)
        await self.readiness.drain()
        self._admission.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._drain_s):
                await self._admission.drained()
        await self.server.stop(_ANSWERING_S)

    async def _ready(self) -> bool:
        serving = self.routes.releases.without_canary().rollout  # a version on trial that fails costs nobody an answer
        asked = scorers(self._backend_settings.profile, serving)
        return self.routes.healthy and all([await self._triton.ready(name) for name in asked])

    def _check_releases(self, releases: Releases) -> None:
        """Raises PolicyError or EngineDoesNotFit for releases that cannot answer here; it reads whole engines."""
        _check_labels(self._scorer.policy, self._policy_file, _labels(releases))
        if self._backend_settings.target is None:
            _check_engines(self._backend_settings.model_repository, self._backend_settings.profile, releases)

    def _metrics(self) -> Metrics:
        metrics = Metrics()
        admission, routes, follower = self._admission, self.routes, self.follower
        metrics.gauge("wildgate_videos_in_flight", "Videos that hold a place.", lambda: admission.in_flight)
        metrics.gauge("wildgate_rows_waiting", "Clip windows that wait for a batch.", lambda: routes.depth)
        metrics.gauge(
            "wildgate_rollout_serving",
            "The detector's version that serves.",
            lambda: routes.releases.rollout.serving,
        )
        metrics.gauge(
            "wildgate_rollout_canary",
            "The detector's version on trial; 0 when there is none.",
            lambda: canary.version if (canary := routes.releases.rollout.canary) else 0,
        )
        metrics.gauge(
            "wildgate_rollout_refused",
            "1 while rollout.yaml asks for what cannot be brought into force.",
            lambda: follower.state is RolloutState.REFUSED,
        )
        metrics.gauge(
            "wildgate_rollout_waiting",
            "1 while rollout.yaml asks for what the external Triton has not loaded yet.",
            lambda: follower.state is RolloutState.WAITING,
        )
        return metrics


@asynccontextmanager
async def run_gateway(settings: ServerSettings) -> AsyncIterator[Gateway]:
    """Starts everything, in order, and stops it in reverse.

    Raises SettingsConflict, ManifestError, PolicyError, EngineDoesNotFit, TritonStartError and StartError, each naming
    what is wrong.
    """
    manifest, releases = _checked_models(settings)
    async with AsyncExitStack() as stack:
        redis = _redis_store(settings.cache, lookups=settings.admission.max_in_flight)
        if redis:
            stack.push_async_callback(redis.close)
        config = settings.sampling.config(manifest.frames_per_window, read_coding=settings.backend.profile != "cpu")
        limits = VideoLimits(
            max_bytes=settings.source.max_bytes,
            max_pixels=manifest.max_frame_pixels,
            max_seconds=settings.source.max_seconds,
        )
        sampling = SamplingPool(settings.sampling, config, limits)
        stack.push_async_callback(asyncio.to_thread, sampling.close)
        warming_up = asyncio.create_task(sampling.warm_up(), name="warm-up")
        stack.push_async_callback(_cancelled, warming_up)
        watches: list[Callable[[], Coroutine[None, None, None]]] = []
        if settings.backend.target is None:
            embedded = await stack.enter_async_context(
                embedded_backend(settings.backend, settings.batch, releases.rollout)
            )
            healer = ModelHealer(embedded.revive_model, lambda model: triton.healed(model))
            target = embedded.embedded.endpoints.grpc
            triton = await stack.enter_async_context(
                TritonClient(target, profile=settings.backend.profile, on_dead=healer.dead)
            )
            gateway = Gateway(settings, manifest, releases, sampling, triton, embedded, redis)
            watches += [healer.run, partial(_tell_end, embedded, gateway)]
        else:
            triton = await stack.enter_async_context(
                TritonClient(settings.backend.target, profile=settings.backend.profile)
            )
            external = ExternalBackend(triton, settings.backend.profile)
            gateway = Gateway(settings, manifest, releases, sampling, triton, external, redis)
        watches += [gateway.readiness.watch, partial(gateway.follower.run, settings.backend.follow_rollout_s)]
        await stack.enter_async_context(gateway.routes)
        stack.push_async_callback(gateway.verdicts.close)
        await warming_up
        if settings.endpoint.metrics:
            stack.enter_context(metrics_server(settings.endpoint.metrics, gateway.metrics))
        await gateway.readiness.update()
        gateway.address = listen(gateway.server, settings.endpoint.address)
        await gateway.server.start()
        stack.push_async_callback(gateway.server.stop, None)
        for watch in watches:
            name = getattr(watch, "func", watch).__qualname__
            watched = asyncio.create_task(gateway.readiness.depend_on(watch, name), name=name)
            stack.push_async_callback(_cancelled, watched)
        yield gateway


def _redis_store(settings: CacheSettings, *, lookups: int) -> RedisStore | None:
    """The Redis of the settings, for so many lookups at once.

    Raises StartError for a URL that is none, and where Redis's client is not installed. A Redis that is away does not
    keep the gateway from starting.
    """
    if settings.redis_url is None:
        return None
    try:
        from wildgate_server.caching.redis_verdicts import BadRedisUrl, RedisStore
    except ModuleNotFoundError as missing:
        if (missing.name or "").startswith("wildgate"):
            raise  # a broken installation, not a missing extra
        raise StartError(
            f"cache.redis_url: needs {missing.name}; install it with: pip install 'wildgate[redis]'"
        ) from None
    try:
        return RedisStore(settings.redis_url.get_secret_value(), settings.redis_timeout_ms / 1e3, lookups=lookups)
    except BadRedisUrl as error:
        raise StartError(f"cache.redis_url: {error}") from error


def _verdict_cache(settings: CacheSettings, redis: RedisStore | None, metrics: Metrics) -> VerdictCache | None:
    """The cache with what there is to keep verdicts in, or None where there is nothing."""
    stores: list[VerdictStore] = []
    if settings.max_entries:
        memory = MemoryStore(settings.max_entries, settings.max_mb << 20)
        metrics.gauge("wildgate_cache_entries", "Verdicts kept in memory.", lambda: memory.entries)
        metrics.gauge("wildgate_cache_bytes", "Bytes that these take.", lambda: memory.size_bytes)
        stores.append(memory)
    if redis:
        metrics.gauge(
            "wildgate_cache_redis_left_alone",
            "1 while Redis has failed so often that it is hardly asked.",
            lambda: redis.left_alone,
        )
        stores.append(redis)
    return VerdictCache(stores, settings.ttl_s, metrics.cache) if stores else None


def _checked_models(settings: ServerSettings) -> tuple[ModelManifest, Releases]:
    """What the repository holds, refused before anything is started.

    A version on trial is left to the follower: one that cannot answer must not keep what serves from starting.
    """
    backend = settings.backend
    if backend.profile == "gpu" and backend.target is None:
        raise SettingsConflict(
            "backend.profile gpu wants an external Triton (--triton): the embedded one has neither DALI nor TensorRT"
        )
    manifest = load_manifest(backend.model_repository)
    rollout = load_rollout(backend.model_repository).model_copy(update={"canary": None})
    release = load_release(backend.model_repository, rollout.serving, manifest)
    verify_files(backend.model_repository, release)
    releases = Releases(rollout, {rollout.serving: release})
    if settings.batch.max_rows > manifest.serving.max_batch_size:
        raise SettingsConflict(
            f"batch.max_rows is {settings.batch.max_rows}, the models take {manifest.serving.max_batch_size}"
        )
    policy_file = settings.policy or SHIPPED_POLICY
    _check_labels(load_policy(policy_file), policy_file, _labels(releases))
    if backend.target is None:
        _check_engines(backend.model_repository, backend.profile, releases)
    return manifest, releases


def _check_engines(repository: Path, profile: str, releases: Releases) -> None:
    if profile != "cpu":
        check_repository_engines(repository, profile, releases.rollout.versions, probe_machine())


def _labels(releases: Releases) -> dict[str, tuple[str, ...]]:
    return {release.model_version: release.labels for release in releases.by_version.values()}


def _check_labels(policy: Policy, file: Path, labels: Mapping[str, Sequence[str]]) -> None:
    """Raises PolicyError for a label that the policy has no rule for; `labels` are those of each model version."""
    for model_version, known in labels.items():
        if missing := policy.missing(known):
            raise PolicyError(f"{file}: labels: no rule for {', '.join(missing)}, which {model_version} knows")


async def _tell_end(backend: EmbeddedBackend, gateway: Gateway) -> None:
    """Tells the gateway when its embedded Triton ends by itself."""
    status = await backend.embedded.wait()
    _log.error("triton_ended", status=status, log=str(backend.embedded.log_file))
    gateway.backend_ended.set()


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
