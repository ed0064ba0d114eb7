"""The gateway put together: who owns what, in which order it starts, and how it stops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial

import structlog

from wildgate_server.access.access_interceptor import GATEWAY_CALLS, AccessInterceptor
from wildgate_server.access.tenants import Tenants
from wildgate_server.access.tokens import TokenCheck, token_check
from wildgate_server.admission import Admission
from wildgate_server.blocking import Blocking
from wildgate_server.blocks.block_service import BlockService, ForwardingBlockService
from wildgate_server.blocks.confirmed_entries import ConfirmedEntries
from wildgate_server.blocks.dense import dense_config
from wildgate_server.blocks.follower import BlockState
from wildgate_server.blocks.setup import KnownBlocks, known_blocks
from wildgate_server.box_settings import triton_box
from wildgate_server.caching.setup import verdict_cache
from wildgate_server.caching.verdict_cache import VerdictCache
from wildgate_server.caching.verdict_key import VerdictBasis, decoder_digests
from wildgate_server.cores import available_cores
from wildgate_server.drift import Drift
from wildgate_server.endpoint import grpc_server, health_server
from wildgate_server.enforcement.embedded import embedded_enforcement
from wildgate_server.enforcement.handoff import CaseHandoff
from wildgate_server.enforcement.setup import case_handoff
from wildgate_server.errors import SettingsConflict
from wildgate_server.gauges import tell_gauges
from wildgate_server.inference.decoder_routing import needs_cpu_decoder
from wildgate_server.inference.observation import Observer
from wildgate_server.inference.questions import Questions
from wildgate_server.inference.release_router import ReleaseRouter
from wildgate_server.limit import GradientLimit
from wildgate_server.metrics import Metrics
from wildgate_server.monitoring import monitoring
from wildgate_server.owned_task import own_task
from wildgate_server.pipeline import ScoringPipeline
from wildgate_server.policy import SHIPPED_POLICY, PolicyError, load_policy
from wildgate_server.readiness import Readiness
from wildgate_server.repository.manifest import ModelManifest, load_manifest
from wildgate_server.repository.model_configs import CPU_PROFILE, ensembles
from wildgate_server.repository.releases import Releases
from wildgate_server.rollout.release_checks import check_labels, check_releases, load_serving_release
from wildgate_server.rollout.rollout_follower import RolloutFollower
from wildgate_server.rollout.setup import TritonInUse, triton_in_use
from wildgate_server.sampling.pool import SamplingPool
from wildgate_server.sampling.secret import SamplingSecret
from wildgate_server.scoring import Scorer
from wildgate_server.service import SERVICE_NAME, ScoringService
from wildgate_server.settings import ServerSettings
from wildgate_server.source.sources import Sources
from wildgate_server.tracing import tracing
from wildgate_server.transport import ServerTls, check_reach, listen, listening_socket
from wildgate_server.triton.pulse import Pulse
from wildgate_server.turns import Turns
from wildgate_server.wire import encoded_blocked_verdict, encoded_verdict, kept_fingerprint

__all__ = ["BLOCKS_HEALTH", "ENFORCEMENT_HEALTH", "LIVE_HEALTH", "Gateway", "check_settings", "run_gateway"]

LIVE_HEALTH = "wildgate.live"
"""What the health service calls the gateway itself: SERVING whatever is the matter with Triton."""
BLOCKS_HEALTH = "wildgate.blocks"
"""What the health service calls the list of blocks: SERVING while it is as its service has it."""
ENFORCEMENT_HEALTH = "wildgate.enforcement"
"""What it calls the hand-over of cases: SERVING while the enforcement service answers and no case is lost."""

_log = structlog.get_logger()

_HEALTH_ALONE = ServerTls(off=True)  # probes bring neither certificates nor tokens
_REFUSING_S = 0.4  # shorter than `admission` asks callers to stay away
_ANSWERING_S = 1.0  # for answers still under way when the last video is done


class Gateway:
    """A gateway that serves at `address` (`host:port`) from `run_gateway` on."""

    def __init__(
        self,
        settings: ServerSettings,
        manifest: ModelManifest,
        releases: Releases,
        sampling: SamplingPool,
        dense_sampling: SamplingPool,
        triton: TritonInUse,
        metrics: Metrics,
        cache: VerdictCache | None,
        blocks: KnownBlocks | None,
        cases: CaseHandoff | None,
        check: TokenCheck | None,
    ) -> None:
        self.address = ""
        self.backend_ended = triton.given_up
        self.metrics = metrics
        self._settings = settings.backend
        self._policy_file = settings.policy or SHIPPED_POLICY
        self._endpoint = settings.endpoint
        self.pulse = Pulse(triton.client, manifest, lambda: self._asked, triton.hangs)
        limit = GradientLimit(_least_under_way(settings), settings.admission.max_in_flight)
        self._admission, self._turns = Admission(settings.admission, limit), Turns(limit)
        self.router = ReleaseRouter(settings.batch, Questions(triton.client, metrics).detect, releases)
        self.follower = RolloutFollower(
            settings.backend.model_repository, manifest, self.router, triton.backend, self._check_releases
        )
        self._scorer = Scorer(
            policy=load_policy(self._policy_file),
            router=self.router,
            observer=Observer(manifest, self.router),
            frames=triton.client.frames,
            needs_cpu_decoder=partial(needs_cpu_decoder, profile=settings.backend.profile),
            metrics=metrics,
            canary_patience_s=settings.backend.canary_patience_s,
        )
        shared = settings.cache.redis_url is not None
        self.blocking: Blocking | None = None
        self.block_service: BlockService | ForwardingBlockService | None = None
        if blocks:
            self.blocking = Blocking(
                blocks.list,
                state=lambda: blocks.state,
                policy=lambda: self._scorer.policy,
                kept_fingerprint=kept_fingerprint,
                blocked_verdict=encoded_blocked_verdict,
                metrics=metrics,
            )
            entries = ConfirmedEntries(
                sources=Sources(settings.source),
                admission=self._admission,
                sampling=dense_sampling,
                usual=sampling,
                triton=triton.client,
                needs_cpu_decoder=self._scorer.needs_cpu_decoder,
                deadline_s=settings.admission.max_deadline_s,
            )
            self.block_service = (
                ForwardingBlockService(settings.blocks, entries.entry)
                if settings.blocks.target
                else BlockService(blocks.list, entries.entry)
            )
        secret = SamplingSecret.of(settings.sampling.secret_file, shared=shared)
        if shared and settings.sampling.secret_file is None:
            _log.warning("no_frames_are_drawn", hint="set sampling.secret_file, the same for all that share the cache")
        self.pipeline = ScoringPipeline(
            sources=Sources(settings.source),
            cache=cache,
            basis=VerdictBasis(
                manifest=manifest,
                decoders=decoder_digests(settings.backend.model_repository),
                profile=settings.backend.profile,
                sampling=settings.sampling,
                source=settings.source,
                secret=secret.fingerprint,
            ),
            sampling=sampling,
            secret=secret,
            random_share=settings.sampling.random_share,
            scorer=self._scorer,
            encode=partial(encoded_verdict, max_gap_s=settings.sampling.max_gap_s),
            metrics=metrics,
            turns=self._turns,
            budget=settings.budget.for_profile(settings.backend.profile),
            blocking=self.blocking,
            case_pictures=settings.enforcement.evidence_frames if cases else 0,
        )
        details: dict[str, Callable[[], bool]] = {LIVE_HEALTH: lambda: True}
        if blocks:
            details[BLOCKS_HEALTH] = lambda: blocks.state is BlockState.CURRENT
        if cases:
            details[ENFORCEMENT_HEALTH] = lambda: cases.healthy
        self.readiness = Readiness((SERVICE_NAME,), self._ready, details=details)
        self.server = grpc_server(
            ScoringService(
                self.pipeline, self._admission, metrics, settings.admission, cases, Tenants(settings.access.tenants)
            ),
            self.readiness,
            metrics=metrics,
            access=AccessInterceptor(check, GATEWAY_CALLS) if check else None,
            blocks=self.block_service,
            limits=settings.admission,
            max_connections=settings.endpoint.max_connections,
            max_connection_age_s=settings.endpoint.max_connection_age_s,
            max_video_bytes=settings.source.max_bytes,
        )
        tell_gauges(
            metrics,
            settings,
            admission=self._admission,
            turns=self._turns,
            sampling=sampling,
            triton=triton,
            router=self.router,
            follower=self.follower,
            pulse=self.pulse,
            pipeline=self.pipeline,
        )

    def reload(self) -> None:
        """Reads the policy file and the rollout again; a bad one is logged, and the one in force stays."""
        try:
            policy = load_policy(self._policy_file)
            check_labels(policy, self._policy_file, self.router.labels)
        except PolicyError as error:
            _log.error("policy_refused", error=str(error), in_force=self._scorer.policy.version)
        else:
            self._scorer.policy = policy
            _log.info("policy_loaded", file=str(self._policy_file), version=self._scorer.policy.version)
        self.follower.look_again()

    async def drain(self) -> None:
        """Is NOT_SERVING for `drain_pause_s`, then refuses new work until what is under way has ended (`drain_s`).

        gRPC cancels the calls that come in as it stops. So those who call all the time are refused first, and told to
        come back when this server is gone.
        """
        _log.info("draining", in_flight=self._admission.in_flight)
        await self.readiness.drain()
        await asyncio.sleep(self._endpoint.drain_pause_s)
        self._admission.close()
        refusing = asyncio.create_task(asyncio.sleep(_REFUSING_S))
        with suppress(TimeoutError):
            async with asyncio.timeout(self._endpoint.drain_s):
                await self._admission.drained()
        await refusing
        await self.server.stop(_ANSWERING_S)

    @property
    def _asked(self) -> Collection[str]:
        """The ensembles that answer; a failing version on trial costs no answer."""
        return ensembles(self.router.releases.without_canary().rollout)

    async def _ready(self) -> bool:
        return self.router.healthy and self.pulse.beats

    def _check_releases(self, releases: Releases) -> None:
        check_releases(releases, self._settings, self._scorer.policy, self._policy_file)


@asynccontextmanager
async def run_gateway(settings: ServerSettings) -> AsyncIterator[Gateway]:
    """Starts everything, in order, and stops it in reverse.

    Raises SettingsConflict, ManifestError, PolicyError, EngineDoesNotFit, TritonStartError and StartError, each naming
    what is wrong.
    """
    check, manifest, releases = check_settings(settings)
    listening_socket(settings.endpoint.address).close()  # says at once that it is taken, not when all has started
    metrics = Metrics(Drift(settings.drift))
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(tracing(settings.tracing, "wildgate-gateway"))
        cache = await stack.enter_async_context(
            verdict_cache(settings.cache, metrics, lookups=settings.admission.max_in_flight)
        )
        sampling = _sampling_pool(settings, manifest)
        stack.push_async_callback(asyncio.to_thread, sampling.close)
        dense_sampling = _sampling_pool(settings, manifest, dense=True)
        stack.push_async_callback(asyncio.to_thread, dense_sampling.close)
        warming_up = own_task(stack, "warm-up", sampling.warm_up())
        triton = await stack.enter_async_context(
            triton_in_use(
                settings.backend,
                releases.rollout,
                lambda: gateway.router.releases.rollout,
                metrics,
                rows_in_flight=settings.batch.max_rows * settings.batch.max_in_flight,
                box=triton_box(
                    settings.box,
                    connects=settings.backend.profile != CPU_PROFILE or settings.tracing.endpoint is not None,
                ),
                spans_to=settings.tracing.endpoint,
            )
        )
        blocks = await stack.enter_async_context(known_blocks(settings.blocks, metrics))
        secret = SamplingSecret.of(settings.sampling.secret_file, shared=settings.cache.redis_url is not None)
        cases = await stack.enter_async_context(case_handoff(settings.enforcement, secret, metrics))
        gateway = Gateway(
            settings, manifest, releases, sampling, dense_sampling, triton, metrics, cache, blocks, cases, check
        )
        follow = partial(gateway.follower.run, settings.backend.follow_rollout_s)
        watches: dict[str, Callable[[], Coroutine[None, None, None]]] = {
            **triton.watches,
            "pulse": gateway.pulse.run,
            "readiness": gateway.readiness.watch,
            "rollout": follow,
        }
        if cases:
            watches["cases"] = cases.deliver
        await stack.enter_async_context(gateway.router)
        stack.push_async_callback(gateway.pipeline.close)
        if gateway.blocking:
            stack.push_async_callback(asyncio.to_thread, gateway.blocking.close)
        if isinstance(gateway.block_service, ForwardingBlockService):
            stack.push_async_callback(gateway.block_service.close)
        await warming_up
        pages = {"/drift": metrics.drift.page, **({"/metrics/triton": triton.told} if triton.told else {})}
        monitored = monitoring(settings.endpoint.metrics, metrics, lambda: gateway.readiness.serving, pages)
        await stack.enter_async_context(monitored)
        if blocks and blocks.follower:
            own_task(stack, "blocks", gateway.readiness.depend_on(blocks.follower.run, "blocks"))
            with suppress(TimeoutError):
                async with asyncio.timeout(settings.blocks.wait_s):
                    await blocks.follower.caught_up.wait()
        await gateway.pulse.feel()
        await gateway.readiness.update()
        if settings.endpoint.health:
            probes = health_server(gateway.readiness)
            listen(probes, settings.endpoint.health, _HEALTH_ALONE)
            await probes.start()
            stack.push_async_callback(probes.stop, None)
        gateway.address = listen(gateway.server, settings.endpoint.address, settings.tls)
        await gateway.server.start()
        stack.push_async_callback(gateway.server.stop, None)
        if settings.enforcement.directory:
            service = embedded_enforcement(settings.enforcement, gateway.address, blocks=blocks is not None)
            watches["enforcement"] = (await stack.enter_async_context(service)).run
        for name, watch in watches.items():
            own_task(stack, name, gateway.readiness.depend_on(watch, name))
        yield gateway


def _least_under_way(settings: ServerSettings) -> int:
    """How many videos have to be under way for Triton to have work: on CPUs, batches are no faster by the row."""
    if settings.backend.profile == CPU_PROFILE:
        return settings.backend.instances or available_cores()
    return settings.batch.max_in_flight * max(settings.batch.max_rows // 2, 1)


def check_settings(settings: ServerSettings) -> tuple[TokenCheck | None, ModelManifest, Releases]:
    """Keys, manifest and releases that the settings name, with nothing started. Raises as `run_gateway` does."""
    check_reach(settings.endpoint.address, settings.tls)
    Tenants(settings.access.tenants)
    SamplingSecret.of(settings.sampling.secret_file, shared=settings.cache.redis_url is not None)
    return token_check(settings.access, settings.endpoint.address), *_checked_models(settings)


def _checked_models(settings: ServerSettings) -> tuple[ModelManifest, Releases]:
    """What the repository holds, refused before anything is started."""
    backend = settings.backend
    if backend.profile == "gpu" and backend.target is None:
        raise SettingsConflict(
            "backend.profile gpu needs an external Triton (--triton): the embedded one has neither DALI nor TensorRT"
        )
    if not backend.model_repository.is_dir():
        raise SettingsConflict(
            f"backend.model_repository: there is no directory {backend.model_repository}; "
            "start in a checkout of wildgate, or name one with --model-repository"
        )
    manifest = load_manifest(backend.model_repository)
    releases = load_serving_release(backend.model_repository, manifest)
    if settings.batch.max_rows > manifest.serving.max_batch_size:
        raise SettingsConflict(
            f"batch.max_rows is {settings.batch.max_rows}, the models take {manifest.serving.max_batch_size}"
        )
    policy_file = settings.policy or SHIPPED_POLICY
    check_releases(releases, backend, load_policy(policy_file), policy_file)
    return manifest, releases


def _sampling_pool(settings: ServerSettings, manifest: ModelManifest, *, dense: bool = False) -> SamplingPool:
    """A `dense` one is for confirmed videos; its worker starts with the first of them."""
    config = settings.sampling.config(manifest.frames_per_window, read_coding=settings.backend.profile != CPU_PROFILE)
    limits = settings.sampling.limits(settings.source, manifest.max_frame_pixels)
    if not dense:
        return SamplingPool(settings.sampling, config, limits, boxes=settings.box)
    few = settings.sampling.model_copy(update={"workers": 1, "fetch_workers": 1})
    return SamplingPool(few, dense_config(config), limits, boxes=settings.box)
