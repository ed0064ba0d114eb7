"""The story of a case in real processes, with `kill -9` of the service after every step that it acknowledged."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from enforcement_process import Process, cases
from enforcement_under_test import subject, verdict
from gateway_under_test import PATIENCE_S, free_address
from notice_receiver import NoticeReceiver, notice_receiver
from time_authority import time_authority
from tokens import ISSUER, pem, token

from wildgate_enforcement.referral.sealing import public_key
from wildgate_enforcement.referral.verification import verify_package
from wildgate_proto.v1 import blocks_pb2
from wildgate_proto.v1 import cases_pb2 as pb
from wildgate_proto.v1.blocks_pb2_grpc import BlockServiceStub
from wildgate_proto.v1.cases_pb2_grpc import CaseServiceStub, ReportServiceStub

ROLES = {
    "gateway": "gateway", "platform": "reporter", "ann": "moderator", "ben": "moderator", "sue": "senior",
    "lea": "liaison", "otto": "auditor",
}  # fmt: skip


@dataclass
class Box:
    """Everything that takes part, on one machine."""

    enforcement: Process
    blocks: Process
    address: str
    blocks_address: str
    tokens: dict[str, Path]
    platform: NoticeReceiver
    home: Path

    def cases(self, who: str, *arguments: str) -> str:
        return cases(*arguments, server=self.address, token_file=self.tokens[who])

    def kill(self) -> None:
        self.enforcement.kill()
        self.enforcement.start()

    def stop_signs_all(self) -> bool:
        """Whether the whole log was signed when the service stopped: untrue too where the new start tells something."""
        assert self.enforcement.stop() == 0
        self.enforcement.start()
        checked = self.cases("otto", "verify-log", "--key", str(self.home / "enforcement/log-key.pem.pub"))
        found = re.match(r"(\d+) events hold, up to (\d+) signed; head", checked)
        assert found
        return found[1] == found[2]

    def call(self, who: str, method: str, request: object) -> object:
        with grpc.insecure_channel(self.address) as channel:
            kind = ReportServiceStub if method == "Report" else CaseServiceStub
            metadata = (("authorization", f"Bearer {self.tokens[who].read_text()}"),)
            answer = getattr(kind(channel), method)(request, metadata=metadata, timeout=30, wait_for_ready=True)
        self.kill()
        return answer

    def decide(self, who: str, case_id: str, outcome: str) -> str:
        claimed = self.cases(who, "claim", case_id)
        self.kill()
        about = ("--label", "ivory", "--taxon", "Loxodonta", "--reason", "a carved tusk is for sale")
        decided = self.cases(who, "decide", outcome, claimed, *about)
        self.kill()
        return decided

    def told(self) -> list[str]:
        """What the platform was told to do; a repeat, which it knows by its id, counts once."""
        fresh = [notice.content for notice in self.platform.notices if not notice.is_repeat]
        return [content["action"] for content in fresh if content["type"] == "decision"]

    def blocked(self, case_id: str) -> bool:
        with grpc.insecure_channel(self.blocks_address) as channel:
            page = BlockServiceStub(channel).List(blocks_pb2.ListBlocksRequest(), timeout=30)
        return f"case-{case_id}" in {block.id for block in page.blocks}


SECRET = "whsec_b2xkIHNlY3JldCBvZiBzb21lIHNpemU="


@pytest.fixture
def box(database_url: str, tmp_path: Path) -> Iterator[Box]:
    key, keys = Ed25519PrivateKey.generate(), tmp_path / "keys.pem"
    keys.write_bytes(pem(key))
    (tmp_path / "secrets").write_text(SECRET)
    tokens = {}
    for who, role in ROLES.items():
        tokens[who] = tmp_path / f"{who}.token"
        tokens[who].write_text(token(key, sub=who, roles=[role], exp=int(time.time()) + 600))
    address, blocks_address = free_address(), free_address()
    with notice_receiver(SECRET) as platform, time_authority(tmp_path / "tsa"):
        blocks = Process(("blocks", "serve", "--directory", str(tmp_path / "blocks"), "--listen", blocks_address))
        enforcement = Process(
            (
                *("enforce", "--directory", str(tmp_path / "enforcement"), "--listen", address),
                *(("--database", database_url) if database_url.startswith("postgresql") else ()),
                *("--access.keys", str(keys), "--access.issuer", ISSUER, "--policy.second-share", "1"),
                *("--blocks", blocks_address, "--delivery.attempt-s", "2", "--log-level", "error"),
                *("--platform.url", platform.url, "--platform.secrets", str(tmp_path / "secrets")),
                *("--platform.private-networks", '["127.0.0.1/32"]', "--platform.legal-ground", "CITES"),
                *("--referral.recipients", '{"desk": "test"}', "--referral.folder", str(tmp_path / "out")),
                *("--referral.authority", (tmp_path / "tsa/url").read_text()),
                *("--referral.authority-root", str(tmp_path / "tsa/root.pem")),
            )
        )
        blocks.start()
        enforcement.start()
        yield Box(enforcement, blocks, address, blocks_address, tokens, platform, tmp_path)
        enforcement.kill()
        blocks.kill()


def until(holds: Callable[[], bool], what: str) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < give_up, what
        time.sleep(0.1)


@pytest.mark.timeout(600)  # some twenty processes start
def test_from_verdict_to_action_and_back(box: Box) -> None:
    opened = box.call("gateway", "OpenCase", pb.OpenCaseRequest(subject=subject(1), verdict=verdict()))
    assert isinstance(opened, pb.OpenCaseResponse)
    case_id = opened.case_id
    for reporter in ("rob", "ned"):
        report = pb.ReportRequest(
            report_id=reporter, reporter=reporter, subject=subject(1), reason="other", source="REPORT_SOURCE_USER"
        )
        box.call("platform", "Report", report)
    assert "OPEN" in box.cases("ann", "list", "--state", "open")

    assert "SECOND" in box.decide("ann", case_id, "confirm")
    assert not box.blocked(case_id)
    assert "CONFIRMED" in box.decide("ben", case_id, "confirm")
    until(lambda: box.blocked(case_id), "it is not blocked")
    until(lambda: "remove" in box.told(), "the platform is not told")

    reason = "the account sells every week"
    referral = json.loads(box.cases("lea", "refer", case_id, "--recipient", "desk", "--reason", reason))
    box.kill()
    box.cases("sue", "approve", referral["id"])
    box.kill()
    package = box.home / f"out/desk/test-referral-{case_id}"
    until(package.exists, "there is no package")
    public = public_key(box.home / "enforcement/referral-key.pem.pub")
    assert verify_package(package, public).faults == ()
    (package / "data/referral.json").write_bytes((package / "data/referral.json").read_bytes() + b" ")
    assert verify_package(package, public).faults == ("data/referral.json: was changed",)

    box.cases("platform", "appeal", case_id, "--appellant", "the uploader", "--statement", "it is a prop")
    box.kill()
    assert "HARMLESS" in box.decide("sue", case_id, "harmless")
    until(lambda: not box.blocked(case_id), "it is still blocked")
    until(lambda: "restore" in box.told(), "the platform is not told of the appeal")
    assert not box.platform.forged
    assert box.told() == ["remove", "restore"]

    shown = box.cases("ann", "show", case_id)
    assert shown.count('"decided_by"') == 3
    assert shown.count('"state": "STATE_HARMLESS"') == 2
    until(box.stop_signs_all, "a stop leaves events that are not signed")
    assert "0 of 1" in box.cases("otto", "report")
