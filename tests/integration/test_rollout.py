"""A version is published, tried, promoted and taken back while videos keep coming: none is lost."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx
import pytest
from gateway_under_test import PATIENCE_S, running, until
from patch_detector import patch_repository, write_detector
from traffic import VIDEOS, samples, traffic, until_gauge
from triton_requests import processes_with

from wildgate_build.publish.publishing import Publication, publish
from wildgate_build.publish.repository import Repository, read_policy
from wildgate_build.publish.rollout_change import change_rollout
from wildgate_build.publish.rollout_steps import promote, roll_back, start_canary, stop_canary
from wildgate_build.standard_file import StandardFile
from wildgate_client import Content, Verdict
from wildgate_server.repository.manifest import load_manifest
from wildgate_server.repository.model_configs import models_to_load
from wildgate_server.repository.releases import Rollout
from wildgate_server.rollout.canary import on_trial
from wildgate_server.rollout.load_command import load_models
from wildgate_server.settings import ServerSettings
from wildgate_server.triton.client import TritonClient
from wildgate_server.triton.runtime import find_triton_runtime

pytestmark = [pytest.mark.triton, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(300)]

GAINS = {"patch/1": 1.0, "patch/2": 0.5}


@pytest.fixture
def repository(model_repository: Path, tmp_path: Path) -> Repository:
    """A repository of its own, whose version 1 serves."""
    directory = tmp_path / "models"
    directory.mkdir()
    return Repository(patch_repository(model_repository, directory, version=1))


def own_settings(
    repository: Repository, policy_file: Path, log_dir: Path, target: str | None = None, *, kept_verdicts: int = 0
) -> ServerSettings:
    return ServerSettings(
        endpoint={"address": "127.0.0.1:0"},
        sampling={"workers": 1, "timeout_s": 60},
        backend={
            "target": target,
            "model_repository": repository.path,
            "log_dir": log_dir,
            "instances": 1,
            "follow_rollout_s": 0.1,
            "canary_patience_s": 60,
        },
        cache={"max_entries": kept_verdicts},
        policy=policy_file,
        log_level="warning",
    )


def detector_processes() -> set[str]:
    """The versions of detectors that run in the servers of this process's gateways and have a fitting name."""
    versions = set()
    for process in processes_with(f"wildgate-{os.getpid()}-"):
        for part in Path(f"/proc/{process}/cmdline").read_bytes().decode().split("\0"):
            if "/wildlife_detector/" in part and part.endswith("model.py"):
                versions.add(part.split("/")[-2])
    return versions


def published(repository: Repository, file: Path, policy_file: Path) -> int:
    publication = Publication(StandardFile.read(file), read_policy(policy_file), code_from=1)
    return publish(repository, publication).version


def changed(repository: Repository, policy_file: Path, step: Callable[[Rollout], Rollout]) -> None:
    change_rollout(repository, step, read_policy(policy_file))


def broken_detector(file: Path, repository: Repository) -> Path:
    """A detector whose interface is right and which no runtime can open: one of its operators does not exist."""
    model = onnx.load(write_detector(file, load_manifest(repository.path)))
    model.graph.node[3].op_type = "NoSuchOperator"
    onnx.save(model, file)
    return file


def check_verdicts(verdicts: list[tuple[int, Verdict]], digests: dict[int, str]) -> Counter[str]:
    """Every verdict names the version whose scores it has; how many each version made."""
    base = {
        number: max(found.score for found in verdict.detections)
        for number, verdict in verdicts
        if verdict.model_version == "patch/1"
    }
    for number, verdict in verdicts:
        best = max(found.score for found in verdict.detections)
        assert best == pytest.approx(base[number] * GAINS[verdict.model_version], abs=1e-4)
        digests[number] = verdict.content_digest
    return Counter(verdict.model_version for _, verdict in verdicts)


