"""The gateway put together: who owns what, in which order it starts, and how it stops."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from wildgate_server.admission import Admission
from wildgate_server.batcher import Batcher
from wildgate_server.embedded_triton import EmbeddedTriton, EmbeddedTritonConfig
from wildgate_server.endpoint import grpc_server, listen, metrics_server
from wildgate_server.evidence import EvidenceMaker
from wildgate_server.manifest import ModelManifest, load_manifest
from wildgate_server.metrics import Metrics
from wildgate_server.policy import SHIPPED_POLICY, Policy, PolicyError, load_policy
from wildgate_server.readiness import Readiness
from wildgate_server.sampling_pool import SamplingPool
from wildgate_server.scoring import Scorer
from wildgate_server.service import SERVICE_NAME, ScoringService
from wildgate_server.settings import BackendSettings, ServerSettings
from wildgate_server.sources import Sources
from wildgate_server.triton import TritonClient

__all__ = ["Gateway", "SettingsConflict", "run_gateway"]

_log = structlog.get_logger()

_ANSWERING_S = 1.0  # for answers that are on their way when the last video is done


class SettingsConflict(Exception):
    """Settings that are valid by themselves but not together."""


class Gateway:
    """A gateway that serves at `address` (`host:port`) from `run_gateway` on."""

    def __init__(
        self, settings: ServerSettings, manifest: ModelManifest, sampling: SamplingPool, triton: TritonClient
    ) -> None:
        self.address = ""
        self.backend_ended = asyncio.Event()
        """Set when the embedded Triton has ended by itself: nothing can be scored any more."""
        self._manifest = manifest
        self._policy_file = settings.policy or SHIPPED_POLICY
        self._drain_s = settings.endpoint.drain_s
        self.batcher = Batcher(settings.batch, triton.detect)
        self._scorer = Scorer(
            manifest=manifest,
            policy=_policy(self._policy_file, manifest),
            sampling=sampling,
            batcher=self.batcher,
            evidence=EvidenceMaker(triton.frames),
        )
        self._admission = Admission(settings.admission)
        self.metrics = self._metrics()
        self.readiness = Readiness((SERVICE_NAME,), self._ready)
        self._triton = triton
        service = ScoringService(
            scorer=self._scorer,
            sources=Sources(settings.source),
            admission=self._admission,
            metrics=self.metrics,
            admission_settings=settings.admission,
            sampling_settings=settings.sampling,
        )
        self.server = grpc_server(settings, service, self.readiness)

    def reload_policy(self) -> None:
        """Reads the policy file again; a bad one is logged, and the policy in force stays."""
        try:
            self._scorer.policy = _policy(self._policy_file, self._manifest)
        except PolicyError as error:
            _log.error("policy_refused", error=str(error), in_force=self._scorer.policy.version)
        else:
            _log.info("policy_loaded", file=str(self._policy_file), version=self._scorer.policy.version)

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
        return self.batcher.healthy and await self._triton.ready()

    def _metrics(self) -> Metrics:
        metrics = Metrics()
        admission, batcher = self._admission, self.batcher
        metrics.gauge("wildgate_videos_in_flight", "Videos that hold a place.", lambda: admission.in_flight)
        metrics.gauge("wildgate_rows_waiting", "Clip windows that wait for a batch.", lambda: batcher.depth)
        return metrics


@asynccontextmanager
async def run_gateway(settings: ServerSettings) -> AsyncIterator[Gateway]:
    """Starts everything, in order, and stops it in reverse.

    Raises SettingsConflict, ManifestError, PolicyError, TritonStartError and StartError, each naming what is wrong.
    """
    manifest = load_manifest(settings.backend.model_repository)
    if settings.batch.max_rows > manifest.serving.max_batch_size:
        raise SettingsConflict(
            f"batch.max_rows is {settings.batch.max_rows}, the models take {manifest.serving.max_batch_size}"
        )
    _policy(settings.policy or SHIPPED_POLICY, manifest)  # refused before anything is started

    async with AsyncExitStack() as stack:
        sampling = SamplingPool(settings.sampling, settings.source, manifest)
        stack.push_async_callback(asyncio.to_thread, sampling.close)
        warming_up = asyncio.create_task(sampling.warm_up(), name="warm-up")
        stack.push_async_callback(_cancelled, warming_up)
        backend = await stack.enter_async_context(_backend(settings.backend))
        triton = await stack.enter_async_context(TritonClient(backend.target))
        gateway = Gateway(settings, manifest, sampling, triton)
        await stack.enter_async_context(gateway.batcher)
        await warming_up
        if settings.endpoint.metrics:
            stack.enter_context(metrics_server(settings.endpoint.metrics, gateway.metrics))
        await gateway.readiness.update()
        gateway.address = listen(gateway.server, settings.endpoint.address)
        await gateway.server.start()
        stack.push_async_callback(gateway.server.stop, None)
        for name, watch in (("readiness", gateway.readiness.watch()), ("backend", _tell_end(backend, gateway))):
            stack.push_async_callback(_cancelled, asyncio.create_task(watch, name=name))
        yield gateway


def _policy(file: Path, manifest: ModelManifest) -> Policy:
    """The policy in `file`, which must have a rule for every label of the detector. Raises PolicyError."""
    policy = load_policy(file)
    if missing := policy.missing(manifest.labels):
        raise PolicyError(f"{file}: labels: no rule for {', '.join(missing)}, which the detector knows")
    return policy


@dataclass(frozen=True)
class _Backend:
    """The gRPC target of the Triton to ask, and the embedded server if that is what is asked."""

    target: str
    embedded: EmbeddedTriton | None = None


@asynccontextmanager
async def _backend(settings: BackendSettings) -> AsyncIterator[_Backend]:
    """An external Triton, or an embedded one that runs as long as the context."""
    if settings.target is not None:
        yield _Backend(settings.target)
        return
    config = EmbeddedTritonConfig(
        model_repository=settings.model_repository,
        state_directory=settings.log_dir or Path(tempfile.mkdtemp(prefix="wildgate-")),
        instances=settings.instances,
        startup_timeout_s=settings.startup_timeout_s,
    )
    async with EmbeddedTriton(config) as embedded:
        yield _Backend(embedded.endpoints.grpc, embedded)


async def _tell_end(backend: _Backend, gateway: Gateway) -> None:
    """Tells the gateway when its embedded Triton ends by itself; an external one is waited for to come back."""
    if backend.embedded:
        status = await backend.embedded.wait()
        _log.error("triton_ended", status=status, log=str(backend.embedded.log_file))
        gateway.backend_ended.set()


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
