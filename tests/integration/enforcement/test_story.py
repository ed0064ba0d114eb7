"""The story of a case in real processes, from verdict to appeal, with `kill -9` of each process at every step.

In the ordinary run the processes take turns; `make story` plays it once for each of them.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from blocked_videos import scenery
from clips import ClipSpec, make_clip
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from enforcement_process import Process, cases
from enforcement_under_test import decision
from gateway_under_test import PATIENCE_S, free_address
from notice_receiver import NoticeReceiver, notice_receiver
from time_authority import time_authority
from tokens import ISSUER, pem, token

from wildgate_client import Action, ClientOptions, Content, RetryPolicy, ScoringClient, Verdict
from wildgate_enforcement.referral.sealing import public_key
from wildgate_enforcement.referral.verification import verify_package
from wildgate_proto.v1 import cases_pb2 as pb
from wildgate_proto.v1.cases_pb2_grpc import CaseServiceStub, ReportServiceStub

ROLES = {
    "gateway": "gateway", "platform": "reporter", "ann": "moderator", "ben": "moderator", "sue": "senior",
    "lea": "liaison", "otto": "auditor",
}  # fmt: skip
SECRET = "whsec_b2xkIHNlY3JldCBvZiBzb21lIHNpemU="
AGAIN = ClientOptions(deadline_s=PATIENCE_S, retry=RetryPolicy(attempts=100))
# Of a step's start: before it is asked, while it is done, or after it is acknowledged. The gateway goes before it asks
# Triton, which crashes where a caller is killed in the middle of a call.
FALLS_WITHIN_S = {"enforcement": 0.05, "gateway": 0.0, "blocks": 0.05, "platform": 0.05}


def view(number: int, width: int, height: int) -> np.ndarray:
    return scenery(number // 10)[:height, :width]


ORIGINAL = Content(make_clip(ClipSpec(seconds=6.0, paint=view)))
MIRRORED = Content(make_clip(ClipSpec(seconds=6.0, paint=lambda *at: view(*at)[:, ::-1])))


class Platform:
    """The platform's receiver; it dies when it has taken a notice in and not answered yet."""

    def __init__(self, receiver: NoticeReceiver) -> None:
        self.receiver = receiver

    def start(self) -> None:
        self.receiver.dies = False

    def kill(self) -> None:
        self.receiver.dies = True

    def told(self) -> list[str]:
        """What it was told to do; a repeat, which it knows by its id, counts once."""
        fresh = [notice.content for notice in self.receiver.notices if not notice.is_repeat]
        return [content["action"] for content in fresh if content["type"] == "decision"]


@dataclass
class Box:
    """Everything that takes part, on one machine."""

    processes: dict[str, Process | Platform]
    address: str
    gateway_address: str
    tokens: dict[str, Path]
    home: Path

    @property
    def platform(self) -> Platform:
        platform = self.processes["platform"]
        assert isinstance(platform, Platform)
        return platform

    def cases(self, who: str, *arguments: str) -> str:
        return cases(*arguments, server=self.address, token_file=self.tokens[who])

    def call(self, who: str, method: str, **fields: Any) -> Any:
        """As a careful caller does: the same request again until it is answered."""
        service = "ReportService" if method == "Report" else "CaseService"
        request = pb.DESCRIPTOR.services_by_name[service].methods_by_name[method].input_type._concrete_class(**fields)
        metadata = (("authorization", f"Bearer {self.tokens[who].read_text()}"),)
        give_up = time.monotonic() + PATIENCE_S
        while True:
            with grpc.insecure_channel(self.address) as channel:
                stub = (ReportServiceStub if method == "Report" else CaseServiceStub)(channel)
                try:
                    return getattr(stub, method)(request, metadata=metadata, timeout=30, wait_for_ready=True)
                except grpc.RpcError as error:
                    if error.code() is not grpc.StatusCode.UNAVAILABLE or time.monotonic() > give_up:
                        raise

    def score(self, video: Content, video_id: str) -> Verdict:
        async def scored() -> Verdict:
            async with ScoringClient(self.gateway_address, AGAIN) as client:
                return await client.score(video, video_id=video_id)

        return asyncio.run(scored())

    def decide(self, who: str, case_id: str, kind: str) -> int:
        token = self.call(who, "Claim", case_id=case_id).fencing_token
        claimed = pb.ClaimedCase(case_id=case_id, fencing_token=token)
        return self.call(who, "Decide", cases=[claimed], decision=decision(kind)).results[0].case.state

    def stop_signs_all(self) -> bool:
        """Whether the whole log was signed when the service stopped: untrue too where the new start tells something."""
        enforcement = self.processes["enforcement"]
        assert isinstance(enforcement, Process)
        assert enforcement.stop() == 0
        enforcement.start()
        checked = self.cases("otto", "verify-log", "--key", str(self.home / "enforcement/log-key.pem.pub"))
        found = re.match(r"(\d+) events hold, up to (\d+) signed; head", checked)
        assert found
        return found[1] == found[2]