async def test_from_published_to_rolled_back_without_a_lost_video(
    repository: Repository, policy_file: Path, tmp_path: Path
) -> None:
    manifest = load_manifest(repository.path)
    others = detector_processes()
    async with running(own_settings(repository, policy_file, tmp_path)) as gateway, traffic(gateway) as flow:
        await flow.more(len(VIDEOS) * 2)
        digests: dict[int, str] = {}
        assert set(check_verdicts(flow.verdicts, digests)) == {"patch/1"}
        assert len(digests) == len(VIDEOS)

        file = write_detector(tmp_path / "half.onnx", manifest, gain=0.5)
        assert await asyncio.to_thread(published, repository, file, policy_file) == 2
        assert {verdict.model_version for _, verdict in await flow.more(8)} == {"patch/1"}, "it only lies there"

        # On trial: the digest decides, and what is answered is compared.
        await asyncio.to_thread(changed, repository, policy_file, lambda rollout: start_canary(rollout, 2, 0.5))
        await until_gauge(gateway.metrics, "wildgate_rollout_canary", 2)
        await flow.settle()
        trial = await flow.more(len(VIDEOS) * 2)
        async with flow.still():
            compared = samples(gateway.metrics, "wildgate_canary_verdicts_total")
            differences = samples(gateway.metrics, "wildgate_canary_score_difference_count")
            failed = samples(gateway.metrics, "wildgate_canary_failures_total")
            tried = sum(verdict.model_version == "patch/2" for _, verdict in flow.verdicts)
        assert failed == {}
        for number, verdict in trial:
            assert (verdict.model_version == "patch/2") == on_trial(digests[number], 0.5)
        assert {verdict.model_version for _, verdict in trial} == {"patch/1", "patch/2"}
        assert sum(compared.values()) == sum(differences.values()) == tried > 0
        actions = {(labels[1], labels[3]) for labels in compared}  # canary, canary_action, serving, serving_action
        assert actions == {("review", "review"), ("review", "block")}, "half of the score calls for less"

        await asyncio.to_thread(changed, repository, policy_file, lambda rollout: promote(rollout, None))
        await until_gauge(gateway.metrics, "wildgate_rollout_serving", 2)
        await flow.settle()
        assert {verdict.model_version for _, verdict in await flow.more(len(VIDEOS))} == {"patch/2"}

        await asyncio.to_thread(changed, repository, policy_file, roll_back)
        await until_gauge(gateway.metrics, "wildgate_rollout_serving", 1)
        await flow.settle()
        assert {verdict.model_version for _, verdict in await flow.more(len(VIDEOS))} == {"patch/1"}

        # A version that does not load is refused, and what serves does not notice.
        broken = broken_detector(tmp_path / "broken.onnx", repository)
        assert await asyncio.to_thread(published, repository, broken, policy_file) == 3
        await asyncio.to_thread(changed, repository, policy_file, lambda rollout: start_canary(rollout, 3, 1.0))
        await until_gauge(gateway.metrics, "wildgate_rollout_refused", 1)
        assert {verdict.model_version for _, verdict in await flow.more(len(VIDEOS))} == {"patch/1"}
        await asyncio.to_thread(changed, repository, policy_file, stop_canary)
        await until_gauge(gateway.metrics, "wildgate_rollout_refused", 0)

        # And what was refused is in nobody's way.
        await asyncio.to_thread(changed, repository, policy_file, lambda rollout: promote(rollout, 2))
        await until_gauge(gateway.metrics, "wildgate_rollout_serving", 2)
        await flow.settle()
        assert {verdict.model_version for _, verdict in await flow.more(8)} == {"patch/2"}
        await until(lambda: detector_processes() - others == {"2"} - others, "the end of what is not in use")

        assert flow.failures == []
        assert set(check_verdicts(flow.verdicts, digests)) == {"patch/1", "patch/2"}