@pytest.fixture
def box(database_url: str, tmp_path: Path, patch_triton: str, patch_models: Path, policy_file: Path) -> Iterator[Box]:
    key, keys = Ed25519PrivateKey.generate(), tmp_path / "keys.pem"
    keys.write_bytes(pem(key))
    (tmp_path / "secrets").write_text(SECRET)
    tokens = {}
    for who, role in ROLES.items():
        tokens[who] = tmp_path / f"{who}.token"
        tokens[who].write_text(token(key, sub=who, roles=[role], exp=int(time.time()) + 600))
    address, blocks, gateway = free_address(), free_address(), free_address()
    with notice_receiver(SECRET) as receiver, time_authority(tmp_path / "tsa"), ExitStack() as running:
        processes: dict[str, Process | Platform] = {
            "blocks": Process(("blocks", "serve", "--directory", str(tmp_path / "blocks"), "--listen", blocks)),
            "enforcement": Process(
                (
                    *("enforce", "--directory", str(tmp_path / "enforcement"), "--listen", address),
                    *(("--database", database_url) if database_url.startswith("postgresql") else ()),
                    *("--access.keys", str(keys), "--access.issuer", ISSUER, "--policy.second-share", "1"),
                    *("--blocks", blocks, "--delivery.attempt-s", "2", "--log-level", "error"),
                    *("--platform.url", receiver.url, "--platform.secrets", str(tmp_path / "secrets")),
                    *("--platform.private-networks", '["127.0.0.1/32"]', "--platform.legal-ground", "CITES"),
                    *("--referral.recipients", '{"desk": "test"}', "--referral.folder", str(tmp_path / "out")),
                    *("--referral.authority", (tmp_path / "tsa/url").read_text()),
                    *("--referral.authority-root", str(tmp_path / "tsa/root.pem")),
                )
            ),
            "gateway": Process(
                (
                    *("serve", "--listen", gateway, "--triton", patch_triton, "--log-level", "error"),
                    *("--model-repository", str(patch_models), "--policy", str(policy_file)),
                    *("--sampling.workers", "1", "--sampling.random-share", "0"),
                    *("--block-list", str(tmp_path / "copy"), "--blocks.target", blocks),
                    *("--enforcement.target", address, "--enforcement.spool-directory", str(tmp_path / "spool")),
                    *("--enforcement.token-file", str(tokens["gateway"]), "--enforcement.budget-ms", "500"),
                )
            ),
            "platform": Platform(receiver),
        }
        for process in processes.values():
            process.start()
            running.callback(process.kill)
        yield Box(processes, address, gateway, tokens, tmp_path)


def until(holds: Callable[[], bool], what: str) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < give_up, what
        time.sleep(0.1)


def story(box: Box) -> Iterator[None]:
    """A step ends when it is acknowledged."""
    found = box.score(ORIGINAL, "video 1")
    assert (found.action, found.case_handoff in ("OPENED", "KEPT")) == (Action.REVIEW, True)
    yield
    until(lambda: bool(box.score(ORIGINAL, "video 1").case_id), "what was kept is not delivered")
    case_id = box.score(ORIGINAL, "video 1").case_id
    yield
    for reporter in ("rob", "ned"):
        about = pb.Subject(video_id="video 1")
        box.call("platform", "Report", report_id=reporter, reporter=reporter, subject=about, reason="other", source=1)
        yield
    assert box.decide("ann", case_id, "KIND_CONFIRM") == pb.CASE_STATE_SECOND
    yield
    assert box.score(MIRRORED, "copy 1").action is Action.REVIEW
    assert box.decide("ben", case_id, "KIND_CONFIRM") == pb.CASE_STATE_CONFIRMED
    yield
    until(lambda: box.score(MIRRORED, "copy 2").action is Action.BLOCK, "a disguise is not blocked")
    until(lambda: "remove" in box.platform.told(), "the platform is not told")
    yield
    proposed = box.call("lea", "Refer", case_id=case_id, recipient="desk", reason="the account sells every week")
    yield
    box.call("sue", "ApproveReferral", referral_id=proposed.id)
    yield
    package = box.home / f"out/desk/test-referral-{case_id}"
    until(package.exists, "there is no package")
    public = public_key(box.home / "enforcement/referral-key.pem.pub")
    assert verify_package(package, public).faults == ()
    with (package / "data/referral.json").open("ab") as file:
        file.write(b" ")
    assert verify_package(package, public).faults == ("data/referral.json: was changed",)
    yield
    box.call("platform", "Appeal", case_id=case_id, appellant="the uploader", statement="it is a prop")
    yield
    assert box.decide("sue", case_id, "KIND_HARMLESS") == pb.CASE_STATE_HARMLESS
    yield
    until(lambda: box.score(MIRRORED, "copy 3").action is Action.REVIEW, "a copy of a prop is still blocked")
    until(lambda: "restore" in box.platform.told(), "the platform is not told of the appeal")


def fall(process: Process | Platform, after_s: float) -> None:
    time.sleep(after_s)
    process.kill()
    process.start()


PROCESSES = tuple(FALLS_WITHIN_S)


@pytest.mark.triton
@pytest.mark.timeout(600)  # dozens of processes start
@pytest.mark.parametrize(
    "falling", [PROCESSES, *(pytest.param((name,), marks=pytest.mark.story) for name in PROCESSES)], ids="-".join
)
def test_from_verdict_to_action_and_back(box: Box, falling: tuple[str, ...]) -> None:
    draw, steps = random.Random(13), story(box)
    with ThreadPoolExecutor(1) as other:
        for number in range(100):
            name = falling[number % len(falling)]
            fallen = other.submit(fall, box.processes[name], draw.uniform(0, FALLS_WITHIN_S[name]))
            ended = next(steps, "ended")
            fallen.result()
            if ended:
                break
    until(box.stop_signs_all, "a stop leaves events that are not signed")
    assert not box.platform.receiver.forged
    assert box.platform.told() == ["remove", "restore"]
    events = [json.loads(event.canonical) for event in box.call("otto", "ListEvents").events]
    once = Counter((event["case_id"], event["kind"], str(event["details"])) for event in events)
    assert max(once.values()) == 1, once.most_common(3)
    kinds = Counter(event["kind"] for event in events)
    assert (kinds["reported"], kinds["decided"], kinds["appealed"], kinds["given_up"]) == (2, 3, 1, 0)
    assert "0 of 1" in box.cases("otto", "report")