async def test_kept_verdicts_are_those_of_the_version_in_force(
    repository: Repository, policy_file: Path, tmp_path: Path
) -> None:
    settings = own_settings(repository, policy_file, tmp_path, kept_verdicts=100)
    async with running(settings) as gateway:

        async def scored() -> list[Verdict]:
            videos = [Content(video) for video in VIDEOS]
            return list(await asyncio.gather(*(gateway.client.score(video) for video in videos)))

        def cached(verdicts: list[Verdict], version: str) -> set[bool]:
            check_verdicts([*enumerate(first), *enumerate(verdicts)], {})
            assert {verdict.model_version for verdict in verdicts} == {version}
            return {verdict.cached for verdict in verdicts}

        first = await scored()
        assert cached(first, "patch/1") == {False}
        assert cached(await scored(), "patch/1") == {True}

        # On trial: those videos are looked at again each time and compared, the others are not.
        file = write_detector(tmp_path / "half.onnx", load_manifest(repository.path), gain=0.5)
        await asyncio.to_thread(published, repository, file, policy_file)
        await asyncio.to_thread(changed, repository, policy_file, lambda rollout: start_canary(rollout, 2, 0.5))
        await until_gauge(gateway.metrics, "wildgate_rollout_canary", 2)
        for _ in range(2):
            trial = await scored()
            for verdict in trial:
                tried = on_trial(verdict.content_digest, 0.5)
                assert (verdict.model_version, verdict.cached) == (("patch/2", False) if tried else ("patch/1", True))
        compared = samples(gateway.metrics, "wildgate_canary_verdicts_total")
        assert sum(compared.values()) == 2 * sum(verdict.model_version == "patch/2" for verdict in trial) > 0

        # What the trial said is known when its version serves; the rest is not.
        await asyncio.to_thread(changed, repository, policy_file, lambda rollout: promote(rollout, None))
        await until_gauge(gateway.metrics, "wildgate_rollout_serving", 2)
        assert cached(await scored(), "patch/2") == {True, False}
        assert cached(await scored(), "patch/2") == {True}

        await asyncio.to_thread(changed, repository, policy_file, roll_back)
        await until_gauge(gateway.metrics, "wildgate_rollout_serving", 1)
        assert cached(await scored(), "patch/1") == {True}, "kept from before"


@contextmanager
def external_triton(repository: Path, directory: Path) -> Iterator[str]:
    """A tritonserver that reads `repository` itself, as `docker run` would start it: its gRPC address."""
    runtime = find_triton_runtime()
    runtime.assemble_backends(directory / "backends")
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    command = [
        str(runtime.server),
        f"--model-repository={repository}",
        f"--backend-directory={directory / 'backends'}",
        "--model-control-mode=explicit",
        *(f"--load-model={model}" for model in models_to_load(Rollout(serving=1))),
        "--grpc-address=127.0.0.1",
        f"--grpc-port={port}",
        "--allow-http=false",
        "--allow-metrics=false",
        "--disable-auto-complete-config",
        "--exit-timeout-secs=10",  # of 30, which it now and then takes to unload
    ]
    with (directory / "triton.log").open("wb") as log:
        server = subprocess.Popen(command, env=runtime.environment(), stdout=log, stderr=log)
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(30)


async def until_ready(target: str) -> None:
    async with asyncio.timeout(PATIENCE_S), TritonClient(target) as client:
        while not await client.ready("video_scorer"):
            await asyncio.sleep(0.1)


async def test_an_external_triton_is_waited_for(repository: Repository, policy_file: Path, tmp_path: Path) -> None:
    def loaded(target: str) -> Rollout:
        return load_models(repository.path, target, settle_s=4.0)

    with external_triton(repository.path, tmp_path) as target:
        await until_ready(target)
        settings = own_settings(repository, policy_file, tmp_path, target)
        async with running(settings) as gateway, traffic(gateway) as flow:
            await flow.more(len(VIDEOS))
            file = write_detector(tmp_path / "half.onnx", load_manifest(repository.path), gain=0.5)
            await asyncio.to_thread(published, repository, file, policy_file)
            await asyncio.to_thread(changed, repository, policy_file, lambda rollout: start_canary(rollout, 2, 0.5))
            await until_gauge(gateway.metrics, "wildgate_rollout_waiting", 1)
            assert {verdict.model_version for _, verdict in await flow.more(8)} == {"patch/1"}

            assert (await asyncio.to_thread(loaded, target)).canary is not None
            await until_gauge(gateway.metrics, "wildgate_rollout_canary", 2)
            await flow.more(len(VIDEOS) * 2)

            await asyncio.to_thread(changed, repository, policy_file, lambda rollout: promote(rollout, None))
            await asyncio.to_thread(loaded, target)
            await until_gauge(gateway.metrics, "wildgate_rollout_serving", 2)
            await flow.settle()
            assert {verdict.model_version for _, verdict in await flow.more(8)} == {"patch/2"}
            assert flow.failures == []
            assert set(check_verdicts(flow.verdicts, {})) == {"patch/1", "patch/2"}
